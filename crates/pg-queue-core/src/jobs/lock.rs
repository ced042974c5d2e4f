//! Waiting for claimed jobs that another transaction has locked.

use sqlx::PgConnection;

use super::Acknowledged;
use crate::{LeasedJobId, QueueError, QueueTable, sql};

/// Waits until nobody else has these jobs locked, and locks them for the transaction of `connection`. Answers those
/// whose lease stands. For what [`complete`](super::complete) and its like skipped.
///
/// # Errors
/// The queue is missing or the database failed.
pub async fn lock(
    connection: &mut PgConnection,
    table: &QueueTable,
    jobs: &[LeasedJobId],
) -> Result<Acknowledged, QueueError> {
    let (ids, tokens) = super::split(jobs);
    let held: Vec<(i64, i64)> = sqlx::query_as(sql::in_queue(include_str!("lock.sql"), table))
        .bind(ids)
        .bind(tokens)
        .fetch_all(connection)
        .await
        .map_err(|error| QueueError::new(error, table))?;
    Ok(Acknowledged::new(held))
}
