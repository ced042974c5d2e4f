//! The cache: values with a time to live.

mod ttl;

use std::{borrow::Cow, ops::Range, time::SystemTime};

use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};
use sqlx::{PgConnection, PgExecutor};

pub use self::ttl::{InvalidTtl, Ttl};
use crate::{
    DatabaseError, DecodeError, Schema, from_json,
    schema::shorten,
    sql,
    timestamp::{Timestamp, micros},
};

/// The longest value, in bytes of JSON.
pub const MAX_VALUE_BYTES: usize = 64 << 20;

/// Longer keys are stored as their SHA-256: an index entry has room for about 2,700 bytes.
const MAX_KEY_BYTES: usize = 512;

/// How many pages [`cleanup_part`] looks at: 8 MiB, some milliseconds.
const CLEANUP_PAGES: i64 = 1024;

/// When a value expires.
#[derive(Debug, Clone, Copy)]
pub enum Expiry {
    /// After this time.
    After(Ttl),
    /// At this moment, on the database's clock.
    At(SystemTime),
}

/// The value under `key`; `None` when there is none or it has expired.
///
/// # Errors
/// The value is not a `T`, the key holds a NUL, or the database failed.
pub async fn get<T: DeserializeOwned>(
    executor: impl PgExecutor<'_>,
    schema: &Schema,
    key: &str,
) -> Result<Option<T>, CacheError> {
    get_bytes(executor, schema, key).await?.map(|bytes| decode(key, &bytes)).transpose()
}

/// The value under `key` as it is stored; `None` when there is none or it has expired.
///
/// # Errors
/// The key holds a NUL, or the database failed.
pub async fn get_bytes(
    executor: impl PgExecutor<'_>,
    schema: &Schema,
    key: &str,
) -> Result<Option<Vec<u8>>, CacheError> {
    let bytes = sql::query_scalar(include_str!("get.sql"), schema)
        .bind(stored_key(key)?)
        .fetch_optional(executor)
        .await
        .map_err(|error| DatabaseError::new(error, schema))?;
    Ok(bytes)
}

/// The value that is stored as these bytes.
///
/// # Errors
/// It is not a `T`.
pub fn decode<T: DeserializeOwned>(key: &str, bytes: &[u8]) -> Result<T, CacheError> {
    from_json(bytes).map_err(|source| CacheError::Decode { key: shorten(key), source })
}

/// Sets the value under `key`, in place of one that is there.
///
/// # Errors
/// The value does not serialize or is longer than 64 MiB, the time to live or the key cannot be used, or the database
/// failed.
pub async fn set(
    executor: impl PgExecutor<'_>,
    schema: &Schema,
    key: &str,
    value: &impl Serialize,
    expiry: Expiry,
) -> Result<(), CacheError> {
    let (ttl, moment) = match expiry {
        Expiry::After(ttl) => (Some(micros(ttl.checked()?)), None),
        Expiry::At(moment) => (None, Some(Timestamp(moment))),
    };
    let bytes = serde_json::to_vec(value).map_err(|source| CacheError::Serialize { key: shorten(key), source })?;
    if bytes.len() > MAX_VALUE_BYTES {
        return Err(CacheError::TooLarge { key: shorten(key), bytes: bytes.len() });
    }
    sql::query(include_str!("set.sql"), schema)
        .bind(stored_key(key)?)
        .bind(bytes)
        .bind(ttl)
        .bind(moment)
        .execute(executor)
        .await
        .map_err(|error| DatabaseError::new(error, schema))?;
    Ok(())
}

/// Removes the value under `key`. Answers whether there was one that had not expired.
///
/// # Errors
/// The key holds a NUL, or the database failed.
pub async fn delete(executor: impl PgExecutor<'_>, schema: &Schema, key: &str) -> Result<bool, CacheError> {
    let gone: Option<bool> = sql::query_scalar(include_str!("delete.sql"), schema)
        .bind(stored_key(key)?)
        .fetch_optional(executor)
        .await
        .map_err(|error| DatabaseError::new(error, schema))?;
    Ok(gone.is_some())
}

/// Removes all values that have expired, in steps that each look at a bounded part of the table. Answers how many.
///
/// # Errors
/// The database failed; what was removed until then stays removed.
pub async fn cleanup_expired(connection: &mut PgConnection, schema: &Schema) -> Result<u64, CacheError> {
    let mut removed = 0;
    for pages in parts(&mut *connection, schema).await? {
        removed += cleanup_part(&mut *connection, schema, pages).await?;
    }
    Ok(removed)
}

/// The parts of the table, as ranges of its pages, for [`cleanup_part`].
///
/// # Errors
/// The migrations are missing or the database failed.
pub async fn parts(executor: impl PgExecutor<'_>, schema: &Schema) -> Result<Vec<Range<i64>>, DatabaseError> {
    let pages: i64 = sql::query_scalar(include_str!("pages.sql"), schema)
        .bind(format!("\"{schema}\".pg_queue_cache"))
        .fetch_one(executor)
        .await
        .map_err(|error| DatabaseError::new(error, schema))?;
    let starts = (0..).map(|part| part * CLEANUP_PAGES).take_while(|start| *start < pages);
    Ok(starts.map(|start| start..start + CLEANUP_PAGES).collect())
}

/// Removes what has expired in one part of the table. Answers how many values.
///
/// # Errors
/// The database failed.
pub async fn cleanup_part(
    executor: impl PgExecutor<'_>,
    schema: &Schema,
    pages: Range<i64>,
) -> Result<u64, DatabaseError> {
    let removed: i64 = sql::query_scalar(include_str!("cleanup_expired.sql"), schema)
        .bind(pages.start)
        .bind(pages.end)
        .fetch_one(executor)
        .await
        .map_err(|error| DatabaseError::new(error, schema))?;
    Ok(removed.unsigned_abs())
}

fn stored_key(key: &str) -> Result<Cow<'_, str>, CacheError> {
    if key.contains('\0') {
        return Err(CacheError::InvalidKey);
    }
    if key.len() <= MAX_KEY_BYTES {
        return Ok(Cow::Borrowed(key));
    }
    let digest: String = Sha256::digest(key.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Cow::Owned(format!("sha256:{digest}")))
}

/// Why a call of the cache failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CacheError {
    /// The stored value is not what the caller asked for.
    #[error("the value under {key:?} does not decode: {source}")]
    Decode {
        /// The key, cut to a length that fits a log line.
        key: String,
        /// What did not fit.
        source: DecodeError,
    },
    /// The value cannot be written as JSON.
    #[error("the value for {key:?} does not serialize: {source}")]
    Serialize {
        /// The key, cut to a length that fits a log line.
        key: String,
        /// What went wrong.
        source: serde_json::Error,
    },
    /// The value is too long.
    #[error("the value for {key:?} has {bytes} bytes: at most 64 MiB are allowed")]
    TooLarge {
        /// The key, cut to a length that fits a log line.
        key: String,
        /// Its length.
        bytes: usize,
    },
    /// The key holds a NUL.
    #[error("invalid cache key: it holds a NUL, which PostgreSQL does not take")]
    InvalidKey,
    /// The time to live cannot be used.
    #[error(transparent)]
    InvalidTtl(#[from] InvalidTtl),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}
