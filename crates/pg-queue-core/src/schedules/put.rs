//! Putting a schedule in the place of an earlier one of its name.

use std::time::SystemTime;

use sqlx::PgExecutor;

use super::NewSchedule;
use crate::{
    DatabaseError, Schema, sql,
    timestamp::{Timestamp, clamped_database_micros},
};

/// Puts the schedule, in place of one of its name: then its next time stays unless the expression or the zone is another one,
/// and so do its pause and what is known of its last job. Answers the next time; `None` when it is a declared one and
/// somebody has put another of that name by hand, which stays.
///
/// # Errors
/// The migrations are missing or the database failed.
pub async fn put(
    executor: impl PgExecutor<'_>,
    schema: &Schema,
    new: &NewSchedule,
) -> Result<Option<SystemTime>, DatabaseError> {
    let next: Option<Timestamp> = sql::query_scalar(include_str!("put.sql"), schema)
        .bind(&new.name)
        .bind(new.queue.as_str())
        .bind(&new.kind)
        .bind(&new.expression)
        .bind(&new.timezone)
        .bind(new.missed)
        .bind(new.catch_up)
        .bind(clamped_database_micros(new.next_at))
        .bind(new.declared)
        .bind(new.priority)
        .bind(new.max_attempts)
        .bind(new.timeout_ms)
        .bind(new.unique_key.as_deref())
        .bind(new.unique_while_waiting)
        .bind(new.tags.as_deref())
        .bind(new.metadata.as_deref())
        .bind(&new.payload)
        .fetch_optional(executor)
        .await
        .map_err(|error| DatabaseError::new(error, schema))?;
    Ok(next.map(|next| next.0))
}
