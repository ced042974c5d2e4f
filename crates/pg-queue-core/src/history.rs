//! Keeping the history's partitions.

use sqlx::PgExecutor;

use crate::{DatabaseError, Schema, sql};

/// Makes the history's partitions for the coming week and drops those that have served their time.
///
/// # Errors
/// The database failed, or a lock was not free within 2 s.
pub async fn maintain(executor: impl PgExecutor<'_>, schema: &Schema) -> Result<(), DatabaseError> {
    sqlx::query(sql::in_schema(include_str!("history_maintain.sql"), schema))
        .execute(executor)
        .await
        .map_err(|error| DatabaseError::new(error, schema))?;
    Ok(())
}
