//! Making a queue.

use sqlx::PgExecutor;

use super::QueueDdlError;
use crate::{QueueTable, sql};

/// Makes the queue; does nothing when it exists. The same as `select pg_queue_create_queue('name')`.
///
/// # Errors
/// A table of that name exists and is not ours, the migrations are missing, or a lock was not free within 5 s.
pub async fn create(executor: impl PgExecutor<'_>, table: &QueueTable) -> Result<(), QueueDdlError> {
    sql::query(include_str!("create.sql"), table.schema())
        .bind(table.queue().as_str())
        .execute(executor)
        .await
        .map_err(|error| QueueDdlError::new(error, table))?;
    Ok(())
}
