//! Jobs that were claimed ahead of free slots, so that a handler that ends is followed by the next one at once.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::time::{Duration, Instant};

use super::{
    execute::Start,
    lane::{Lane, Place},
    shares::Shares,
};

/// How long a job may wait for its turn. When its handlers have become slow all of a sudden, what waits goes back, and others
/// can have it.
pub(super) const PATIENCE: Duration = Duration::from_millis(300);

/// The jobs that are claimed and have not begun, of each of the worker's queues.
#[derive(Debug, Default)]
pub(super) struct Ahead(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    lanes: Vec<Line>,
    shares: Shares,
}

/// The jobs of one queue.
#[derive(Debug, Default)]
struct Line {
    jobs: VecDeque<Waiter>,
    /// How many more a claim on its way may bring.
    reserved: usize,
    /// At how many the claimer wants to know.
    ring_at: Option<usize>,
}

#[derive(Debug)]
struct Waiter {
    since: Instant,
    start: Start,
}

impl Ahead {
    pub(super) fn new(lanes: &[Arc<Lane>]) -> Self {
        let shares = Shares::new(lanes.iter().map(|lane| lane.weight).collect());
        Self(Mutex::new(Waiting { lanes: lanes.iter().map(|_| Line::default()).collect(), shares }))
    }

    pub(super) fn put(&self, lane: usize, starts: Vec<Start>) {
        let since = Instant::now();
        let waiters = starts.into_iter().map(|start| Waiter { since, start });
        self.lock().lanes[lane].jobs.extend(waiters);
    }

    /// The next job, of the queues that may run one more, with its place there.
    pub(super) fn next(&self, lanes: &[Arc<Lane>]) -> Option<(Start, Place)> {
        let mut waiting = self.lock();
        let Waiting { lanes: lines, shares } = &mut *waiting;
        let may_run = |lane: &usize| !lines[*lane].jobs.is_empty() && lanes[*lane].may_run();
        let lane = shares.next((0..lines.len()).filter(may_run))?;
        shares.gave(lane, 1);
        let line = &mut lines[lane];
        let start = line.jobs.pop_front()?.start;
        if line.ring_at.is_some_and(|enough| line.jobs.len() <= enough) {
            line.ring_at = None;
            lanes[lane].ring();
        }
        // Nobody else takes places, so that there is one still.
        Some((start, lanes[lane].enter()))
    }

    /// How many jobs of this queue wait, or may be about to.
    pub(super) fn of_lane(&self, lane: usize) -> usize {
        let line = &self.lock().lanes[lane];
        line.jobs.len() + line.reserved
    }

    /// The same of all queues.
    pub(super) fn len(&self) -> usize {
        self.lock().lanes.iter().map(|line| line.jobs.len() + line.reserved).sum()
    }

    /// A claim is on its way that may bring so many.
    pub(super) fn reserve(&self, lane: usize, jobs: usize) {
        self.lock().lanes[lane].reserved += jobs;
    }

    /// It has brought what it has brought.
    pub(super) fn unreserve(&self, lane: usize, jobs: usize) {
        let line = &mut self.lock().lanes[lane];
        line.reserved = line.reserved.saturating_sub(jobs);
    }

    /// Rings the queue once when no more than `enough` wait. Answers whether that is so already.
    pub(super) fn ring_at(&self, lane: usize, enough: usize) -> bool {
        let line = &mut self.lock().lanes[lane];
        let reached = line.jobs.len() <= enough;
        line.ring_at = (!reached).then_some(enough);
        reached
    }

    /// When the first one will have waited for too long.
    pub(super) fn patience_ends(&self) -> Option<Instant> {
        self.lock().lanes.iter().filter_map(|line| line.jobs.front()).map(|waiter| waiter.since + PATIENCE).min()
    }

    /// Whether one of this queue has waited for too long.
    pub(super) fn is_overdue(&self, lane: usize, now: Instant) -> bool {
        self.lock().lanes[lane].jobs.front().is_some_and(|waiter| now >= waiter.since + PATIENCE)
    }

    /// Takes all of this queue away.
    pub(super) fn take(&self, lane: usize) -> impl ExactSizeIterator<Item = Start> {
        std::mem::take(&mut self.lock().lanes[lane].jobs).into_iter().map(|waiter| waiter.start)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
