//! Taking requests back that nobody has taken.

use sqlx::PgExecutor;

use crate::{JobId, QueueError, QueueTable, sql};

/// Takes back those of these requests that nobody has taken yet, and answers which those are.
///
/// # Errors
/// The queue is missing or the database failed.
pub async fn withdraw(
    executor: impl PgExecutor<'_>,
    table: &QueueTable,
    requests: &[JobId],
) -> Result<Vec<JobId>, QueueError> {
    let withdrawn = sql::query_scalar(include_str!("withdraw.sql"), table)
        .bind(requests.iter().map(|id| id.0).collect::<Vec<_>>())
        .fetch_all(executor)
        .await
        .map_err(|error| QueueError::new(error, table))?;
    Ok(withdrawn.into_iter().map(JobId).collect())
}
