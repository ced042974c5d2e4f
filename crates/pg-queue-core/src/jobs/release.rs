//! Giving claimed jobs back unharmed.

use std::time::Duration;

use sqlx::PgExecutor;

use super::{Acknowledged, fail::printable};
use crate::{LeasedJobId, QueueError, QueueTable, sql, timestamp::micros};

/// A claimed job that is given back.
#[derive(Debug, Clone)]
pub struct Release {
    /// The job.
    pub id: LeasedJobId,
    /// How long it waits from now. `None`: it keeps its place.
    pub delay: Option<Duration>,
    /// A note that is kept with its errors, such as why it could not be run.
    pub error: Option<String>,
}

/// Gives jobs back; their attempts are not counted. Snoozing is giving back with a delay. Jobs that are missing from the
/// answer have lost their lease or are locked: [`held`](super::held) tells which.
///
/// # Errors
/// The queue is missing or the database failed.
pub async fn release(
    executor: impl PgExecutor<'_>,
    table: &QueueTable,
    jobs: &[Release],
) -> Result<Acknowledged, QueueError> {
    let leases: Vec<LeasedJobId> = jobs.iter().map(|job| job.id).collect();
    let (ids, tokens) = super::split(&leases);
    let released: Vec<(i64, i64)> = sqlx::query_as(sql::in_queue(include_str!("release.sql"), table))
        .bind(ids)
        .bind(tokens)
        .bind(jobs.iter().map(|job| job.delay.map(micros)).collect::<Vec<_>>())
        .bind(jobs.iter().map(|job| job.error.as_deref().map(printable)).collect::<Vec<_>>())
        .fetch_all(executor)
        .await
        .map_err(|error| QueueError::new(error, table))?;
    Ok(Acknowledged::new(released))
}
