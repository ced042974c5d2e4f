//! The cache, and loading each missing value once.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use pg_queue_core::cache::{self, CacheError, Expiry, Ttl};
use serde::{Serialize, de::DeserializeOwned};

use crate::shared::Shared;

/// Values with a time to live, shared by all processes. The table is UNLOGGED: a crash of the server empties it.
///
/// A time to live is a number of seconds or a `Duration`, up to ten years.
#[derive(Debug, Clone)]
pub struct Cache {
    shared: Arc<Shared>,
    loading: Arc<Loading>,
}

/// The keys that are being loaded in this process.
type Loading = Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>;

impl Cache {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, loading: Arc::default() }
    }

    /// Sets a value that lives for `ttl`, in place of one that is there.
    ///
    /// # Errors
    /// The value does not serialize or is longer than 64 MiB, the key or the time to live cannot be used, or the
    /// database failed.
    pub async fn set(&self, key: &str, value: &impl Serialize, ttl: impl Into<Ttl>) -> Result<(), CacheError> {
        self.set_until(key, value, Expiry::After(ttl.into())).await
    }

    /// Sets a value that expires at this moment, on the database's clock.
    ///
    /// # Errors
    /// Those of [`set`](Self::set).
    pub async fn set_with_expiry(
        &self,
        key: &str,
        value: &impl Serialize,
        expires_at: SystemTime,
    ) -> Result<(), CacheError> {
        self.set_until(key, value, Expiry::At(expires_at)).await
    }

    async fn set_until(&self, key: &str, value: &impl Serialize, expiry: Expiry) -> Result<(), CacheError> {
        let schema = &self.shared.schema;
        self.shared.run(async |connection| cache::set(connection, schema, key, value, expiry).await).await
    }

    /// The value under `key`; `None` when there is none or it has expired.
    ///
    /// # Errors
    /// The value is not a `T`, or the database failed.
    pub async fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, CacheError> {
        let schema = &self.shared.schema;
        let bytes = self.shared.run(async |connection| cache::get_bytes(connection, schema, key).await).await?;
        // Only here, because a value need not be one that another thread may take up while the commit is waited for.
        bytes.map(|bytes| cache::decode(key, &bytes)).transpose()
    }

    /// Removes the value under `key`. Answers whether there was one that had not expired.
    ///
    /// # Errors
    /// The database failed.
    pub async fn delete(&self, key: &str) -> Result<bool, CacheError> {
        let schema = &self.shared.schema;
        self.shared.run(async |connection| cache::delete(connection, schema, key).await).await
    }

    /// Removes everything that has expired, in short steps. Answers how many values. Reads never see an expired value;
    /// this only gives the space back. Workers call it now and then.
    ///
    /// # Errors
    /// The database failed; what was removed until then stays removed.
    pub async fn cleanup_expired(&self) -> Result<u64, CacheError> {
        let schema = &self.shared.schema;
        let mut link = self.shared.acquire().await?;
        let mut removed = 0;
        for pages in link.run(async |connection| cache::parts(connection, schema).await).await? {
            removed += link.run(async |connection| cache::cleanup_part(connection, schema, pages).await).await?;
        }
        Ok(removed)
    }

    /// The value under `key` or, when there is none, what `load` answers, which is set for `ttl`.
    ///
    /// A value that is there but is not a `V`, such as one that an earlier version of the program has set, is loaded anew
    /// as well.
    ///
    /// Within this process one caller loads a key while the others wait for it; when it fails, the next one loads. Two
    /// processes may load the same key at the same time. No connection is held while `load` runs.
    ///
    /// # Errors
    /// `load` failed, or a call of the cache did.
    pub async fn get_or_set<V, E, F, Fut>(&self, key: &str, ttl: impl Into<Ttl>, load: F) -> Result<V, GetOrSetError<E>>
    where
        V: Serialize + DeserializeOwned,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<V, E>>,
    {
        let ttl = ttl.into();
        ttl.checked().map_err(CacheError::from)?;
        if let Some(value) = self.get_usable(key).await? {
            return Ok(value);
        }
        let turn = Turn::new(&self.loading, key);
        let _held = turn.comes().await;
        // Whoever had the turn before has probably set it.
        if let Some(value) = self.get_usable(key).await? {
            return Ok(value);
        }
        let value = load().await.map_err(GetOrSetError::Load)?;
        self.set(key, &value, ttl).await?;
        Ok(value)
    }

    /// Like [`get`](Self::get); a value of another type is as good as none, or the key would fail until it expires.
    async fn get_usable<V: DeserializeOwned>(&self, key: &str) -> Result<Option<V>, CacheError> {
        match self.get(key).await {
            Err(error @ CacheError::Decode { .. }) => {
                tracing::warn!(%error, "loading a cached value of another type anew");
                Ok(None)
            }
            got => got,
        }
    }
}

/// One caller's wish to load a key. The key is forgotten with its last wish, however that ends.
struct Turn<'a> {
    loading: &'a Loading,
    key: &'a str,
    /// Only empty while this is dropped.
    lock: Option<Arc<tokio::sync::Mutex<()>>>,
}

impl<'a> Turn<'a> {
    fn new(loading: &'a Loading, key: &'a str) -> Self {
        let mut keys = loading.lock().unwrap_or_else(PoisonError::into_inner);
        let lock = Arc::clone(keys.entry(key.to_owned()).or_default());
        drop(keys);
        Self { loading, key, lock: Some(lock) }
    }

    async fn comes(&self) -> Option<tokio::sync::MutexGuard<'_, ()>> {
        Some(self.lock.as_ref()?.lock().await)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut keys = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        // Given up under the map's lock, as it was taken: of two that end at the same time, the second one sees that it is
        // the last.
        self.lock = None;
        if keys.get(self.key).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            keys.remove(self.key);
        }
    }
}

/// Why [`Cache::get_or_set`] has no value.
///
/// An error for whatever the loader fails with that can be printed, a `String` or a boxed error too. So the loader's error
/// is in the message, and not the [`source`](std::error::Error::source), which would have to be an error itself.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GetOrSetError<E> {
    /// The loader failed.
    #[error("loading the value failed: {0:#}")]
    Load(E),
    /// The cache failed.
    #[error(transparent)]
    Cache(#[from] CacheError),
}
