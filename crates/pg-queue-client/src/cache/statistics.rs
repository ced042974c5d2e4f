//! What a process has asked of the cache.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// How often this process has asked the cache since its handle was made, all namespaces together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheStatistics {
    /// Values that were there.
    pub hits: u64,
    /// Those of them that were in this process's memory.
    pub local_hits: u64,
    /// Values that were not there, or had expired.
    pub misses: u64,
    /// How often a loader was called.
    pub loads: u64,
    /// Values that this process has removed because a table held too much.
    pub evictions: u64,
}

#[derive(Debug, Default)]
pub(super) struct Statistics {
    hits: AtomicU64,
    local_hits: AtomicU64,
    misses: AtomicU64,
    loads: AtomicU64,
    evictions: AtomicU64,
}

impl Statistics {
    pub(super) fn local(&self) {
        self.local_hits.fetch_add(1, Relaxed);
    }

    pub(super) fn asked(&self, hit: bool) {
        if hit { &self.hits } else { &self.misses }.fetch_add(1, Relaxed);
    }

    pub(super) fn loaded(&self) {
        self.loads.fetch_add(1, Relaxed);
    }

    pub(super) fn evicted(&self, count: u64) {
        self.evictions.fetch_add(count, Relaxed);
    }

    pub(super) fn read(&self) -> CacheStatistics {
        let local_hits = self.local_hits.load(Relaxed);
        CacheStatistics {
            hits: self.hits.load(Relaxed) + local_hits,
            local_hits,
            misses: self.misses.load(Relaxed),
            loads: self.loads.load(Relaxed),
            evictions: self.evictions.load(Relaxed),
        }
    }
}
