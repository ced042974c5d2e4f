//! Loading a value that is missing: by one caller at a time, among all processes.
//!
//! Whoever is to load writes a claim into the key's row, which makes one if there is none. The claim ends with the value, with a
//! failure, or, when its process has died, after its time. To set or to delete the key takes the claim away, and with it the
//! right to store what was loaded: that may be older than the deletion.

use std::time::Duration;

use sqlx::PgExecutor;

use super::{CacheTable, Entry, Found, Key, Version, slots::told};
use crate::{
    DatabaseError, sql,
    timestamp::{Timestamp, micros},
};

/// The right to load a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadToken(i64);

impl LoadToken {
    /// One that nobody else has.
    #[must_use]
    pub fn random() -> Self {
        Self(rand::random())
    }
}

/// What is under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peeked {
    /// The value, stale or not.
    pub found: Option<Found>,
    /// Whether somebody loads it at the moment.
    pub loading: bool,
}

/// Claims the loading of a value for so long, if nobody else has and there is no value, or none but this version. Answers whether
/// it was claimed.
///
/// # Errors
/// The database failed.
pub async fn claim_load(
    executor: impl PgExecutor<'_>,
    table: &CacheTable,
    key: &Key,
    token: LoadToken,
    stands: Duration,
    instead_of: Option<Version>,
) -> Result<bool, DatabaseError> {
    let claimed = sql::query(include_str!("claim_load.sql"), table)
        .bind(key.as_bytes())
        .bind(token.0)
        .bind(micros(stands))
        .bind(instead_of.map(|version| version.0))
        .bind(table.is_durable())
        .fetch_optional(executor)
        .await;
    claimed.map(|row| row.is_some()).map_err(|error| DatabaseError::new(error, &table.schema))
}

/// Looks at a key that somebody loads.
///
/// # Errors
/// The database failed.
pub async fn peek(executor: impl PgExecutor<'_>, table: &CacheTable, key: &Key) -> Result<Peeked, DatabaseError> {
    type Row = (Option<Vec<u8>>, i64, Option<Timestamp>, Option<i64>, Timestamp, bool);
    let row: Option<Row> = sql::query_as(include_str!("peek.sql"), table)
        .bind(key.as_bytes())
        .fetch_optional(executor)
        .await
        .map_err(|error| DatabaseError::new(error, &table.schema))?;
    let Some((value, version, expires_at, slides, now, loading)) = row else {
        return Ok(Peeked { found: None, loading: false });
    };
    let found = value.map(|value| Found::from_row((value, version, expires_at, slides, now)));
    Ok(Peeked { found, loading })
}

/// Lets a claim stand for so long from now on. Answers whether it is still there.
///
/// # Errors
/// The database failed.
pub async fn renew_load(
    executor: impl PgExecutor<'_>,
    table: &CacheTable,
    key: &Key,
    token: LoadToken,
    stands: Duration,
) -> Result<bool, DatabaseError> {
    let renewed = sql::query(include_str!("renew_load.sql"), table)
        .bind(key.as_bytes())
        .bind(token.0)
        .bind(micros(stands))
        .bind(table.is_durable())
        .fetch_optional(executor)
        .await;
    renewed.map(|row| row.is_some()).map_err(|error| DatabaseError::new(error, &table.schema))
}

/// Gives a claim back, so that the next one may load.
///
/// # Errors
/// The database failed.
pub async fn release_load(
    executor: impl PgExecutor<'_>,
    table: &CacheTable,
    key: &Key,
    token: LoadToken,
) -> Result<(), DatabaseError> {
    sql::query(include_str!("release_load.sql"), table)
        .bind(key.as_bytes())
        .bind(token.0)
        .execute(executor)
        .await
        .map_err(|error| DatabaseError::new(error, &table.schema))?;
    Ok(())
}

/// Sets a value that was loaded, which may be shown for `stale` after its time while another one is loaded. Answers whether it
/// was set: not when the claim is gone.
///
/// # Errors
/// The database failed.
pub async fn finish_load(
    executor: impl PgExecutor<'_>,
    table: &CacheTable,
    entry: &Entry,
    stale: Duration,
    token: LoadToken,
) -> Result<bool, DatabaseError> {
    let finished = sql::query(include_str!("finish_load.sql"), table)
        .bind(entry.key.as_bytes())
        .bind(&*entry.value)
        .bind(entry.written.lives)
        .bind(entry.written.expires)
        .bind(entry.written.slides)
        .bind(entry.version.0)
        .bind(micros(stale))
        .bind(token.0)
        .bind(told([&entry.key]))
        .bind(table.is_durable())
        .fetch_optional(executor)
        .await;
    finished.map(|row| row.is_some()).map_err(|error| DatabaseError::new(error, &table.schema))
}
