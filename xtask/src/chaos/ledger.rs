//! What was promised: the enqueues that were answered, and those that were taken back.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    },
};

use pg_queue::{JobId, QueueName};

/// How many of the latest jobs an operator chooses from.
const LATEST: usize = 500;

/// What is known of all enqueues. Each job has a number of its own, given before it is enqueued: ids are given by the
/// server, which may give those of a transaction that was not committed once more after a crash.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    last: AtomicI64,
    /// How many jobs are unfinished, when they were last counted.
    pub(super) backlog: AtomicU64,
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    acknowledged: HashMap<i64, JobId>,
    rolled_back: HashSet<i64>,
    /// The latest acknowledged ones, with their queues.
    latest: Vec<(JobId, QueueName)>,
    next: usize,
}

impl Ledger {
    /// A number for a job that is about to be enqueued.
    pub(super) fn number(&self) -> i64 {
        self.last.fetch_add(1, Relaxed) + 1
    }

    /// An enqueue, or the commit of its transaction, was answered.
    pub(super) fn acknowledge(&self, jobs: impl IntoIterator<Item = (i64, JobId, QueueName)>) {
        let mut entries = self.lock();
        for (number, job, queue) in jobs {
            entries.acknowledged.insert(number, job);
            let place = entries.next % LATEST;
            entries.next += 1;
            match entries.latest.get_mut(place) {
                Some(latest) => *latest = (job, queue),
                None => entries.latest.push((job, queue)),
            }
        }
    }

    /// The transactions of these were never told to commit.
    pub(super) fn roll_back(&self, numbers: impl IntoIterator<Item = i64>) {
        self.lock().rolled_back.extend(numbers);
    }

    /// One of the latest acknowledged jobs, chosen by any number.
    pub(super) fn one_of_the_latest(&self, choice: usize) -> Option<(JobId, QueueName)> {
        let entries = self.lock();
        entries.latest.get(choice % entries.latest.len().max(1)).cloned()
    }

    pub(super) fn acknowledged_count(&self) -> usize {
        self.lock().acknowledged.len()
    }

    /// All that were acknowledged, and all that were taken back.
    pub(super) fn close(&self) -> (HashMap<i64, JobId>, HashSet<i64>) {
        let mut entries = self.lock();
        (std::mem::take(&mut entries.acknowledged), std::mem::take(&mut entries.rolled_back))
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
