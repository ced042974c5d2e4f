//! Reading values.

use std::collections::HashMap;

use sqlx::PgExecutor;

use super::{CacheTable, Found, Key, value::Row};
use crate::{DatabaseError, sql, timestamp::Timestamp};

/// The value under `key`; `None` when there is none. One that has expired may be found all the same, and
/// [says so](Found::is_stale).
///
/// # Errors
/// The database failed.
pub async fn get(executor: impl PgExecutor<'_>, table: &CacheTable, key: &Key) -> Result<Option<Found>, DatabaseError> {
    let row: Option<Row> = sql::query_as(include_str!("get.sql"), table)
        .bind(key.as_bytes())
        .fetch_optional(executor)
        .await
        .map_err(|error| DatabaseError::new(error, &table.schema))?;
    Ok(row.map(Found::from_row))
}

/// The same for many keys, each of which is given once, position by position.
///
/// # Errors
/// The database failed.
pub async fn get_many(
    executor: impl PgExecutor<'_>,
    table: &CacheTable,
    keys: &[&Key],
) -> Result<Vec<Option<Found>>, DatabaseError> {
    type Keyed = (Vec<u8>, Vec<u8>, i64, Option<Timestamp>, Option<i64>, Timestamp);
    let bytes: Vec<&[u8]> = keys.iter().map(|key| key.as_bytes()).collect();
    let rows: Vec<Keyed> = sql::query_as(include_str!("get_many.sql"), table)
        .bind(bytes)
        .fetch_all(executor)
        .await
        .map_err(|error| DatabaseError::new(error, &table.schema))?;
    let mut found: HashMap<Vec<u8>, Found> = HashMap::with_capacity(rows.len());
    for (key, value, version, expires_at, slides, now) in rows {
        found.insert(key, Found::from_row((value, version, expires_at, slides, now)));
    }
    Ok(keys.iter().map(|key| found.remove(key.as_bytes())).collect())
}

/// Notes that values that slide were used, so that they live on. Those that somebody writes at the moment are left out.
///
/// # Errors
/// The database failed.
pub async fn slide(executor: impl PgExecutor<'_>, table: &CacheTable, keys: &[&Key]) -> Result<(), DatabaseError> {
    let bytes: Vec<&[u8]> = keys.iter().map(|key| key.as_bytes()).collect();
    sql::query(include_str!("slide.sql"), table)
        .bind(bytes)
        .bind(table.is_durable())
        .execute(executor)
        .await
        .map_err(|error| DatabaseError::new(error, &table.schema))?;
    Ok(())
}
