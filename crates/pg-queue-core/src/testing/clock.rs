//! A clock of jobs that tests can move.
//!
//! What goes by `now()` itself is not moved: who is alive, the cache, replies.

use std::time::{Duration, SystemTime};

use sqlx::PgExecutor;

use crate::{
    DatabaseError, Schema, sql,
    timestamp::{Timestamp, clamped_database_micros, micros},
};

/// Puts a clock that can be moved in the place of the jobs' own. Does nothing when it is there.
///
/// # Errors
/// The migrations are missing, the caller does not own the tables, or the database failed.
pub async fn install_clock(executor: impl PgExecutor<'_>, schema: &Schema) -> Result<(), DatabaseError> {
    // By the simple protocol: the server plans no statement of this kind, so it has nothing to prepare.
    sqlx::raw_sql(sql::in_schema(include_str!("install_clock.sql"), schema))
        .execute(executor)
        .await
        .map_err(|error| DatabaseError::new(error, schema))?;
    Ok(())
}

/// Gives the jobs their own clock back.
///
/// # Errors
/// There was never a clock that could be moved, or the database failed.
pub async fn remove_clock(executor: impl PgExecutor<'_>, schema: &Schema) -> Result<(), DatabaseError> {
    sqlx::raw_sql(sql::in_schema(include_str!("remove_clock.sql"), schema))
        .execute(executor)
        .await
        .map_err(|error| DatabaseError::new(error, schema))?;
    Ok(())
}

/// Moves the clock ahead, and answers what it shows then; `None` when it was removed.
///
/// # Errors
/// The database failed.
pub async fn advance_clock(
    executor: impl PgExecutor<'_>,
    schema: &Schema,
    by: Duration,
) -> Result<Option<SystemTime>, DatabaseError> {
    shown(sql::query_scalar(include_str!("advance_clock.sql"), schema).bind(micros(by)), executor)
        .await
        .map_err(|error| DatabaseError::new(error, schema))
}

/// Sets the clock, to a year up to 9999, and answers what it shows then; `None` when it was removed.
///
/// # Errors
/// The database failed.
pub async fn set_clock(
    executor: impl PgExecutor<'_>,
    schema: &Schema,
    to: SystemTime,
) -> Result<Option<SystemTime>, DatabaseError> {
    let to = clamped_database_micros(to);
    shown(sql::query_scalar(include_str!("set_clock.sql"), schema).bind(to), executor)
        .await
        .map_err(|error| DatabaseError::new(error, schema))
}

/// What the jobs' clock shows, whichever that is.
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

async fn shown(
    statement: sqlx::query::QueryScalar<'_, sqlx::Postgres, Timestamp, sqlx::postgres::PgArguments>,
    executor: impl PgExecutor<'_>,
) -> Result<Option<SystemTime>, sqlx::Error> {
    let shown = statement.fetch_optional(executor).await?;
    Ok(shown.map(|shown| shown.0))
}
