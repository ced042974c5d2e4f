//! Removing requests that are too late.

use sqlx::PgExecutor;

use crate::{QueueError, QueueTable, sql};

/// Removes requests that nobody has taken in time. Their callers take them back by themselves, unless they are gone. Answers
/// how many.
///
/// # Errors
/// The queue is missing or the database failed.
pub async fn prune(executor: impl PgExecutor<'_>, table: &QueueTable) -> Result<u64, QueueError> {
    let pruned = sql::query(include_str!("prune.sql"), table).execute(executor).await;
    pruned.map(|pruned| pruned.rows_affected()).map_err(|error| QueueError::new(error, table))
}
