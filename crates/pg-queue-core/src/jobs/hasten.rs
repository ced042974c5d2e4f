//! Making waiting jobs due.

use sqlx::PgExecutor;

use crate::{JobId, QueueError, QueueTable, sql};

/// Makes those of `jobs` that wait due now. Answers which. Rows that others have locked are skipped.
///
/// # Errors
/// The queue is missing or the database failed.
pub async fn hasten(
    executor: impl PgExecutor<'_>,
    table: &QueueTable,
    jobs: &[JobId],
) -> Result<Vec<JobId>, QueueError> {
    let ids: Vec<i64> = sql::query_scalar(include_str!("hasten.sql"), table)
        .bind(super::numbers(jobs))
        .fetch_all(executor)
        .await
        .map_err(|error| QueueError::new(error, table))?;
    Ok(ids.into_iter().map(JobId).collect())
}

/// Makes a job due now, if it waits. Waits itself for whoever has locked it. Answers whether it did.
///
/// # Errors
/// The queue is missing or the database failed.
pub async fn hasten_one(executor: impl PgExecutor<'_>, table: &QueueTable, job: JobId) -> Result<bool, QueueError> {
    let hastened: Option<i64> = sql::query_scalar(include_str!("hasten_one.sql"), table)
        .bind(job.get())
        .fetch_optional(executor)
        .await
        .map_err(|error| QueueError::new(error, table))?;
    Ok(hastened.is_some())
}
