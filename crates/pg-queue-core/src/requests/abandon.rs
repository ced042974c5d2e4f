//! Taking requests back.

use sqlx::PgExecutor;

use crate::{JobId, QueueError, QueueTable, sql};

/// What became of a request that was taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Abandoned {
    /// Nobody had taken it.
    Removed(JobId),
    /// Somebody has taken it, and is told to leave off.
    Runs(JobId),
}

/// Takes requests back for whose replies nobody waits any longer. Those that are not answered have ended already.
///
/// # Errors
/// The queue is missing or the database failed.
pub async fn abandon(
    executor: impl PgExecutor<'_>,
    table: &QueueTable,
    requests: &[JobId],
) -> Result<Vec<Abandoned>, QueueError> {
    let mut ids: Vec<i64> = requests.iter().map(|id| id.0).collect();
    // In this order everywhere: two that take the same ones back do not wait for each other in a circle.
    ids.sort_unstable();
    let rows: Vec<(i64, bool)> = sql::query_as(include_str!("abandon.sql"), table)
        .bind(ids)
        .fetch_all(executor)
        .await
        .map_err(|error| QueueError::new(error, table))?;
    let abandoned = |(id, runs)| if runs { Abandoned::Runs(JobId(id)) } else { Abandoned::Removed(JobId(id)) };
    Ok(rows.into_iter().map(abandoned).collect())
}
