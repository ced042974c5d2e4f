//! Completing jobs.

use std::time::Duration;

use sqlx::PgExecutor;

use super::{Acknowledged, Became};
use crate::{DatabaseError, LeaseLost, LeasedJobId, QueueError, QueueTable, TupleId, sql, timestamp::micros};

/// The longest output, in bytes of JSON.
pub const MAX_OUTPUT_BYTES: usize = 1 << 20;

/// What is kept of a completed job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// For how long it is in the history.
    pub time: Duration,
    /// Its result, as JSON.
    pub output: Option<String>,
}

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
    let done: Vec<(i64, i64)> = sql::query_as(include_str!("complete.sql"), table)
        .bind(ids)
        .bind(tokens)
        .fetch_all(executor)
        .await
        .map_err(|error| QueueError::new(error, table))?;
    Ok(Acknowledged::new(done.into_iter().map(|lease| (lease, Became::Completed))))
}

/// Completes jobs where they were claimed; with `unless_kept` none if the queue keeps completed ones. Jobs that are missing from the answer may be elsewhere by now:
/// [`complete`] completes those, or tells more.
///
/// # Errors
/// The queue is missing or the database failed.
pub async fn complete_at(
    executor: impl PgExecutor<'_>,
    table: &QueueTable,
    jobs: &[LeasedJobId],
    unless_kept: bool,
) -> Result<Acknowledged, QueueError> {
    let places = jobs.iter().map(|job| job.place);
    let (ids, tokens) = super::split(jobs);
    let statement = sql::query_as(include_str!("complete_at.sql"), table);
    let statement = if table.schema.is_pooled() {
        statement.bind(places.map(|place| place.to_string()).collect::<Vec<String>>())
    } else {
        statement.bind(places.collect::<Vec<TupleId>>())
    };
    let done: Vec<(i64, i64)> = statement
        .bind(ids)
        .bind(tokens)
        .bind(unless_kept)
        .fetch_all(executor)
        .await
        .map_err(|error| QueueError::new(error, table))?;
    Ok(Acknowledged::new(done.into_iter().map(|lease| (lease, Became::Completed))))
}

/// Completes jobs that are kept: each goes into the history.
///
/// # Errors
/// The queue is missing or the database failed.
pub async fn complete_kept(
    executor: impl PgExecutor<'_>,
    table: &QueueTable,
    jobs: &[(LeasedJobId, Kept)],
) -> Result<Acknowledged, QueueError> {
    let leases: Vec<LeasedJobId> = jobs.iter().map(|(id, _)| *id).collect();
    let (ids, tokens) = super::split(&leases);
    let done: Vec<(i64, i64)> = sql::query_as(include_str!("complete_kept.sql"), table)
        .bind(ids)
        .bind(tokens)
        .bind(jobs.iter().map(|(_, kept)| micros(kept.time)).collect::<Vec<_>>())
        .bind(jobs.iter().map(|(_, kept)| kept.output.as_deref()).collect::<Vec<_>>())
        .fetch_all(executor)
        .await
        .map_err(|error| QueueError::new(error, table))?;
    Ok(Acknowledged::new(done.into_iter().map(|lease| (lease, Became::Completed))))
}

/// Completes one job, in the transaction of `executor` if it has one, and waits for the row if somebody has locked it. With
/// nothing said of it, it is kept if its queue's completed jobs are.
///
/// # Errors
/// The lease is lost: nothing was changed, and the caller must not commit what it did for the job. Or the database failed.
pub async fn complete_one(
    executor: impl PgExecutor<'_>,
    table: &QueueTable,
    job: LeasedJobId,
    kept: Option<&Kept>,
) -> Result<(), LeaseError> {
    let done: Option<i64> = match kept {
        None => {
            let statement = sql::query_scalar(include_str!("complete_one.sql"), table);
            statement.bind(job.id).bind(job.token.0).fetch_optional(executor).await
        }
        Some(Kept { time, output }) => {
            let statement = sql::query_scalar(include_str!("complete_one_kept.sql"), table);
            let statement = statement.bind(job.id).bind(job.token.0).bind(micros(*time)).bind(output.as_deref());
            statement.fetch_optional(executor).await
        }
    }
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

impl From<DatabaseError> for LeaseError {
    fn from(error: DatabaseError) -> Self {
        Self::Queue(error.into())
    }
}
