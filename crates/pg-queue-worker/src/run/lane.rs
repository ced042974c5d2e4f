//! One of the worker's queues, and how it is treated at the moment.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicU64, AtomicUsize,
            Ordering::{Relaxed, SeqCst},
        },
    },
    time::Duration,
};

use pg_queue_core::{QueueName, QueueTable, Schema, queues::QueueSettings};
use tokio::sync::Notify;

use super::sweeps::Sweeps;
use crate::QueueOptions;

/// One of the worker's queues.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) table: QueueTable,
    pub(super) weight: u32,
    /// How many of its jobs may run at once, as the worker was built.
    built: usize,
    /// How many jobs of all queues may.
    most: usize,
    /// What is set for the queue in the database, as far as the worker has heard.
    settings: Mutex<Option<QueueSettings>>,
    /// How many of its jobs run.
    running: AtomicUsize,
    /// How many of its handlers have ended, and how many nanoseconds they took.
    ended: AtomicU64,
    busy: AtomicU64,
    /// How far the worker has claimed.
    sweeps: Mutex<Sweeps>,
    /// Rung when a job of it may run again.
    look: Arc<Notify>,
}

impl Lane {
    pub(super) fn new(options: &QueueOptions, schema: &Schema, most: usize, look: Arc<Notify>) -> Self {
        Self {
            table: options.name.table(schema),
            weight: options.weight,
            built: options.concurrency.unwrap_or(most),
            most,
            settings: Mutex::default(),
            running: AtomicUsize::new(0),
            ended: AtomicU64::new(0),
            busy: AtomicU64::new(0),
            sweeps: Mutex::new(Sweeps::new()),
            look,
        }
    }

    pub(super) fn queue(&self) -> &QueueName {
        self.table.queue()
    }

    /// Whether nothing is to be claimed from it. A claim looks for itself; this only spares the question.
    pub(super) fn is_paused(&self) -> bool {
        self.settings().is_some_and(|settings| settings.paused)
    }

    /// For how long completed jobs are kept that do not say so themselves.
    pub(super) fn keep_completed(&self) -> Option<Duration> {
        self.settings().and_then(|settings| settings.keep_completed)
    }

    /// For how long any of its jobs may be kept.
    pub(super) fn longest_keep(&self) -> Duration {
        let longest =
            |settings: QueueSettings| settings.keep_completed.unwrap_or_default().max(settings.keep_discarded);
        self.settings().map(longest).unwrap_or_default()
    }

    /// How many more of its jobs may run.
    pub(super) fn free(&self) -> usize {
        self.limit().saturating_sub(self.running.load(SeqCst))
    }

    /// Whether one of its claimed jobs may begin.
    pub(super) fn may_run(&self) -> bool {
        self.free() > 0 && !self.is_paused()
    }

    /// How many of its jobs may run at once.
    pub(super) fn limit(&self) -> usize {
        let set = self.settings().and_then(|settings| settings.concurrency);
        set.map_or(self.built, |jobs| usize::try_from(jobs).unwrap_or(usize::MAX))
    }

    /// Takes what is set for the queue. Answers whether something is different.
    pub(super) fn apply(&self, new: QueueSettings) -> bool {
        let changed = self.lock().replace(new) != Some(new);
        if changed {
            // More may be claimed than before.
            self.look.notify_one();
        }
        changed
    }

    /// Makes the claimer look.
    pub(super) fn ring(&self) {
        self.look.notify_one();
    }

    /// A handler of it has ended.
    pub(super) fn note(&self, took: Duration) {
        self.ended.fetch_add(1, Relaxed);
        self.busy.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    /// How many have, and how long all of them took.
    pub(super) fn noted(&self) -> (u64, Duration) {
        (self.ended.load(Relaxed), Duration::from_nanos(self.busy.load(Relaxed)))
    }

    pub(super) fn sweeps(&self) -> MutexGuard<'_, Sweeps> {
        self.sweeps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A job of it begins to run.
    pub(super) fn enter(self: &Arc<Self>) -> Place {
        self.running.fetch_add(1, SeqCst);
        Place(Arc::clone(self))
    }

    fn settings(&self) -> Option<QueueSettings> {
        *self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, Option<QueueSettings>> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running job's place in its lane.
#[derive(Debug)]
pub(super) struct Place(Arc<Lane>);

impl Drop for Place {
    fn drop(&mut self) {
        let ran = self.0.running.fetch_sub(1, SeqCst);
        let limit = self.0.limit();
        if ran >= limit && limit < self.0.most {
            // The lane was full, so that nobody may have looked at it while other slots were free.
            self.0.look.notify_one();
        }
    }
}
