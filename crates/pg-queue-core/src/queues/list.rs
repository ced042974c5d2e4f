//! Listing the queues.

use sqlx::PgExecutor;

use crate::{DatabaseError, QueueName, Schema, sql};

/// All queues of the schema, by name.
///
/// # Errors
/// The migrations are missing or the database failed.
pub async fn list(executor: impl PgExecutor<'_>, schema: &Schema) -> Result<Vec<QueueName>, DatabaseError> {
    let names: Vec<String> = sql::query_scalar(include_str!("list.sql"), schema)
        .fetch_all(executor)
        .await
        .map_err(|error| DatabaseError::new(error, schema))?;
    names
        .iter()
        .map(|name| QueueName::new(name).map_err(|error| DatabaseError::Other(sqlx::Error::Decode(error.into()))))
        .collect()
}
