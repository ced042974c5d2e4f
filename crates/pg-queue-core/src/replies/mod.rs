//! Replies on their way from a responder to a caller.

mod envelope;
mod forget;
mod reply;
mod send;

use std::time::Duration;

use serde::Serialize;
use sqlx::PgExecutor;
use uuid::Uuid;

pub use self::{
    envelope::{Came, unpack},
    forget::forget,
    reply::{MAX_REPLY_BYTES, Reply, Status, body},
    send::send,
};
use crate::{DatabaseError, Inbox, RequestId, Schema, sql, timestamp::micros};

/// Stores the response to a request and rings its caller. It is thrown away after `keep` if nobody fetches it.
///
/// # Errors
/// The reply does not serialize or is longer than 16 MiB, or the database failed.
pub async fn store(
    executor: impl PgExecutor<'_>,
    schema: &Schema,
    request: RequestId,
    reply: &impl Serialize,
    keep: Duration,
) -> Result<(), StoreReplyError> {
    let body = body(reply)?;
    sql::query(include_str!("store.sql"), schema)
        .bind(request.as_uuid())
        .bind(body)
        .bind(micros(keep))
        .bind(request.inbox().channel())
        .execute(executor)
        .await
        .map_err(|error| DatabaseError::new(error, schema))?;
    Ok(())
}

/// Takes the replies to `requests` that have come. Each is answered once.
///
/// # Errors
/// The database failed.
pub async fn take(
    executor: impl PgExecutor<'_>,
    schema: &Schema,
    requests: &[RequestId],
) -> Result<Vec<Reply>, DatabaseError> {
    let rows: Vec<(Uuid, String, String)> = sql::query_as(include_str!("take.sql"), schema)
        .bind(requests.iter().map(|id| id.as_uuid()).collect::<Vec<_>>())
        .fetch_all(executor)
        .await
        .map_err(|error| DatabaseError::new(error, schema))?;
    Ok(rows.into_iter().map(reply).collect())
}

/// Takes up to a thousand replies that have come to `inbox`, whether anybody waits for them or not. Each is answered once.
///
/// # Errors
/// The database failed.
pub async fn take_all(
    executor: impl PgExecutor<'_>,
    schema: &Schema,
    inbox: Inbox,
) -> Result<Vec<Reply>, DatabaseError> {
    let rows: Vec<(Uuid, String, String)> = sql::query_as(include_str!("take_all.sql"), schema)
        .bind(RequestId::of(inbox, 0).as_uuid())
        .bind(RequestId::of(inbox, u64::MAX).as_uuid())
        .fetch_all(executor)
        .await
        .map_err(|error| DatabaseError::new(error, schema))?;
    Ok(rows.into_iter().map(reply).collect())
}

fn reply((id, status, body): (Uuid, String, String)) -> Reply {
    Reply { request: RequestId::from_uuid(id), status: Status::read(&status), body }
}

/// Throws away up to a thousand replies that nobody fetched in time.
///
/// # Errors
/// The database failed.
pub async fn prune(executor: impl PgExecutor<'_>, schema: &Schema) -> Result<(), DatabaseError> {
    sql::query(include_str!("prune.sql"), schema)
        .execute(executor)
        .await
        .map_err(|error| DatabaseError::new(error, schema))?;
    Ok(())
}

/// Why a reply was not stored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreReplyError {
    /// The reply cannot be written as JSON.
    #[error("the reply does not serialize: {0}")]
    Serialize(#[source] serde_json::Error),
    /// The reply is too long.
    #[error("the reply has {bytes} bytes of JSON: at most 16 MiB are allowed")]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}
