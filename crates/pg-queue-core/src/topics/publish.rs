//! Sending messages to topics, and fetching the long ones.

use serde::Serialize;
use sqlx::PgExecutor;

use super::{Message, Topic, envelope::pack};
use crate::{Commit, DatabaseError, Schema, sql};

/// The longest message, in bytes of JSON.
pub const MAX_MESSAGE_BYTES: usize = 16 << 20;

impl Message {
    /// Writes a message.
    ///
    /// # Errors
    /// It does not serialize, or is longer than 16 MiB.
    pub fn new(topic: &Topic, message: &(impl Serialize + ?Sized)) -> Result<Self, PublishError> {
        let body = serde_json::to_string(message).map_err(PublishError::Serialize)?;
        Self { topic: topic.clone(), body }.checked()
    }

    /// A message that is JSON already.
    ///
    /// # Errors
    /// It is no JSON, or longer than 16 MiB.
    pub fn raw(topic: &Topic, json: &str) -> Result<Self, PublishError> {
        serde_json::from_str::<serde::de::IgnoredAny>(json).map_err(PublishError::NoJson)?;
        Self { topic: topic.clone(), body: json.to_owned() }.checked()
    }

    fn checked(self) -> Result<Self, PublishError> {
        match self.body.len() {
            bytes if bytes > MAX_MESSAGE_BYTES => Err(PublishError::TooLarge { bytes }),
            _ => Ok(self),
        }
    }
}

/// Sends messages to whoever is subscribed to their topics at that moment: at the commit of the executor's transaction, or at
/// once.
///
/// Long ones are stored, for a minute, in a table without a log. With [`Commit::LoseOnCrash`] nothing waits for the disk, which
/// takes nothing from a message that nobody keeps; not for a transaction that does more.
///
/// # Errors
/// The database failed.
pub async fn publish(
    executor: impl PgExecutor<'_>,
    schema: &Schema,
    messages: &[Message],
    commit: Commit,
) -> Result<(), DatabaseError> {
    let packed = pack(schema, messages);
    let statement =
        if packed.stored.is_empty() { include_str!("publish.sql") } else { include_str!("publish_long.sql") };
    let mut query =
        sql::query(statement, schema).bind(packed.channels).bind(packed.payloads).bind(commit == Commit::LoseOnCrash);
    if !packed.stored.is_empty() {
        query = query.bind(packed.stored).bind(packed.bodies);
    }
    query.execute(executor).await.map_err(|error| DatabaseError::new(error, schema))?;
    Ok(())
}

/// Messages that were stored under these numbers. Those that are missing came too late: they are kept for a minute.
///
/// # Errors
/// The database failed.
pub async fn fetch(
    executor: impl PgExecutor<'_>,
    schema: &Schema,
    stored: &[i64],
) -> Result<Vec<(i64, String)>, DatabaseError> {
    sql::query_as(include_str!("fetch.sql"), schema)
        .bind(stored)
        .fetch_all(executor)
        .await
        .map_err(|error| DatabaseError::new(error, schema))
}

/// Throws away up to a hundred long messages that were sent more than a minute ago. Answers how many.
///
/// # Errors
/// The database failed.
pub async fn prune(executor: impl PgExecutor<'_>, schema: &Schema) -> Result<u64, DatabaseError> {
    let pruned = sql::query(include_str!("prune.sql"), schema).execute(executor).await;
    pruned.map(|pruned| pruned.rows_affected()).map_err(|error| DatabaseError::new(error, schema))
}

/// Why a message was not sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The topic breaks the rule.
    #[error(transparent)]
    InvalidTopic(#[from] super::InvalidTopic),
    /// The message cannot be written as JSON.
    #[error("the message does not serialize: {0}")]
    Serialize(#[source] serde_json::Error),
    /// What was given as JSON is none.
    #[error("the message is no JSON: {0}")]
    NoJson(#[source] serde_json::Error),
    /// The message is too long.
    #[error("the message has {bytes} bytes of JSON: at most 16 MiB are allowed")]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// What was sending the message ended before it had an answer: the runtime was shut down. The message may have been sent.
    #[error("the runtime was shut down while the message was on its way: it may or may not have been sent")]
    Interrupted,
    /// The database failed. After a lost connection nobody knows whether the message was sent.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}
