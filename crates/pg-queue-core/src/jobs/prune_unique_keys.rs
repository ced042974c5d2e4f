//! Forgetting unique keys whose time is over.

use sqlx::PgExecutor;

use crate::{DatabaseError, Schema, sql};

/// Forgets up to `limit` unique keys that were held for a time that is over. Answers how many.
///
/// # Errors
/// The database failed.
pub async fn prune_unique_keys(
    executor: impl PgExecutor<'_>,
    schema: &Schema,
    limit: u32,
) -> Result<u64, DatabaseError> {
    let forgotten: i64 = sql::query_scalar(include_str!("prune_unique_keys.sql"), schema)
        .bind(i64::from(limit))
        .fetch_one(executor)
        .await
        .map_err(|error| DatabaseError::new(error, schema))?;
    Ok(forgotten.unsigned_abs())
}
