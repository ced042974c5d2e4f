//! Cancelling jobs.

use sqlx::PgExecutor;

use super::end::printable;
use crate::{JobId, QueueError, QueueTable, sql};

/// A job that was there to be cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cancelling {
    /// Which job.
    pub id: JobId,
    /// Whether it runs: then its worker was told, and it is cancelled when its attempt ends. Otherwise it is in the history
    /// already.
    pub running: bool,
}

/// Cancels jobs; those that are not in the queue are missing from the answer. Waits for whoever has locked one of them, and
/// holds the others meanwhile, in the order of their ids. `note` is kept as the last error of those that waited.
///
/// # Errors
/// The queue is missing or the database failed.
pub async fn cancel(
    executor: impl PgExecutor<'_>,
    table: &QueueTable,
    jobs: &[JobId],
    note: Option<&str>,
) -> Result<Vec<Cancelling>, QueueError> {
    let mut ids = super::numbers(jobs);
    ids.sort_unstable();
    let rows: Vec<(i64, bool)> = sql::query_as(include_str!("cancel.sql"), table)
        .bind(ids)
        .bind(note.map(printable))
        .fetch_all(executor)
        .await
        .map_err(|error| QueueError::new(error, table))?;
    Ok(rows.into_iter().map(|(id, running)| Cancelling { id: JobId(id), running }).collect())
}
