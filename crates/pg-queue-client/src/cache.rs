//! The cache, and loading each missing value once.

mod calls;
mod counters;
mod ears;
mod housekeeping;
mod key;
mod lane;
mod limits;
mod loading;
mod lock;
mod removal;
mod statistics;
mod tier;
mod turn;
mod values;

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use pg_queue_core::cache::{self, CacheError, CacheTable, InvalidNamespace, Key, Namespace};

use self::{
    calls::Lanes,
    statistics::Statistics,
    tier::{News, Tier},
    turn::Loading,
};
pub use self::{
    housekeeping::{Housekeeping, TidiedUp},
    key::CacheKey,
    loading::{GetOrSetError, LoadOptions},
    lock::{Lock, LockLost, RenewError},
    statistics::CacheStatistics,
    tier::LocalTier,
    values::{TimeLeft, Versioned},
};
use crate::shared::Shared;

/// Values with a time to live, shared by all processes. The table is UNLOGGED: a crash of the server empties it.
///
/// A key is text or bytes of any length. A time to live is a number of seconds or a `Duration`, up to ten years, or one of the
/// other kinds of [`Expiry`](pg_queue_core::cache::Expiry). Calls of the same kind that come together share a statement.
///
/// Cheap to clone. [`namespace`](Self::namespace) and [`durable`](Self::durable) answer a cache for other values.
#[derive(Clone)]
pub struct Cache {
    inner: Arc<Inner>,
    namespace: Namespace,
    durable: bool,
    lenient: bool,
    tier: Option<Arc<Tier>>,
}

/// What all caches of one handle share.
struct Inner {
    shared: Arc<Shared>,
    unlogged: Lanes,
    durable: Lanes,
    loading: Loading,
    statistics: Statistics,
    /// What is known of changes, as soon as somebody keeps values in memory.
    news: OnceLock<Arc<News>>,
}

impl Cache {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let unlogged = Lanes::new(&shared, CacheTable::unlogged(&shared.schema));
        let durable = Lanes::new(&shared, CacheTable::durable(&shared.schema));
        let inner = Inner {
            shared,
            unlogged,
            durable,
            loading: Loading::default(),
            statistics: Statistics::default(),
            news: OnceLock::new(),
        };
        let inner = Arc::new(inner);
        Self { inner, namespace: Namespace::default(), durable: false, lenient: false, tier: None }
    }

    /// The values of a namespace, kept apart from all others: `clear` removes them, and no other one. The name is any text of up
    /// to 100 bytes; the empty one is where keys without a namespace are.
    ///
    /// # Errors
    /// The name is too long.
    pub fn namespace(&self, name: &str) -> Result<Self, InvalidNamespace> {
        Ok(Self { namespace: Namespace::new(name)?, ..self.clone() })
    }

    /// The same for values that are to outlive a crash of the server, and a failover. They are in another table, with a log, so
    /// that a namespace has two sets of values, and all of a program must ask for the same one.
    ///
    /// It is written asynchronously: what was set in the last moments before a crash is lost, up to three times the server's
    /// `wal_writer_delay` (0.6 s by default), and in a failover what the standby did not have yet. Values come back as they were
    /// before, so that one which was replaced or deleted in these moments is there again.
    #[must_use]
    pub fn durable(&self) -> Self {
        Self { durable: true, tier: None, ..self.clone() }
    }

    /// The same, with values that are read often kept in this process's memory, so that they are read again without asking the
    /// server. Those that slide are not.
    ///
    /// When a value is set, deleted or added to by a call of this library, then from [`max_age`](LocalTier::new) after that call
    /// has returned on no process shows the old one. In the process that made the call, through any clone of its handle, that is
    /// so at once; in others as a rule after some milliseconds, because the server tells them, as long as the listener's
    /// connection stands. What was changed by others than this library, by SQL or by a standby's promotion, is shown for `max_age`
    /// at most. Time is counted by a clock that stands still while the machine sleeps.
    ///
    /// For one table: [`durable`](Self::durable) begins without.
    #[must_use]
    pub fn with_local_tier(&self, settings: LocalTier) -> Self {
        let news = Arc::clone(self.inner.news.get_or_init(|| Arc::new(News::new())));
        Self { tier: Some(Arc::new(Tier::new(settings, news))), ..self.clone() }
    }

    /// The same, but a value that is not of the type that is asked for counts as none, and is no error.
    #[must_use]
    pub fn lenient(&self) -> Self {
        Self { lenient: true, ..self.clone() }
    }

    /// Removes everything that has expired, in short steps, of both tables and all namespaces. Answers how many values. Reads
    /// never see an expired value; this only gives the space back. Workers call it now and then.
    ///
    /// # Errors
    /// The database failed; what was removed until then stays removed.
    pub async fn cleanup_expired(&self) -> Result<u64, CacheError> {
        let schema = &self.inner.shared.schema;
        let mut link = self.inner.shared.acquire().await?;
        let mut removed = 0;
        for Lanes { table, .. } in [&self.inner.unlogged, &self.inner.durable] {
            for pages in link.run(async |connection| cache::parts(connection, table).await).await? {
                removed += link.run(async |connection| cache::cleanup_part(connection, table, pages).await).await?;
            }
        }
        for pages in link.run(async |connection| cache::parts_of_limits(connection, schema).await).await? {
            link.run(async |connection| cache::cleanup_limits(connection, schema, pages).await).await?;
        }
        while link.run(async |connection| cache::prune_locks(connection, schema, 1000).await).await? > 0 {}
        Ok(removed)
    }

    fn lanes(&self) -> &Lanes {
        if self.durable { &self.inner.durable } else { &self.inner.unlogged }
    }

    fn table(&self) -> &CacheTable {
        &self.lanes().table
    }

    fn key(&self, key: &[u8]) -> Key {
        Key::new(&self.namespace, key)
    }

    /// These keys were written, and it is committed.
    fn changed<'k>(&self, keys: impl IntoIterator<Item = &'k Key>) {
        if let Some(news) = self.inner.news.get() {
            keys.into_iter().for_each(|key| news.changed(key.slot()));
        }
    }

    /// Any key may have been written.
    fn everything_changed(&self) {
        if let Some(news) = self.inner.news.get() {
            news.everything_changed();
        }
    }

    /// What this process has asked of the cache so far.
    #[must_use]
    pub fn statistics(&self) -> CacheStatistics {
        self.inner.statistics.read()
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("durable", &self.durable)
            .field("loading", &self.inner.loading)
            .finish_non_exhaustive()
    }
}
