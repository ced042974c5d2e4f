//! Pausing a schedule, and letting it go on.

use std::time::SystemTime;

use sqlx::PgExecutor;

use super::StoredSchedule;
use crate::{DatabaseError, Schema, sql, timestamp::clamped_database_micros};

/// Pauses the schedule: none of its times comes. Answers whether there is one of that name.
///
/// # Errors
/// The migrations are missing or the database failed.
pub async fn pause(executor: impl PgExecutor<'_>, schema: &Schema, name: &str) -> Result<bool, DatabaseError> {
    let paused = sql::query(include_str!("pause.sql"), schema)
        .bind(name)
        .fetch_optional(executor)
        .await
        .map_err(|error| DatabaseError::new(error, schema))?;
    Ok(paused.is_some())
}

/// Lets a paused schedule go on from `next_at`, which follows from its expression and zone as they were `read`. Answers
/// whether it did: it does not if they are others by now, or it is not paused.
///
/// # Errors
/// The migrations are missing or the database failed.
pub async fn resume(
    executor: impl PgExecutor<'_>,
    schema: &Schema,
    read: &StoredSchedule,
    next_at: SystemTime,
) -> Result<bool, DatabaseError> {
    let resumed = sql::query(include_str!("resume.sql"), schema)
        .bind(&read.name)
        .bind(&read.expression)
        .bind(&read.timezone)
        .bind(clamped_database_micros(next_at))
        .fetch_optional(executor)
        .await
        .map_err(|error| DatabaseError::new(error, schema))?;
    Ok(resumed.is_some())
}
