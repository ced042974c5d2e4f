//! Noting how far running jobs have come.

use sqlx::PgExecutor;

use super::end::printable;
use crate::{LeasedJobId, QueueError, QueueTable, sql};

/// How far a running job has come.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// From 0 to 1.
    pub fraction: f32,
    /// What it is at; empty is nothing to say.
    pub note: String,
}

/// Notes how far jobs have come. What has lost its lease, or is locked by others, is left out.
///
/// # Errors
/// The queue is missing or the database failed.
pub async fn progress(
    executor: impl PgExecutor<'_>,
    table: &QueueTable,
    jobs: &[(LeasedJobId, Progress)],
) -> Result<(), QueueError> {
    let leases: Vec<LeasedJobId> = jobs.iter().map(|(id, _)| *id).collect();
    let (ids, tokens) = super::split(&leases);
    // Out of range or not a number would fail the statement for all of them.
    let fraction = |progress: &Progress| if progress.fraction >= 0.0 { progress.fraction.min(1.0) } else { 0.0 };
    let note = |progress: &Progress| (!progress.note.is_empty()).then(|| printable(&progress.note));
    sql::query(include_str!("progress.sql"), table)
        .bind(ids)
        .bind(tokens)
        .bind(jobs.iter().map(|(_, progress)| fraction(progress)).collect::<Vec<_>>())
        .bind(jobs.iter().map(|(_, progress)| note(progress)).collect::<Vec<_>>())
        .execute(executor)
        .await
        .map_err(|error| QueueError::new(error, table))?;
    Ok(())
}
