//! Removing values.

use sqlx::PgExecutor;

use super::{
    CacheError, CacheTable, Key, Namespace,
    slots::{ALL, told},
};
use crate::{DatabaseError, sql};

/// How many rows [`delete_prefix`] and [`delete_tagged`] remove at most in one statement.
pub const REMOVED_AT_ONCE: i64 = 10_000;

/// What one step of a removal did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Removed {
    /// How many values that had not expired.
    pub values: u64,
    /// Whether another step is to follow.
    pub more: bool,
}

/// Removes values. Answers how many there were.
///
/// # Errors
/// The database failed.
pub async fn delete(executor: impl PgExecutor<'_>, table: &CacheTable, keys: &[&Key]) -> Result<u64, DatabaseError> {
    let mut keys = keys.to_vec();
    keys.sort_unstable();
    keys.dedup();
    let (count, ..): (i64, Option<String>, i64) = sql::query_as(include_str!("delete.sql"), table)
        .bind(keys.iter().map(|key| key.as_bytes()).collect::<Vec<_>>())
        .bind(told(keys.iter().copied()))
        .bind(table.is_durable())
        .fetch_one(executor)
        .await
        .map_err(|error| DatabaseError::new(error, &table.schema))?;
    Ok(count.unsigned_abs())
}

/// Removes a value and answers it.
///
/// # Errors
/// The database failed.
pub async fn take(
    executor: impl PgExecutor<'_>,
    table: &CacheTable,
    key: &Key,
) -> Result<Option<Vec<u8>>, DatabaseError> {
    let row: Option<(Option<Vec<u8>>, Option<String>, i64)> = sql::query_as(include_str!("take.sql"), table)
        .bind(key.as_bytes())
        .bind(told([key]))
        .bind(table.is_durable())
        .fetch_optional(executor)
        .await
        .map_err(|error| DatabaseError::new(error, &table.schema))?;
    Ok(row.and_then(|(value, ..)| value))
}

/// Removes some of the values whose keys begin with `prefix`. With the empty one those of the whole namespace.
///
/// # Errors
/// The prefix is longer than 512 bytes, or the database failed.
pub async fn delete_prefix(
    executor: impl PgExecutor<'_>,
    table: &CacheTable,
    namespace: &Namespace,
    prefix: &[u8],
) -> Result<Removed, CacheError> {
    let (first, after) = namespace.range(prefix)?;
    let row: (i64, i64, Option<String>, i64) = sql::query_as(include_str!("delete_range.sql"), table)
        .bind(first)
        .bind(after)
        .bind(REMOVED_AT_ONCE)
        .bind(ALL)
        .bind(table.is_durable())
        .fetch_one(executor)
        .await
        .map_err(|error| DatabaseError::new(error, &table.schema))?;
    Ok(removed(&row))
}

/// Removes some of the values of a namespace that have a tag.
///
/// # Errors
/// The database failed.
pub async fn delete_tagged(
    executor: impl PgExecutor<'_>,
    table: &CacheTable,
    namespace: &Namespace,
    tag: &str,
) -> Result<Removed, CacheError> {
    let (first, after) = namespace.range(b"")?;
    let row: (i64, i64, Option<String>, i64) = sql::query_as(include_str!("delete_tagged.sql"), table)
        .bind(tag)
        .bind(first)
        .bind(after)
        .bind(REMOVED_AT_ONCE)
        .bind(ALL)
        .bind(table.is_durable())
        .fetch_one(executor)
        .await
        .map_err(|error| DatabaseError::new(error, &table.schema))?;
    Ok(removed(&row))
}

fn removed((rows, values, ..): &(i64, i64, Option<String>, i64)) -> Removed {
    Removed { values: values.unsigned_abs(), more: *rows >= REMOVED_AT_ONCE }
}
