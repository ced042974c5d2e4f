//! What the clock of jobs shows.

use std::time::SystemTime;

use sqlx::PgExecutor;

use crate::{DatabaseError, Schema, sql, timestamp::Timestamp};

/// The database's now, which the times of schedules are compared with.
///
/// # Errors
/// The migrations are missing or the database failed.
pub async fn now(executor: impl PgExecutor<'_>, schema: &Schema) -> Result<SystemTime, DatabaseError> {
    let now: Timestamp = sql::query_scalar(include_str!("now.sql"), schema)
        .fetch_one(executor)
        .await
        .map_err(|error| DatabaseError::new(error, schema))?;
    Ok(now.0)
}
