//! Processes that keep values in their memory.

use std::time::Duration;

use sqlx::PgExecutor;

use crate::{DatabaseError, Schema, sql, timestamp::micros};

/// Says that the process with this number, drawn at random, keeps values for so long: changes are told on the
/// [channel](super::channel) only while somebody does.
///
/// # Errors
/// The database failed.
pub async fn register_tier(
    executor: impl PgExecutor<'_>,
    schema: &Schema,
    process: i64,
    during: Duration,
) -> Result<(), DatabaseError> {
    sql::query(include_str!("register_tier.sql"), schema)
        .bind(process)
        .bind(micros(during))
        .execute(executor)
        .await
        .map_err(|error| DatabaseError::new(error, schema))?;
    Ok(())
}
