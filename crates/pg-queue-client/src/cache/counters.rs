//! Counters.

use pg_queue_core::cache::{Addition, CacheError, Expiry};

use super::{Cache, CacheKey, calls::Add};

impl Cache {
    /// Adds `by` to the counter under `key`, and answers the sum. One that is not there is made at zero, and lives for `expiry`
    /// from then on, however often it is added to. `get::<i64>` reads it, and `set` sets it.
    ///
    /// ```no_run
    /// # async fn example(mgr: pg_queue_client::PgQueue) -> Result<(), Box<dyn std::error::Error>> {
    /// let visits = mgr.cache.incr("visits:2026-11-28", 1, 86_400).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The value is no whole number, or the sum leaves the range of 64 bits, and nothing is added; the time to live cannot be
    /// used; or the database failed.
    pub async fn incr(&self, key: impl CacheKey, by: i64, expiry: impl Into<Expiry>) -> Result<i64, CacheError> {
        let key = self.key(key.as_key());
        let sum = self.lanes().add.call(Add(Addition::new(key.clone(), by, expiry.into())?)).await;
        self.changed([&key]);
        sum?.ok_or_else(|| CacheError::NoCounter { key: key.shown() })
    }

    /// Takes `by` from the counter under `key`: see [`incr`](Self::incr).
    ///
    /// # Errors
    /// Those of [`incr`](Self::incr).
    pub async fn decr(&self, key: impl CacheKey, by: i64, expiry: impl Into<Expiry>) -> Result<i64, CacheError> {
        let key = key.as_key();
        let by = by.checked_neg().ok_or_else(|| CacheError::NoCounter { key: self.key(key).shown() })?;
        self.incr(key, by, expiry).await
    }
}
