//! Keeping jobs that nobody can run out of the claims' way.

use sqlx::PgExecutor;

use crate::{QueueError, QueueTable, sql};

/// Parks due jobs at the head of the queue whose kinds no live worker runs; `mine` are the caller's, `limit` how many jobs of
/// each priority are looked at. Answers how many it parked.
///
/// # Errors
/// The queue is missing or the database failed.
pub async fn park(
    executor: impl PgExecutor<'_>,
    table: &QueueTable,
    mine: &[String],
    limit: u32,
) -> Result<usize, QueueError> {
    let ids: Vec<i64> = sql::query_scalar(include_str!("park.sql"), table)
        .bind(mine)
        .bind(i64::from(limit))
        .fetch_all(executor)
        .await
        .map_err(|error| QueueError::new(error, table))?;
    Ok(ids.len())
}

/// Lets up to `limit` jobs run again that were parked because nobody ran their kinds; `kinds` of `None` is all of them.
/// Answers how many.
///
/// # Errors
/// The queue is missing or the database failed.
pub async fn unpark(
    executor: impl PgExecutor<'_>,
    table: &QueueTable,
    kinds: Option<&[String]>,
    limit: u32,
) -> Result<usize, QueueError> {
    let ids: Vec<i64> = sql::query_scalar(include_str!("unpark.sql"), table)
        .bind(kinds)
        .bind(i64::from(limit))
        .fetch_all(executor)
        .await
        .map_err(|error| QueueError::new(error, table))?;
    Ok(ids.len())
}
