//! Looking when the next job is due.

use std::time::Duration;

use sqlx::PgExecutor;

use crate::{QueueError, QueueTable, sql, timestamp::micros};

/// How long until the next job that is not due yet; `None` when there is none.
///
/// # Errors
/// The queue is missing or the database failed.
pub async fn next_due(executor: impl PgExecutor<'_>, table: &QueueTable) -> Result<Option<Duration>, QueueError> {
    next_due_since(executor, table, Duration::ZERO).await
}

/// The same for who has looked for due jobs and found none, and began so long ago: a job that has become due since then, and waits,
/// is due now.
///
/// # Errors
/// Those of [`next_due`].
pub async fn next_due_since(
    executor: impl PgExecutor<'_>,
    table: &QueueTable,
    looked: Duration,
) -> Result<Option<Duration>, QueueError> {
    let until: Option<i64> = sql::query_scalar(include_str!("next_due.sql"), table)
        .bind(micros(looked))
        .fetch_one(executor)
        .await
        .map_err(|error| QueueError::new(error, table))?;
    Ok(until.map(|until| Duration::from_micros(u64::try_from(until).unwrap_or(0))))
}
