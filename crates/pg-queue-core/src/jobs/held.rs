//! Looking which leases still stand.

use sqlx::PgExecutor;

use super::Acknowledged;
use crate::{LeasedJobId, QueueError, QueueTable, sql};

/// Answers which of `jobs` are still held under their lease. Reads only, and waits for nobody.
///
/// # Errors
/// The queue is missing or the database failed.
pub async fn held(
    executor: impl PgExecutor<'_>,
    table: &QueueTable,
    jobs: &[LeasedJobId],
) -> Result<Acknowledged, QueueError> {
    let (ids, tokens) = super::split(jobs);
    let held: Vec<(i64, i64)> = sqlx::query_as(sql::in_queue(include_str!("held.sql"), table))
        .bind(ids)
        .bind(tokens)
        .fetch_all(executor)
        .await
        .map_err(|error| QueueError::new(error, table))?;
    Ok(Acknowledged::new(held))
}
