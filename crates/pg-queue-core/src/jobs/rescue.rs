//! Taking jobs from those who no longer run them.

use sqlx::PgExecutor;

use super::Became;
use crate::{JobId, LeaseToken, QueueError, QueueTable, WorkerId, sql};

/// A job that was taken from a worker that does not run it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rescued {
    /// Which job.
    pub id: JobId,
    /// What became of it: it waits again, or is in the history because its last attempt was spent or somebody wanted it
    /// cancelled.
    pub became: Became,
}

/// Takes up to `limit` jobs from dead workers. `dead` holds only workers that were declared dead; a worker that lives must not
/// be in it.
///
/// # Errors
/// The queue is missing or the database failed.
pub async fn rescue(
    executor: impl PgExecutor<'_>,
    table: &QueueTable,
    dead: &[WorkerId],
    limit: u32,
) -> Result<Vec<Rescued>, QueueError> {
    send(executor, table, dead, None, limit).await
}

/// Takes back up to `limit` jobs that `worker` claimed without learning of it, because the reply to a claim was lost. `known`
/// are the tokens of everything that it knows it holds. No claim of this worker may be in flight.
///
/// # Errors
/// The queue is missing or the database failed.
pub async fn release_orphans(
    executor: impl PgExecutor<'_>,
    table: &QueueTable,
    worker: WorkerId,
    known: &[LeaseToken],
    limit: u32,
) -> Result<Vec<Rescued>, QueueError> {
    send(executor, table, &[worker], Some(known), limit).await
}

async fn send(
    executor: impl PgExecutor<'_>,
    table: &QueueTable,
    workers: &[WorkerId],
    known: Option<&[LeaseToken]>,
    limit: u32,
) -> Result<Vec<Rescued>, QueueError> {
    let known: Option<Vec<i64>> = known.map(|tokens| tokens.iter().map(|token| token.0).collect());
    let rows: Vec<(i64, String)> = sql::query_as(include_str!("rescue.sql"), table)
        .bind(workers.iter().map(|id| id.0).collect::<Vec<_>>())
        .bind(known.as_deref())
        .bind(i64::from(limit))
        .fetch_all(executor)
        .await
        .map_err(|error| QueueError::new(error, table))?;
    let back = if known.is_some() { Became::Released } else { Became::Retried };
    let became = |ending: &str| match ending {
        "discard" => Became::Discarded,
        "cancel" => Became::Cancelled,
        _ => back,
    };
    Ok(rows.into_iter().map(|(id, ending)| Rescued { id: JobId(id), became: became(&ending) }).collect())
}

/// Discards up to `limit` jobs whose hand-driven consumer let the lease of their last attempt run out, and cancels those that
/// are to be cancelled. Answers which.
///
/// # Errors
/// The queue is missing or the database failed.
pub async fn discard_expired(
    executor: impl PgExecutor<'_>,
    table: &QueueTable,
    limit: u32,
) -> Result<Vec<JobId>, QueueError> {
    let ids: Vec<i64> = sql::query_scalar(include_str!("discard_expired.sql"), table)
        .bind(i64::from(limit))
        .fetch_all(executor)
        .await
        .map_err(|error| QueueError::new(error, table))?;
    Ok(ids.into_iter().map(JobId).collect())
}
