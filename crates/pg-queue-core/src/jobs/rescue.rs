//! Taking jobs from those who no longer run them.

use sqlx::PgExecutor;

use crate::{JobId, LeaseToken, QueueError, QueueTable, WorkerId, sql};

/// A job that was taken from a dead worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rescued {
    /// Which job.
    pub id: JobId,
    /// Whether its last attempt was spent, so that it went into the history; otherwise it waits again.
    pub discarded: bool,
}

/// Takes up to `limit` jobs from dead workers: they go back into the queue, or into the history when their last attempt
/// is spent. `dead` holds only workers that were declared dead; a worker that lives must not be in it.
///
/// # Errors
/// The queue is missing or the database failed.
pub async fn rescue(
    executor: impl PgExecutor<'_>,
    table: &QueueTable,
    dead: &[WorkerId],
    limit: u32,
) -> Result<Vec<Rescued>, QueueError> {
    let rows: Vec<(i64, bool)> = sqlx::query_as(sql::in_queue(include_str!("rescue.sql"), table))
        .bind(dead.iter().map(|id| id.0).collect::<Vec<_>>())
        .bind(i64::from(limit))
        .fetch_all(executor)
        .await
        .map_err(|error| QueueError::new(error, table))?;
    Ok(rows.into_iter().map(|(id, discarded)| Rescued { id: JobId(id), discarded }).collect())
}

/// Takes back what `worker` claimed without learning of it, because the reply to a claim was lost. `known` are the tokens
/// of everything that it knows it holds. No claim of this worker may be in flight.
///
/// # Errors
/// The queue is missing or the database failed.
pub async fn release_orphans(
    executor: impl PgExecutor<'_>,
    table: &QueueTable,
    worker: WorkerId,
    known: &[LeaseToken],
) -> Result<Vec<JobId>, QueueError> {
    let ids: Vec<i64> = sqlx::query_scalar(sql::in_queue(include_str!("release_orphans.sql"), table))
        .bind(worker.0)
        .bind(known.iter().map(|token| token.0).collect::<Vec<_>>())
        .fetch_all(executor)
        .await
        .map_err(|error| QueueError::new(error, table))?;
    Ok(ids.into_iter().map(JobId).collect())
}

/// Discards jobs whose hand-driven consumer let the lease of their last attempt run out. Answers which.
///
/// # Errors
/// The queue is missing or the database failed.
pub async fn discard_expired(executor: impl PgExecutor<'_>, table: &QueueTable) -> Result<Vec<JobId>, QueueError> {
    let ids: Vec<i64> = sqlx::query_scalar(sql::in_queue(include_str!("discard_expired.sql"), table))
        .fetch_all(executor)
        .await
        .map_err(|error| QueueError::new(error, table))?;
    Ok(ids.into_iter().map(JobId).collect())
}
