//! What may be done so often, and what only once.

use std::time::Duration;

use pg_queue_core::{
    Commit, DatabaseError,
    cache::{self, Allowed, CacheError, CacheTable, Entry, Expiry, Key, Ttl, Wish},
};
use sqlx::PgConnection;

use super::{Cache, CacheKey, lane::Call};

impl Cache {
    /// Whether something may be done that is limited to `limit` times in `per`, among all processes; if so, it counts.
    ///
    /// A bucket of `limit` tokens, which is full at first, and into which the tokens come back evenly over `per`: within any time
    /// `t` it is allowed `limit + limit * t / per` times at most. By the database's clock, and in a table without a log: after a
    /// crash of the server the buckets are full. It costs a statement, which calls that come together share. All who ask about
    /// a key give the same limit. Its keys are apart from those of values.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # async fn example(mgr: pg_queue_client::PgQueue) -> Result<(), Box<dyn std::error::Error>> {
    /// if !mgr.cache.allow("login:ada", 5, Duration::from_secs(60)).await?.is_now() {
    ///     return Err("too many attempts".into());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The limit or the time is zero, or the time longer than a year; or the database failed.
    pub async fn allow(&self, key: impl CacheKey, limit: u32, per: Duration) -> Result<Allowed, CacheError> {
        let wish = Wish::new(self.key(key.as_key()), limit, per)?;
        self.inner.unlogged.allow.call(Allow(wish)).await
    }

    /// Whether this is the first call for `key` within `ttl`, among all processes: for what must not be done twice. Flags are in a
    /// table with a log, and on the disk before this returns: no crash of the server forgets one, unless its `synchronous_commit`
    /// is off. Their keys are apart from those of values. It costs a commit on the disk.
    ///
    /// Who was the first and then fails before the work is done has used the flag up, unless it
    /// [forgets](Self::forget_once) it.
    ///
    /// # Errors
    /// The time to live cannot be used, or the database failed; when the connection was lost, nobody knows whether the flag is
    /// set.
    pub async fn once(&self, key: impl CacheKey, ttl: impl Into<Ttl>) -> Result<bool, CacheError> {
        let entry = Entry::json(self.flag(key), &true, Expiry::After(ttl.into()))?;
        let table = &self.inner.durable.table;
        self.run(async |connection| cache::set_if_absent(connection, table, &entry, Commit::AsSet).await).await
    }

    /// Lets [`once`](Self::once) be the first again for `key`. Answers whether it was not.
    ///
    /// # Errors
    /// The database failed.
    pub async fn forget_once(&self, key: impl CacheKey) -> Result<bool, CacheError> {
        let (table, key) = (&self.inner.durable.table, self.flag(key));
        Ok(self.run(async |connection| cache::delete(connection, table, &[&key]).await).await? > 0)
    }

    fn flag(&self, key: impl CacheKey) -> Key {
        Key::new(&self.namespace.flags(), key.as_key())
    }
}

/// Asks whether something may be done.
pub(super) struct Allow(Wish);

impl Call for Allow {
    type Answer = Allowed;

    fn bytes(&self) -> usize {
        64
    }

    async fn send(
        calls: &[Self],
        connection: &mut PgConnection,
        table: &CacheTable,
    ) -> Result<Vec<Allowed>, DatabaseError> {
        let wishes: Vec<&Wish> = calls.iter().map(|Self(wish)| wish).collect();
        cache::allow(connection, table.schema(), &wishes).await
    }
}
