//! Values that a process keeps in its own memory.
//!
//! What is kept was read by a statement that was sent at a known moment, and is shown for no longer than the tier's age after
//! it. A change that was committed before that moment is in it; so nobody is shown a value for longer than the age after the
//! change that replaced it has returned, whatever happens to notifications. They only make that shorter.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use pg_queue_core::cache::{Found, Key, SLOTS};

/// How much memory a process gives to values of its own, and for how long it may show one that was changed elsewhere.
#[derive(Debug, Clone, Copy)]
pub struct LocalTier {
    bytes: u64,
    max_age: Duration,
}

impl LocalTier {
    /// Keeps up to so many bytes of keys and values, each for `max_age` at most.
    #[must_use]
    pub fn new(bytes: u64, max_age: Duration) -> Self {
        Self { bytes, max_age }
    }
}

/// What an entry takes besides its key and its value.
const OVERHEAD: usize = 200;

/// Values in memory, those that are used most.
pub(super) struct Tier {
    values: moka::sync::Cache<Key, Kept, foldhash::fast::RandomState>,
    max_age: Duration,
    news: Arc<News>,
}

#[derive(Clone)]
struct Kept {
    found: Arc<Found>,
    until: Instant,
    edition: Edition,
}

/// What was known of changes when a statement was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Edition {
    of_all: u32,
    of_slot: u32,
}

/// Taken before a statement is sent whose answer is to be kept.
pub(super) struct Ticket {
    sent: Instant,
    edition: Edition,
}

impl Tier {
    pub(super) fn new(settings: LocalTier, news: Arc<News>) -> Self {
        let weigh = |key: &Key, kept: &Kept| {
            let bytes = key.as_bytes().len() + kept.found.value.len() + OVERHEAD;
            u32::try_from(bytes).unwrap_or(u32::MAX)
        };
        let values = moka::sync::Cache::builder()
            .max_capacity(settings.bytes)
            .weigher(weigh)
            .build_with_hasher(foldhash::fast::RandomState::default());
        Self { values, max_age: settings.max_age, news }
    }

    /// A value that may be shown.
    pub(super) fn get(&self, key: &Key) -> Option<Arc<Found>> {
        let kept = self.values.get(key)?;
        (kept.edition == self.news.edition(key) && Instant::now() < kept.until).then_some(kept.found)
    }

    pub(super) fn ticket(&self, key: &Key) -> Ticket {
        Ticket { edition: self.news.edition(key), sent: Instant::now() }
    }

    /// Keeps what a statement answered that was sent after the ticket was taken.
    pub(super) fn keep(&self, key: &Key, found: &Arc<Found>, ticket: &Ticket) {
        // One that slides has to be read where that is noted.
        if found.is_stale() || found.slides() || ticket.edition != self.news.edition(key) {
            return;
        }
        let age = found.left().map_or(self.max_age, |left| left.min(self.max_age));
        let Some(until) = ticket.sent.checked_add(age) else { return };
        self.values.insert(key.clone(), Kept { found: Arc::clone(found), until, edition: ticket.edition });
    }
}

/// What a process knows of changes: a number for each slot of keys, and one for all.
pub(super) struct News {
    of_all: AtomicU32,
    of_slots: Box<[AtomicU32]>,
    /// Whether a task listens for what other processes change.
    pub(super) heard: AtomicBool,
}

impl News {
    pub(super) fn new() -> Self {
        let of_slots = (0..SLOTS).map(|_| AtomicU32::new(0)).collect();
        Self { of_all: AtomicU32::new(0), of_slots, heard: AtomicBool::new(false) }
    }

    fn edition(&self, key: &Key) -> Edition {
        let of_slot = self.of_slots[usize::from(key.slot())].load(Ordering::Acquire);
        Edition { of_all: self.of_all.load(Ordering::Acquire), of_slot }
    }

    /// A slot's keys have changed.
    pub(super) fn changed(&self, slot: u16) {
        self.of_slots[usize::from(slot)].fetch_add(1, Ordering::AcqRel);
    }

    /// Any key may have changed.
    pub(super) fn everything_changed(&self) {
        self.of_all.fetch_add(1, Ordering::AcqRel);
    }
}
