//! Deleting jobs that do not run.

use sqlx::PgExecutor;

use crate::{JobId, QueueError, QueueTable, sql};

/// Deletes those of `jobs` that do not run, without a trace. Answers which. Rows that others have locked are skipped.
///
/// # Errors
/// The queue is missing or the database failed.
pub async fn delete(
    executor: impl PgExecutor<'_>,
    table: &QueueTable,
    jobs: &[JobId],
) -> Result<Vec<JobId>, QueueError> {
    let ids: Vec<i64> = sql::query_scalar(include_str!("delete.sql"), table)
        .bind(super::numbers(jobs))
        .fetch_all(executor)
        .await
        .map_err(|error| QueueError::new(error, table))?;
    Ok(ids.into_iter().map(JobId).collect())
}
