//! Looking at schedules.

use sqlx::PgExecutor;

use super::StoredSchedule;
use crate::{DatabaseError, Schema, sql};

/// All schedules, by name.
///
/// # Errors
/// The migrations are missing or the database failed.
pub async fn list(executor: impl PgExecutor<'_>, schema: &Schema) -> Result<Vec<StoredSchedule>, DatabaseError> {
    sql::query_as(include_str!("list.sql"), schema)
        .fetch_all(executor)
        .await
        .map_err(|error| DatabaseError::new(error, schema))
}

/// One schedule; `None` when there is none of that name.
///
/// # Errors
/// The migrations are missing or the database failed.
pub async fn get(
    executor: impl PgExecutor<'_>,
    schema: &Schema,
    name: &str,
) -> Result<Option<StoredSchedule>, DatabaseError> {
    sql::query_as(include_str!("get.sql"), schema)
        .bind(name)
        .fetch_optional(executor)
        .await
        .map_err(|error| DatabaseError::new(error, schema))
}
