//! Locks with a fencing number.

use std::time::Duration;

use sqlx::PgExecutor;

use super::{InvalidTtl, Key, Ttl};
use crate::{DatabaseError, Schema, sql, timestamp::micros};

/// Who holds a lock: drawn at random for each time that it is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockHolder(i64);

impl LockHolder {
    /// One that nobody else is.
    #[must_use]
    pub fn random() -> Self {
        Self(rand::random())
    }
}

/// Why a call about a lock failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// The time cannot be used.
    #[error(transparent)]
    InvalidTtl(#[from] InvalidTtl),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// Takes a lock for so long, if nobody holds it. Answers with its fencing number, which is higher than all that were given out
/// for it before.
///
/// # Errors
/// The time cannot be used, or the database failed.
pub async fn acquire_lock(
    executor: impl PgExecutor<'_>,
    schema: &Schema,
    name: &Key,
    holder: LockHolder,
    ttl: Ttl,
) -> Result<Option<i64>, LockError> {
    let row: Option<(i64, Option<String>)> = sql::query_as(include_str!("acquire_lock.sql"), schema)
        .bind(name.as_bytes())
        .bind(holder.0)
        .bind(micros(ttl.checked()?).max(1))
        .fetch_optional(executor)
        .await
        .map_err(|error| DatabaseError::new(error, schema))?;
    Ok(row.map(|(fence, _)| fence))
}

/// Holds a lock for so long from now on. Answers whether it was still held.
///
/// # Errors
/// The database failed.
pub async fn renew_lock(
    executor: impl PgExecutor<'_>,
    schema: &Schema,
    name: &Key,
    holder: LockHolder,
    ttl: Duration,
) -> Result<bool, DatabaseError> {
    let renewed = sql::query(include_str!("renew_lock.sql"), schema)
        .bind(name.as_bytes())
        .bind(holder.0)
        .bind(micros(ttl).max(1))
        .fetch_optional(executor)
        .await;
    renewed.map(|row| row.is_some()).map_err(|error| DatabaseError::new(error, schema))
}

/// Gives a lock back. Answers whether it was still held.
///
/// # Errors
/// The database failed.
pub async fn release_lock(
    executor: impl PgExecutor<'_>,
    schema: &Schema,
    name: &Key,
    holder: LockHolder,
) -> Result<bool, DatabaseError> {
    let released = sql::query(include_str!("release_lock.sql"), schema)
        .bind(name.as_bytes())
        .bind(holder.0)
        .fetch_optional(executor)
        .await;
    released.map(|row| row.is_some()).map_err(|error| DatabaseError::new(error, schema))
}

/// Forgets up to `most` locks that nobody has held for a day. Answers how many.
///
/// # Errors
/// The database failed.
pub async fn prune_locks(executor: impl PgExecutor<'_>, schema: &Schema, most: u32) -> Result<u64, DatabaseError> {
    let pruned = sql::query(include_str!("prune_locks.sql"), schema).bind(i64::from(most)).execute(executor).await;
    pruned.map(|pruned| pruned.rows_affected()).map_err(|error| DatabaseError::new(error, schema))
}
