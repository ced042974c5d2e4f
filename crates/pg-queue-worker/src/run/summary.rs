//! What a worker did.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What a worker did from its start to its end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// Jobs that were completed.
    pub completed: u64,
    /// Requests that were not begun, because nobody waited for them any longer.
    pub expired: u64,
    /// Attempts that failed and were put back for another one.
    pub retried: u64,
    /// Jobs that were discarded.
    pub discarded: u64,
    /// Jobs that were cancelled while they ran here, by others or by their handlers.
    pub cancelled: u64,
    /// Jobs that were put off by their handlers.
    pub snoozed: u64,
    /// Jobs that were given back unfinished, at shutdown.
    pub released: u64,
    /// Attempts whose end did not count any more, because the lease had passed to somebody else.
    pub lost_leases: u64,
    /// Jobs that were taken from dead workers, those discarded then included.
    pub rescued: u64,
}

/// The same, while it happens.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) completed: AtomicU64,
    pub(super) expired: AtomicU64,
    pub(super) retried: AtomicU64,
    pub(super) discarded: AtomicU64,
    pub(super) cancelled: AtomicU64,
    pub(super) snoozed: AtomicU64,
    pub(super) released: AtomicU64,
    pub(super) lost_leases: AtomicU64,
    pub(super) rescued: AtomicU64,
}

impl Counters {
    pub(super) fn summary(&self) -> Summary {
        Summary {
            completed: self.completed.load(Relaxed),
            expired: self.expired.load(Relaxed),
            retried: self.retried.load(Relaxed),
            discarded: self.discarded.load(Relaxed),
            cancelled: self.cancelled.load(Relaxed),
            snoozed: self.snoozed.load(Relaxed),
            released: self.released.load(Relaxed),
            lost_leases: self.lost_leases.load(Relaxed),
            rescued: self.rescued.load(Relaxed),
        }
    }
}
