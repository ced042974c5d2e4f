//! Completing jobs.

use sqlx::PgExecutor;

use super::Acknowledged;
use crate::{LeaseLost, LeasedJobId, QueueError, QueueTable, sql};

/// Completes jobs; each is removed. Jobs that are missing from the answer have lost their lease, or their rows are
/// locked at the moment: [`held`](super::held) tells which.
///
/// # Errors
/// The queue is missing or the database failed.
pub async fn complete(
    executor: impl PgExecutor<'_>,
    table: &QueueTable,
    jobs: &[LeasedJobId],
) -> Result<Acknowledged, QueueError> {
    let (ids, tokens) = super::split(jobs);
    let done: Vec<(i64, i64)> = sqlx::query_as(sql::in_queue(include_str!("complete.sql"), table))
        .bind(ids)
        .bind(tokens)
        .fetch_all(executor)
        .await
        .map_err(|error| QueueError::new(error, table))?;
    Ok(Acknowledged::new(done))
}

/// Completes one job, in the transaction of `executor` if it has one, and waits for the row if somebody has locked it.
///
/// # Errors
/// The lease is lost: nothing was changed, and the caller must not commit what it did for the job. Or the database failed.
pub async fn complete_one(
    executor: impl PgExecutor<'_>,
    table: &QueueTable,
    job: LeasedJobId,
) -> Result<(), LeaseError> {
    let done: Option<i64> = sqlx::query_scalar(sql::in_queue(include_str!("complete_one.sql"), table))
        .bind(job.id)
        .bind(job.token.0)
        .fetch_optional(executor)
        .await
        .map_err(|error| QueueError::new(error, table))?;
    done.map(drop).ok_or(LeaseError::Lost(LeaseLost(job)))
}

/// Why a call about a claimed job changed nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LeaseError {
    /// The lease is lost.
    #[error(transparent)]
    Lost(#[from] LeaseLost),
    /// The queue is missing or the database failed.
    #[error(transparent)]
    Queue(#[from] QueueError),
}
