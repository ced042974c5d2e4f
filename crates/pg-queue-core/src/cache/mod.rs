//! The cache: values with a time to live.

mod ttl;

use std::{borrow::Cow, time::SystemTime};

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

/// How many pages one step of [`cleanup_expired`] looks at: 8 MiB, some milliseconds.
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
    let value: Option<Vec<u8>> = sqlx::query_scalar(sql::in_schema(include_str!("get.sql"), schema))
        .bind(stored_key(key)?)
        .fetch_optional(executor)
        .await
        .map_err(|error| DatabaseError::new(error, schema))?;
    value.map(|bytes| from_json(&bytes).map_err(|source| CacheError::Decode { key: shorten(key), source })).transpose()
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
    sqlx::query(sql::in_schema(include_str!("set.sql"), schema))
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
    let gone: Option<bool> = sqlx::query_scalar(sql::in_schema(include_str!("delete.sql"), schema))
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
    let failed = |error| DatabaseError::new(error, schema);
    let pages: i64 = sqlx::query_scalar(include_str!("pages.sql"))
        .bind(format!("\"{schema}\".pg_queue_cache"))
        .fetch_one(&mut *connection)
        .await
        .map_err(failed)?;
    let mut removed = 0;
    let mut page = 0;
    while page < pages {
        let count: i64 = sqlx::query_scalar(sql::in_schema(include_str!("cleanup_expired.sql"), schema))
            .bind(page)
            .bind(page + CLEANUP_PAGES)
            .fetch_one(&mut *connection)
            .await
            .map_err(failed)?;
        removed += count.unsigned_abs();
        page += CLEANUP_PAGES;
    }
    Ok(removed)
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
