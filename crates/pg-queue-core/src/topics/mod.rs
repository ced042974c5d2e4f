//! Notifications, messages to topics, and bindings of topics to queues.

mod binding;
mod envelope;
mod message;
mod publish;
mod topic;

use std::{borrow::Cow, fmt::Write};

use sha2::{Digest, Sha256};
use sqlx::PgExecutor;

use crate::{DatabaseError, Schema, sql};

pub use self::{
    binding::{BindError, Binding, DEFAULT_KIND, Filter, NewBinding, bind, bindings, unbind},
    envelope::{Body, Carried, channels, unpack},
    message::{Attributes, MAX_ATTRIBUTES_BYTES, MAX_MESSAGE_BYTES, Message},
    publish::{PublishError, bound, fetch, prune, publish, publish_bound, publish_unbound},
    topic::{InvalidTopic, Topic, TopicPattern},
};

/// The longest payload of one notification, in bytes; PostgreSQL's own limit.
pub const MAX_NOTIFY_BYTES: usize = 7999;

/// What PostgreSQL takes as the name of a channel, in bytes. LISTEN cuts a longer one, NOTIFY refuses it.
const MAX_CHANNEL_BYTES: usize = 63;

/// Sends `payload` to whoever listens on `channel`: at the commit of the executor's transaction, or at once.
///
/// Nobody who is not connected at that moment gets it.
///
/// # Errors
/// The channel's name is empty or holds a NUL, the payload is longer than 7,999 bytes or holds a NUL, or the database
/// failed.
pub async fn notify(
    executor: impl PgExecutor<'_>,
    schema: &Schema,
    channel: &str,
    payload: &str,
) -> Result<(), NotifyError> {
    let channel = server_channel(channel)?;
    if payload.len() > MAX_NOTIFY_BYTES {
        return Err(NotifyError::PayloadTooLarge { bytes: payload.len() });
    }
    if payload.contains('\0') {
        return Err(NotifyError::NulInPayload);
    }
    sql::query(include_str!("notify.sql"), schema)
        .bind(channel)
        .bind(payload)
        .execute(executor)
        .await
        .map_err(|error| DatabaseError::new(error, schema))?;
    Ok(())
}

/// The name under which the server knows a channel: the name itself, or a hash of it where it is longer than 63 bytes.
///
/// # Errors
/// The name is empty or holds a NUL.
pub fn server_channel(channel: &str) -> Result<Cow<'_, str>, InvalidChannel> {
    if channel.is_empty() || channel.contains('\0') {
        return Err(InvalidChannel);
    }
    if channel.len() <= MAX_CHANNEL_BYTES {
        return Ok(Cow::Borrowed(channel));
    }
    let mut hashed = String::from("pg_queue.hash.");
    for byte in &Sha256::digest(channel.as_bytes())[..24] {
        write!(hashed, "{byte:02x}").expect("writing to a string cannot fail");
    }
    Ok(Cow::Owned(hashed))
}

/// A channel name that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("invalid channel name: it is empty or holds a NUL")]
pub struct InvalidChannel;

/// Why a notification was not sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotifyError {
    /// The channel's name cannot be used.
    #[error(transparent)]
    InvalidChannel(#[from] InvalidChannel),
    /// The payload is too long.
    #[error("the notification has {bytes} bytes: PostgreSQL takes at most {MAX_NOTIFY_BYTES}")]
    PayloadTooLarge {
        /// Its length.
        bytes: usize,
    },
    /// The payload holds a NUL.
    #[error("the notification holds a NUL, which PostgreSQL does not take")]
    NulInPayload,
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}
