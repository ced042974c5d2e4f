//! Replies on their way from a responder to a caller.

use std::time::Duration;

use serde::Serialize;
use sqlx::PgExecutor;
use uuid::Uuid;

use crate::{DatabaseError, RequestId, Schema, jobs::MAX_PAYLOAD_BYTES, sql, timestamp::micros};

/// Stores the reply to a request and rings its caller. It is thrown away after `keep` if nobody fetches it.
///
/// # Errors
/// The reply does not serialize or is longer than 64 MiB, or the database failed.
pub async fn store(
    executor: impl PgExecutor<'_>,
    schema: &Schema,
    request: RequestId,
    reply: &impl Serialize,
    keep: Duration,
) -> Result<(), StoreReplyError> {
    let body = serde_json::to_string(reply).map_err(StoreReplyError::Serialize)?;
    if body.len() > MAX_PAYLOAD_BYTES {
        return Err(StoreReplyError::TooLarge { bytes: body.len() });
    }
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

/// Takes the replies to `requests` that have come, as JSON. Each is answered once.
///
/// # Errors
/// The database failed.
pub async fn take(
    executor: impl PgExecutor<'_>,
    schema: &Schema,
    requests: &[RequestId],
) -> Result<Vec<(RequestId, String)>, DatabaseError> {
    let rows: Vec<(Uuid, String)> = sql::query_as(include_str!("take.sql"), schema)
        .bind(requests.iter().map(|id| id.as_uuid()).collect::<Vec<_>>())
        .fetch_all(executor)
        .await
        .map_err(|error| DatabaseError::new(error, schema))?;
    Ok(rows.into_iter().map(|(id, body)| (RequestId::from_uuid(id), body)).collect())
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
    #[error("the reply has {bytes} bytes of JSON: at most 64 MiB are allowed")]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}
