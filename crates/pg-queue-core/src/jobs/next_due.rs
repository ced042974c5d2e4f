//! Looking when the next job is due.

use std::time::Duration;

use sqlx::PgExecutor;

use crate::{QueueError, QueueTable, sql};

/// How long until the next job that is not due yet; `None` when there is none.
///
/// # Errors
/// The queue is missing or the database failed.
pub async fn next_due(executor: impl PgExecutor<'_>, table: &QueueTable) -> Result<Option<Duration>, QueueError> {
    let micros: Option<i64> = sql::query_scalar(include_str!("next_due.sql"), table)
        .fetch_one(executor)
        .await
        .map_err(|error| QueueError::new(error, table))?;
    Ok(micros.map(|micros| Duration::from_micros(micros.unsigned_abs())))
}
