//! Who wants to be woken when jobs arrive.

use std::time::Duration;

use sqlx::PgExecutor;

use crate::{DatabaseError, QueueName, Schema, WorkerId, sql, timestamp::micros};

/// Asks for a notification on [`Schema::channel`] whenever jobs arrive in one of `queues`, for the next `span`.
/// Look for jobs once more after this has returned: some may have come before it.
///
/// # Errors
/// The database failed.
pub async fn wait(
    executor: impl PgExecutor<'_>,
    schema: &Schema,
    queues: &[QueueName],
    worker: WorkerId,
    span: Duration,
) -> Result<(), DatabaseError> {
    let keys: Vec<&str> = queues.iter().map(QueueName::as_str).collect();
    wait_for(executor, schema, &keys, worker, span).await
}

/// The same by what a trigger was told to notify: the name of a queue, or [`LogName::wake_key`](crate::logs::LogName::wake_key).
///
/// # Errors
/// The database failed.
pub async fn wait_for(
    executor: impl PgExecutor<'_>,
    schema: &Schema,
    keys: &[&str],
    worker: WorkerId,
    span: Duration,
) -> Result<(), DatabaseError> {
    sql::query(include_str!("wait.sql"), schema)
        .bind(keys)
        .bind(worker.0)
        .bind(micros(span))
        .execute(executor)
        .await
        .map_err(|error| DatabaseError::new(error, schema))?;
    Ok(())
}

/// Takes the wish back.
///
/// # Errors
/// The database failed.
pub async fn unwait(executor: impl PgExecutor<'_>, schema: &Schema, worker: WorkerId) -> Result<(), DatabaseError> {
    sql::query(include_str!("unwait.sql"), schema)
        .bind(worker.0)
        .execute(executor)
        .await
        .map_err(|error| DatabaseError::new(error, schema))?;
    Ok(())
}
