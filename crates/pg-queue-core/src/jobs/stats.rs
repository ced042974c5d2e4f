//! Counting a queue's jobs by state.

use std::time::Duration;

use sqlx::PgExecutor;

use crate::{QueueError, QueueTable, sql};

/// How many jobs a queue has, and in which states.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueStats {
    /// Jobs that wait for their time to come, or for their next attempt.
    pub scheduled: u64,
    /// Jobs that are due and wait for a worker.
    pub waiting: u64,
    /// Jobs that are due and of a kind that no live worker runs.
    pub parked: u64,
    /// Jobs that run.
    pub running: u64,
    /// Those of them that are to be cancelled.
    pub cancelling: u64,
    /// For how long the oldest of the waiting ones has been due.
    pub oldest_waiting: Option<Duration>,
}

/// As many columns as `stats.sql` returns.
type Row = (i64, i64, i64, i64, i64, Option<i64>);

/// Counts. Looks at every job of the queue.
///
/// # Errors
/// The queue is missing or the database failed.
pub async fn stats(executor: impl PgExecutor<'_>, table: &QueueTable) -> Result<QueueStats, QueueError> {
    let (scheduled, waiting, parked, running, cancelling, oldest): Row =
        sql::query_as(include_str!("stats.sql"), table)
            .fetch_one(executor)
            .await
            .map_err(|error| QueueError::new(error, table))?;
    Ok(QueueStats {
        scheduled: scheduled.unsigned_abs(),
        waiting: waiting.unsigned_abs(),
        parked: parked.unsigned_abs(),
        running: running.unsigned_abs(),
        cancelling: cancelling.unsigned_abs(),
        oldest_waiting: oldest.map(|micros| Duration::from_micros(u64::try_from(micros).unwrap_or(0))),
    })
}
