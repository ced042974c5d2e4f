//! Giving back the space of what has expired, in parts of which each takes a moment.

use std::ops::Range;

use sqlx::{PgConnection, PgExecutor};

use super::{CacheError, CacheTable};
use crate::{DatabaseError, Schema, sql};

/// How many pages a part has: 8 MiB, some milliseconds.
const PART: i64 = 1024;

/// Removes all values that have expired, part by part. Answers how many.
///
/// # Errors
/// The database failed; what was removed until then stays removed.
pub async fn cleanup_expired(connection: &mut PgConnection, table: &CacheTable) -> Result<u64, CacheError> {
    let mut removed = 0;
    for pages in parts(&mut *connection, table).await? {
        removed += cleanup_part(&mut *connection, table, pages).await?;
    }
    Ok(removed)
}

/// The parts of the table, as ranges of its pages, for [`cleanup_part`].
///
/// # Errors
/// The migrations are missing or the database failed.
pub async fn parts(executor: impl PgExecutor<'_>, table: &CacheTable) -> Result<Vec<Range<i64>>, DatabaseError> {
    let pages = pages(executor, &table.schema, table.name()).await?;
    Ok(divided(pages))
}

/// Removes what has expired in one part of the table. Answers how many values.
///
/// # Errors
/// The database failed.
pub async fn cleanup_part(
    executor: impl PgExecutor<'_>,
    table: &CacheTable,
    pages: Range<i64>,
) -> Result<u64, DatabaseError> {
    let removed: i64 = sql::query_scalar(include_str!("cleanup_expired.sql"), table)
        .bind(pages.start)
        .bind(pages.end)
        .fetch_one(executor)
        .await
        .map_err(|error| DatabaseError::new(error, &table.schema))?;
    Ok(removed.unsigned_abs())
}

/// The parts of the table of limits, for [`cleanup_limits`].
///
/// # Errors
/// The migrations are missing or the database failed.
pub async fn parts_of_limits(executor: impl PgExecutor<'_>, schema: &Schema) -> Result<Vec<Range<i64>>, DatabaseError> {
    Ok(divided(pages(executor, schema, "pg_queue_limits").await?))
}

/// Removes what is left of limits that nobody has asked about for a while, in one part of their table. Answers how many.
///
/// # Errors
/// The database failed.
pub async fn cleanup_limits(
    executor: impl PgExecutor<'_>,
    schema: &Schema,
    pages: Range<i64>,
) -> Result<u64, DatabaseError> {
    let removed: i64 = sql::query_scalar(include_str!("cleanup_limits.sql"), schema)
        .bind(pages.start)
        .bind(pages.end)
        .fetch_one(executor)
        .await
        .map_err(|error| DatabaseError::new(error, schema))?;
    Ok(removed.unsigned_abs())
}

pub(super) async fn pages(executor: impl PgExecutor<'_>, schema: &Schema, table: &str) -> Result<i64, DatabaseError> {
    sql::query_scalar(include_str!("pages.sql"), schema)
        .bind(format!("\"{schema}\".{table}"))
        .fetch_one(executor)
        .await
        .map_err(|error| DatabaseError::new(error, schema))
}

fn divided(pages: i64) -> Vec<Range<i64>> {
    let starts = (0..).map(|part| part * PART).take_while(|start| *start < pages);
    starts.map(|start| start..start + PART).collect()
}
