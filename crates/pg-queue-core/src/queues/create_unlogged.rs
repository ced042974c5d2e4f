//! Making a queue whose jobs need not outlive a crash of the server.

use sqlx::PgExecutor;

use super::QueueDdlError;
use crate::{QueueTable, sql};

/// Makes the queue without a log: a crash of the server takes its jobs. Does nothing when the queue exists, logged or not. The
/// same as `select pg_queue_create_unlogged_queue('name')`.
///
/// # Errors
/// Those of [`create`](super::create).
pub async fn create_unlogged(executor: impl PgExecutor<'_>, table: &QueueTable) -> Result<(), QueueDdlError> {
    sql::query(include_str!("create_unlogged.sql"), table.schema())
        .bind(table.queue().as_str())
        .execute(executor)
        .await
        .map_err(|error| QueueDdlError::new(error, table))?;
    Ok(())
}
