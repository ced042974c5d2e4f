//! Who in this process loads a key, and who waits for that.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use pg_queue_core::cache::{Found, Key};
use tokio::sync::MutexGuard;

/// The keys that are being loaded in this process, and whether they are in the durable table.
pub(super) type Loading = Mutex<HashMap<Wanted, Arc<tokio::sync::Mutex<Option<Loaded>>>>>;

pub(super) type Wanted = (bool, Key);

/// What was loaded last, for those who have waited for it.
pub(super) struct Loaded {
    pub(super) found: Found,
    /// It was there at some moment after this one: whoever asked before may have it.
    pub(super) there_after: Instant,
}

// Not derived: values do not belong into logs.
impl fmt::Debug for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loaded").finish_non_exhaustive()
    }
}

/// One caller's wish to load a key. The key is forgotten with its last wish, however that ends.
pub(super) struct Turn<'a> {
    loading: &'a Loading,
    wanted: Wanted,
    /// Only empty while this is dropped.
    lock: Option<Arc<tokio::sync::Mutex<Option<Loaded>>>>,
}

impl<'a> Turn<'a> {
    pub(super) fn new(loading: &'a Loading, wanted: Wanted) -> Self {
        let mut keys = loading.lock().unwrap_or_else(PoisonError::into_inner);
        let lock = Arc::clone(keys.entry(wanted.clone()).or_default());
        drop(keys);
        Self { loading, wanted, lock: Some(lock) }
    }

    pub(super) async fn comes(&self) -> MutexGuard<'_, Option<Loaded>> {
        self.lock.as_ref().expect("it is taken with the value itself").lock().await
    }

    /// The turn, if nobody else has it.
    pub(super) fn comes_at_once(&self) -> Option<MutexGuard<'_, Option<Loaded>>> {
        self.lock.as_ref()?.try_lock().ok()
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut keys = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        // Given up under the map's lock, as it was taken: of two that end at the same time, the second one sees that it is
        // the last.
        self.lock = None;
        if keys.get(&self.wanted).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            keys.remove(&self.wanted);
        }
    }
}
