//! Putting finished jobs back.

use sqlx::PgExecutor;

use crate::{JobId, Priority, QueueError, QueueTable, sql};

/// What a finished job is to have anew when it is put back. What is not given stays.
#[derive(Debug, Clone, Default)]
pub struct Edit {
    /// Its payload, as JSON.
    pub payload: Option<String>,
    /// Which jobs it runs before.
    pub priority: Option<Priority>,
    /// How many attempts it has: 1 to 32767.
    pub max_attempts: Option<u16>,
}

/// Puts those of `jobs` that finished in this queue back into it, due now, with all of their attempts before them. Answers
/// which; one is missing when it is not in the history, or another job holds its unique key by now.
///
/// # Errors
/// The queue is missing or the database failed; then nothing was changed.
pub async fn retry(
    executor: impl PgExecutor<'_>,
    table: &QueueTable,
    jobs: &[JobId],
    edit: &Edit,
) -> Result<Vec<JobId>, QueueError> {
    let most = edit.max_attempts.map(|attempts| i16::try_from(attempts).unwrap_or(i16::MAX).max(1));
    let ids: Vec<i64> = sqlx::query_scalar(sql::in_queue(include_str!("retry.sql"), table))
        .bind(jobs.iter().map(|id| id.get()).collect::<Vec<_>>())
        .bind(edit.payload.as_deref())
        .bind(edit.priority.map(|priority| i16::from(priority.get())))
        .bind(most)
        .fetch_all(executor)
        .await
        .map_err(|error| QueueError::new(error, table))?;
    Ok(ids.into_iter().map(JobId).collect())
}
