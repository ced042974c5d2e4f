//! Looking which job comes next when time goes on.

use sqlx::PgExecutor;

use crate::{DatabaseError, JobId, QueueName, Schema, sql};

/// The first to be due, or to have been, of the waiting jobs of these queues and kinds, and its queue.
///
/// # Errors
/// The migrations are missing or the database failed.
pub async fn next_scheduled<'q>(
    executor: impl PgExecutor<'_>,
    schema: &Schema,
    queues: &[&'q QueueName],
    kinds: &[String],
) -> Result<Option<(&'q QueueName, JobId)>, DatabaseError> {
    let next: Option<(String, i64)> = sql::query_as(include_str!("next_scheduled.sql"), schema)
        .bind(queues.iter().map(|queue| queue.as_str()).collect::<Vec<_>>())
        .bind(kinds)
        .fetch_optional(executor)
        .await
        .map_err(|error| DatabaseError::new(error, schema))?;
    Ok(next.and_then(|(name, id)| Some((*queues.iter().find(|queue| queue.as_str() == name)?, JobId(id)))))
}
