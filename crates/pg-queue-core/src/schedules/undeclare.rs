//! Removing the schedules of types of jobs that have none any more.

use sqlx::PgExecutor;

use crate::{DatabaseError, Schema, sql};

/// Deletes those of the schedules called `names` that types of jobs had declared. Answers which there were.
///
/// # Errors
/// The migrations are missing or the database failed.
pub async fn undeclare(
    executor: impl PgExecutor<'_>,
    schema: &Schema,
    names: &[String],
) -> Result<Vec<String>, DatabaseError> {
    sql::query_scalar(include_str!("undeclare.sql"), schema)
        .bind(names)
        .fetch_all(executor)
        .await
        .map_err(|error| DatabaseError::new(error, schema))
}
