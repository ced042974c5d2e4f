//! Deleting a schedule.

use sqlx::PgExecutor;

use crate::{DatabaseError, Schema, sql};

/// Deletes the schedule. Its jobs stay. Answers whether there was one.
///
/// # Errors
/// The migrations are missing or the database failed.
pub async fn delete(executor: impl PgExecutor<'_>, schema: &Schema, name: &str) -> Result<bool, DatabaseError> {
    let gone = sql::query(include_str!("delete.sql"), schema)
        .bind(name)
        .fetch_optional(executor)
        .await
        .map_err(|error| DatabaseError::new(error, schema))?;
    Ok(gone.is_some())
}
