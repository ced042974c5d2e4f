//! Dropping a queue.

use sqlx::PgExecutor;

use super::QueueDdlError;
use crate::{QueueTable, sql};

/// Drops the queue; with `force` even when it still has jobs, which are lost then. Answers whether there was one.
///
/// # Errors
/// It has unfinished jobs and `force` is not set, or a lock was not free within 5 s.
pub async fn drop(executor: impl PgExecutor<'_>, table: &QueueTable, force: bool) -> Result<bool, QueueDdlError> {
    sql::query_scalar(include_str!("drop.sql"), table.schema())
        .bind(table.queue().as_str())
        .bind(force)
        .fetch_one(executor)
        .await
        .map_err(|error| QueueDdlError::new(error, table))
}
