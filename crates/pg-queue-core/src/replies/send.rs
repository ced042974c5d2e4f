//! Sending replies.

use std::time::Duration;

use sqlx::PgExecutor;

use super::{Reply, envelope::pack};
use crate::{DatabaseError, Schema, sql, timestamp::micros};

/// Sends replies to their callers' inboxes, all in one statement. Each is thrown away after `keep` if nobody has fetched it.
///
/// # Errors
/// The database failed. After a lost connection they may have been sent.
pub async fn send(
    executor: impl PgExecutor<'_>,
    schema: &Schema,
    replies: &[Reply],
    keep: Duration,
) -> Result<(), DatabaseError> {
    let packed = pack(replies);
    sql::query(include_str!("send.sql"), schema)
        .bind(replies.iter().map(|reply| reply.request.as_uuid()).collect::<Vec<_>>())
        .bind(replies.iter().map(|reply| reply.status.as_str()).collect::<Vec<_>>())
        .bind(replies.iter().map(|reply| reply.body.as_str()).collect::<Vec<_>>())
        .bind(micros(keep))
        .bind(packed.channels)
        .bind(packed.payloads)
        .execute(executor)
        .await
        .map_err(|error| DatabaseError::new(error, schema))?;
    Ok(())
}
