//! Looking when the next time of a schedule comes.

use std::time::Duration;

use sqlx::PgExecutor;

use crate::{DatabaseError, Schema, sql};

/// How long until the next time of a schedule that makes jobs of `kinds` (`None`: of any); `None` when there is none. Times
/// that have come are not looked at.
///
/// # Errors
/// The migrations are missing or the database failed.
pub async fn until_next(
    executor: impl PgExecutor<'_>,
    schema: &Schema,
    kinds: Option<&[String]>,
) -> Result<Option<Duration>, DatabaseError> {
    let micros: Option<i64> = sql::query_scalar(include_str!("until_next.sql"), schema)
        .bind(kinds)
        .fetch_one(executor)
        .await
        .map_err(|error| DatabaseError::new(error, schema))?;
    Ok(micros.map(|micros| Duration::from_micros(micros.unsigned_abs())))
}
