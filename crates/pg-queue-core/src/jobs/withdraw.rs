//! Taking back a job that nobody has claimed.

use sqlx::PgExecutor;

use crate::{JobId, QueueError, QueueTable, sql};

/// Removes the job if nobody has claimed it yet. Answers whether it did.
///
/// # Errors
/// The queue is missing or the database failed.
pub async fn withdraw(executor: impl PgExecutor<'_>, table: &QueueTable, job: JobId) -> Result<bool, QueueError> {
    let gone: Option<i64> = sql::query_scalar(include_str!("withdraw.sql"), table)
        .bind(job.get())
        .fetch_optional(executor)
        .await
        .map_err(|error| QueueError::new(error, table))?;
    Ok(gone.is_some())
}
