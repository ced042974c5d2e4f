//! What can go wrong with the cache.

use super::{InvalidLimit, InvalidNamespace, InvalidTtl, Key, MAX_VALUE_BYTES, key::PrefixTooLong};
use crate::{DatabaseError, DecodeError};

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
    #[error("the value for {key:?} has {bytes} bytes: at most {} MiB are allowed", MAX_VALUE_BYTES >> 20)]
    TooLarge {
        /// The key, cut to a length that fits a log line.
        key: String,
        /// Its length.
        bytes: usize,
    },
    /// The value is no counter, or the sum would leave the range of 64 bits.
    #[error(
        "nothing can be added to the value under {key:?}: it is no whole number, or the sum leaves the range of 64 bits"
    )]
    NoCounter {
        /// The key, cut to a length that fits a log line.
        key: String,
    },
    /// The time to live cannot be used.
    #[error(transparent)]
    InvalidTtl(#[from] InvalidTtl),
    /// The name of the namespace cannot be used.
    #[error(transparent)]
    InvalidNamespace(#[from] InvalidNamespace),
    /// The limit cannot be used.
    #[error(transparent)]
    InvalidLimit(#[from] InvalidLimit),
    /// The prefix cannot be used.
    #[error(transparent)]
    PrefixTooLong(#[from] PrefixTooLong),
    /// What was sending the call ended before it had an answer: the runtime was shut down. It may have been carried out.
    #[error("the runtime was shut down while the call was on its way: it may or may not have been carried out")]
    Interrupted,
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl CacheError {
    pub(super) fn serialize(key: &Key, source: serde_json::Error) -> Self {
        Self::Serialize { key: key.shown(), source }
    }
}
