//! Values on their way to a table, and out of it.

use std::time::Duration;

use serde::{Serialize, de::DeserializeOwned};

use super::{CacheError, Expiry, Key, ttl::Written};
use crate::{from_json, timestamp::Timestamp};

/// The longest value, in bytes.
pub const MAX_VALUE_BYTES: usize = 64 << 20;

/// Which of the values that a key has had. Never the same for two of them, also when the key was gone in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Version(pub(super) i64);

/// A value that is to be set.
#[derive(Debug, Clone)]
pub struct Entry {
    pub(super) key: Key,
    pub(super) value: Vec<u8>,
    pub(super) written: Written,
    pub(super) version: Version,
}

impl Entry {
    /// A value as bytes.
    ///
    /// # Errors
    /// It is longer than 64 MiB, or its time to live cannot be used.
    pub fn new(key: Key, value: Vec<u8>, expiry: Expiry) -> Result<Self, CacheError> {
        let written = expiry.checked()?;
        if value.len() > MAX_VALUE_BYTES {
            return Err(CacheError::TooLarge { key: key.shown(), bytes: value.len() });
        }
        Ok(Self { key, value, written, version: Version(rand::random()) })
    }

    /// A value as JSON.
    ///
    /// # Errors
    /// It does not serialize, or for those of [`new`](Self::new).
    pub fn json(key: Key, value: &(impl Serialize + ?Sized), expiry: Expiry) -> Result<Self, CacheError> {
        // Before the work of writing it.
        expiry.checked()?;
        match serde_json::to_vec(value) {
            Ok(bytes) => Self::new(key, bytes, expiry),
            Err(source) => Err(CacheError::serialize(&key, source)),
        }
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// The value's bytes.
    #[must_use]
    pub fn value(&self) -> &[u8] {
        &self.value
    }

    /// As it is found once it is set.
    #[must_use]
    pub fn into_found(self) -> Found {
        let Self { value, written, version, .. } = self;
        Found { value, version, left: written.lives, slides: written.slides }
    }

    /// The version that it has, once it is set.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }
}

/// A value that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its bytes.
    pub value: Vec<u8>,
    /// Its version.
    pub version: Version,
    left: Option<i64>,
    slides: Option<i64>,
}

/// The columns of a value: itself, version, when it expires, how it slides, now.
pub(super) type Row = (Vec<u8>, i64, Option<Timestamp>, Option<i64>, Timestamp);

impl Found {
    pub(super) fn from_row((value, version, expires_at, slides, now): Row) -> Self {
        let micros = |duration: Duration| i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        let left = expires_at.map(|Timestamp(at)| match at.duration_since(now.0) {
            Ok(left) => micros(left),
            Err(since) => -micros(since.duration()),
        });
        Self { value, version: Version(version), left, slides }
    }

    /// Whether it has expired, and is kept only for those who would otherwise wait for a new one.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.left.is_some_and(|left| left <= 0)
    }

    /// How long it has left, as seen when it was read. `None`: it does not expire.
    #[must_use]
    pub fn left(&self) -> Option<Duration> {
        self.left.map(|left| Duration::from_micros(u64::try_from(left).unwrap_or(0)))
    }

    /// Whether it lives on as long as it is used.
    #[must_use]
    pub fn slides(&self) -> bool {
        self.slides.is_some()
    }

    /// Whether its use is to be noted ([`slide`](super::slide)), so that it lives on: when an eighth of its time has passed
    /// since that was done last, so that a value that is read all the time is not written as often.
    #[must_use]
    pub fn is_to_slide(&self) -> bool {
        self.slides.zip(self.left).is_some_and(|(slides, left)| left > 0 && left < slides - slides / 8)
    }

    /// The value, from JSON.
    ///
    /// # Errors
    /// It is not a `T`.
    pub fn decode<T: DeserializeOwned>(&self, key: &Key) -> Result<T, CacheError> {
        decode(key, &self.value)
    }
}

/// A value from JSON.
///
/// # Errors
/// It is not a `T`.
pub fn decode<T: DeserializeOwned>(key: &Key, bytes: &[u8]) -> Result<T, CacheError> {
    from_json(bytes).map_err(|source| CacheError::Decode { key: key.shown(), source })
}
