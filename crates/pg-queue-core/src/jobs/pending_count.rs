//! Counting the waiting jobs.

use sqlx::PgExecutor;

use crate::{QueueError, QueueTable, sql};

/// How many jobs wait, due or not. Running jobs are not counted; a popped job whose lease has run out is.
///
/// # Errors
/// The queue is missing or the database failed.
pub async fn pending_count(executor: impl PgExecutor<'_>, table: &QueueTable) -> Result<u64, QueueError> {
    let count: i64 = sql::query_scalar(include_str!("pending_count.sql"), table)
        .fetch_one(executor)
        .await
        .map_err(|error| QueueError::new(error, table))?;
    Ok(count.unsigned_abs())
}
