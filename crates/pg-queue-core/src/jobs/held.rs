//! Looking which leases still stand.

use std::collections::HashMap;

use sqlx::PgExecutor;

use crate::{LeasedJobId, QueueError, QueueTable, sql};

/// Which leases stand, and which of their jobs somebody wants cancelled.
#[derive(Debug, Clone, Default)]
pub struct Held(HashMap<(i64, i64), bool>);

impl Held {
    /// Whether this lease stands.
    #[must_use]
    pub fn contains(&self, job: LeasedJobId) -> bool {
        self.0.contains_key(&(job.id, job.token.0))
    }

    /// Whether it stands and somebody wants the job cancelled.
    #[must_use]
    pub fn is_to_be_cancelled(&self, job: LeasedJobId) -> bool {
        self.0.get(&(job.id, job.token.0)).copied().unwrap_or(false)
    }

    /// How many stand.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none stands.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Answers which of `jobs` are still held under their lease. Reads only, and waits for nobody.
///
/// # Errors
/// The queue is missing or the database failed.
pub async fn held(executor: impl PgExecutor<'_>, table: &QueueTable, jobs: &[LeasedJobId]) -> Result<Held, QueueError> {
    let (ids, tokens) = super::split(jobs);
    let held: Vec<(i64, i64, bool)> = sql::query_as(include_str!("held.sql"), table)
        .bind(ids)
        .bind(tokens)
        .fetch_all(executor)
        .await
        .map_err(|error| QueueError::new(error, table))?;
    Ok(Held(held.into_iter().map(|(id, token, cancel)| ((id, token), cancel)).collect()))
}
