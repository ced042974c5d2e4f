//! Putting finished jobs back.

use serde::Serialize;
use sqlx::PgExecutor;

use crate::{
    JobId, Priority, QueueError, QueueTable,
    jobs::{PushError, checked_attempts, to_json},
    sql,
};

/// What a finished job is to have anew when it is put back. What is not given stays.
#[derive(Debug, Clone, Default)]
pub struct Edit {
    payload: Option<String>,
    priority: Option<i16>,
    max_attempts: Option<i16>,
}

impl Edit {
    /// Another payload.
    ///
    /// # Errors
    /// It does not serialize or is longer than 64 MiB.
    pub fn payload(mut self, payload: &impl Serialize) -> Result<Self, PushError> {
        self.payload = Some(to_json(payload)?);
        Ok(self)
    }

    /// Another priority.
    #[must_use]
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priority = Some(priority.get().into());
        self
    }

    /// Another number of attempts: 1 to 32767.
    ///
    /// # Errors
    /// It is out of range.
    pub fn max_attempts(mut self, attempts: u16) -> Result<Self, PushError> {
        self.max_attempts = Some(checked_attempts(attempts)?);
        Ok(self)
    }
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
    let ids: Vec<i64> = sql::query_scalar(include_str!("retry.sql"), table)
        .bind(jobs.iter().map(|id| id.get()).collect::<Vec<_>>())
        .bind(edit.payload.as_deref())
        .bind(edit.priority)
        .bind(edit.max_attempts)
        .fetch_all(executor)
        .await
        .map_err(|error| QueueError::new(error, table))?;
    Ok(ids.into_iter().map(JobId).collect())
}
