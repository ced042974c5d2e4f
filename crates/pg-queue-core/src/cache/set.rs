//! Setting values.

use sqlx::{PgExecutor, Postgres, postgres::PgArguments, query::Query};

use super::{CacheTable, Entry, Expiry, InvalidTtl, Key, Version, slots::told};
use crate::{Commit, DatabaseError, sql};

/// Sets a value, in place of one that is there. With tags it can be removed by each of them.
///
/// # Errors
/// The database failed.
pub async fn set(
    executor: impl PgExecutor<'_>,
    table: &CacheTable,
    entry: &Entry,
    tags: &[String],
) -> Result<(), DatabaseError> {
    bound(include_str!("set.sql"), table, entry, tags, Commit::LoseOnCrash)
        .execute(executor)
        .await
        .map_err(|error| DatabaseError::new(error, &table.schema))?;
    Ok(())
}

/// Sets values without tags. Of several for one key the last one counts.
///
/// # Errors
/// The database failed; then none is set.
pub async fn set_many(
    executor: impl PgExecutor<'_>,
    table: &CacheTable,
    entries: &[&Entry],
) -> Result<(), DatabaseError> {
    let mut entries = entries.to_vec();
    // Stable, so that the last one for a key is the last of them here.
    entries.sort_by(|a, b| a.key.cmp(&b.key));
    entries.reverse();
    entries.dedup_by(|a, b| a.key == b.key);
    entries.reverse();
    sql::query(include_str!("set_many.sql"), table)
        .bind(entries.iter().map(|it| it.key.as_bytes()).collect::<Vec<_>>())
        .bind(entries.iter().map(|it| &*it.value).collect::<Vec<_>>())
        .bind(entries.iter().map(|it| it.written.lives).collect::<Vec<_>>())
        .bind(entries.iter().map(|it| it.written.expires).collect::<Vec<_>>())
        .bind(entries.iter().map(|it| it.written.slides).collect::<Vec<_>>())
        .bind(entries.iter().map(|it| it.version.0).collect::<Vec<_>>())
        .bind(told(entries.iter().map(|it| &it.key)))
        .bind(table.is_durable())
        .execute(executor)
        .await
        .map_err(|error| DatabaseError::new(error, &table.schema))?;
    Ok(())
}

/// Sets a value if there is none, and commits as told if the table is the durable one. Answers whether it was set.
///
/// # Errors
/// The database failed.
pub async fn set_if_absent(
    executor: impl PgExecutor<'_>,
    table: &CacheTable,
    entry: &Entry,
    commit: Commit,
) -> Result<bool, DatabaseError> {
    let set = bound(include_str!("set_if_absent.sql"), table, entry, &[], commit).fetch_optional(executor).await;
    set.map(|row| row.is_some()).map_err(|error| DatabaseError::new(error, &table.schema))
}

/// Sets a value in place of this version of it. Answers whether that was there.
///
/// # Errors
/// The database failed.
pub async fn compare_and_swap(
    executor: impl PgExecutor<'_>,
    table: &CacheTable,
    entry: &Entry,
    version: Version,
) -> Result<bool, DatabaseError> {
    let swap = include_str!("compare_and_swap.sql");
    let statement = bound(swap, table, entry, &[], Commit::LoseOnCrash).bind(version.0);
    let set = statement.fetch_optional(executor).await;
    set.map(|row| row.is_some()).map_err(|error| DatabaseError::new(error, &table.schema))
}

/// Gives a value another time to live. Answers whether there was one.
///
/// # Errors
/// The time to live cannot be used, or the database failed.
pub async fn touch(
    executor: impl PgExecutor<'_>,
    table: &CacheTable,
    key: &Key,
    expiry: Expiry,
) -> Result<bool, super::CacheError> {
    let written = expiry.checked().map_err(|error: InvalidTtl| error)?;
    let touched = sql::query(include_str!("touch.sql"), table)
        .bind(key.as_bytes())
        .bind(written.lives)
        .bind(written.expires)
        .bind(written.slides)
        .bind(told([key]))
        .bind(table.is_durable())
        .fetch_optional(executor)
        .await
        .map_err(|error| DatabaseError::new(error, &table.schema))?;
    Ok(touched.is_some())
}

/// A statement about one entry, with what all of them have in common.
fn bound<'q>(
    template: &str,
    table: &CacheTable,
    entry: &'q Entry,
    tags: &'q [String],
    commit: Commit,
) -> Query<'q, Postgres, PgArguments> {
    sql::query(template, table)
        .bind(entry.key.as_bytes())
        .bind(&*entry.value)
        .bind(entry.written.lives)
        .bind(entry.written.expires)
        .bind(entry.written.slides)
        .bind(entry.version.0)
        .bind((!tags.is_empty()).then_some(tags))
        .bind(told([&entry.key]))
        .bind(table.is_durable() && commit == Commit::LoseOnCrash)
}
