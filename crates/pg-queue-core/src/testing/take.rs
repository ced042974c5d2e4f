//! Taking one job by its id.

use sqlx::PgExecutor;

use crate::{
    JobId, LeaseToken, QueueError, QueueTable, WorkerId,
    jobs::{ClaimedJob, claimed},
    sql,
};

/// Takes a job that waits, due or not, under `token`; `attempt` of `None` is its next one. `None`: it is gone, or somebody has
/// it.
///
/// # Errors
/// The queue is missing or the database failed. After a lost connection it may have happened all the same.
pub async fn take(
    executor: impl PgExecutor<'_>,
    table: &QueueTable,
    worker: WorkerId,
    token: LeaseToken,
    job: JobId,
    attempt: Option<u16>,
) -> Result<Option<ClaimedJob>, QueueError> {
    let row = sql::query(include_str!("take.sql"), table)
        .bind(worker.0)
        .bind(token.0)
        .bind(job.get())
        .bind(attempt.map(|attempt| i16::try_from(attempt).unwrap_or(i16::MAX)))
        .fetch_optional(executor)
        .await
        .map_err(|error| QueueError::new(error, table))?;
    row.map(|row| claimed(&row, token)).transpose().map_err(|error| QueueError::new(error, table))
}
