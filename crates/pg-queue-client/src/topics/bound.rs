//! Which topics were found to be bound to queues a moment ago.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use pg_queue_core::topics::Topic;
use tokio::time::Instant;

/// How long it is believed. Nothing depends on it but who waits for whom: whichever way a message is sent, the statement looks.
const BELIEVED: Duration = Duration::from_secs(10);

/// How many are remembered at most.
const MOST: usize = 10_000;

/// Topics that were found to be bound.
#[derive(Debug, Default)]
pub(super) struct Bound {
    /// Whether there may be any: where nothing is bound nobody takes the lock.
    any: AtomicBool,
    found: Mutex<HashMap<Topic, Instant>>,
}

impl Bound {
    pub(super) fn has(&self, topic: &Topic) -> bool {
        if !self.any.load(Relaxed) {
            return false;
        }
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(since) = found.get(topic) else { return false };
        if since.elapsed() < BELIEVED {
            return true;
        }
        found.remove(topic);
        self.any.store(!found.is_empty(), Relaxed);
        false
    }

    pub(super) fn remember(&self, topics: &HashSet<Topic>) {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if found.len() + topics.len() > MOST {
            found.clear();
        }
        let now = Instant::now();
        found.extend(topics.iter().map(|topic| (topic.clone(), now)));
        self.any.store(!found.is_empty(), Relaxed);
    }
}
