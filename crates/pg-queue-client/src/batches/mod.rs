//! Enqueuing through the pool in natural batches: while one statement is on its way, what arrives is the next one.
//!
//! No timer waits for a batch to fill, so that an idle process has the latency of one statement, and a busy one the
//! throughput of long ones. Statements are sent by tasks of their own ([`runner`]) and not by callers, so that one who goes
//! away takes nothing with it that others wait for.
//!
//! Jobs with a unique key do not come here. Such a key may be held by somebody's open transaction, and its statement then
//! waits for that: it may keep waiting only those who want the same key.

mod error;
mod part;
mod runner;

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use pg_queue_core::{
    QueueName,
    jobs::{NewJob, PushError, PushOutcome},
};
use tokio::{
    runtime::{self, Handle},
    sync::{Notify, oneshot},
};

use self::{part::Part, runner::Runner};
use crate::shared::Shared;

/// How many jobs one statement takes at most, and how many bytes of payloads: what gains nothing by being longer only makes
/// more callers wait for it.
const MOST_JOBS: usize = 1000;
const MOST_BYTES: usize = 8 << 20;

/// The lanes in which something is going on: each has one runner.
#[derive(Debug, Default)]
pub(crate) struct Batches {
    lanes: Mutex<HashMap<Key, Lane>>,
}

/// By queue, because a statement is about one table: a queue that is locked or missing is no concern of the others. By
/// runtime, because a task ends with its runtime, and must not take along what the callers of another one wait for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    runtime: runtime::Id,
    queue: QueueName,
}

#[derive(Debug)]
struct Lane {
    waiting: VecDeque<Waiting>,
    /// Wakes the runner, which wants that only while it is idle.
    arrived: Arc<Notify>,
    idle: bool,
}

/// A job that is in no statement yet.
#[derive(Debug)]
struct Waiting {
    job: NewJob,
    since: Instant,
    answer: Answer,
}

type Answer = oneshot::Sender<Result<PushOutcome, PushError>>;

/// Enqueues a job that has no unique key together with whatever else is on its way to the same queue. A caller that goes
/// away leaves its job enqueued or not, and nobody else waiting.
pub(crate) async fn push(shared: &Arc<Shared>, queue: &QueueName, job: NewJob) -> Result<PushOutcome, PushError> {
    // What cannot be enqueued is the caller's own trouble.
    job.check()?;
    let runtime = Handle::current();
    let key = Key { runtime: runtime.id(), queue: queue.clone() };
    let (answer, answered) = oneshot::channel();
    let waiting = Waiting { job, since: Instant::now(), answer };
    if let Some(arrived) = shared.batches.join(&key, waiting) {
        runtime.spawn(Runner::new(Arc::clone(shared), key, arrived).run());
    }
    answered.await.unwrap_or(Err(PushError::Interrupted))
}

impl Batches {
    fn lanes(&self) -> MutexGuard<'_, HashMap<Key, Lane>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a job into its lane. Answers with what to start a runner, if there is none. The caller starts it because a runtime
    /// that shuts down drops it at once, which asks for the lock that is held here.
    fn join(&self, key: &Key, waiting: Waiting) -> Option<Arc<Notify>> {
        let mut lanes = self.lanes();
        if let Some(lane) = lanes.get_mut(key) {
            lane.waiting.push_back(waiting);
            if lane.idle {
                lane.arrived.notify_one();
            }
            return None;
        }
        let arrived = Arc::<Notify>::default();
        let lane = Lane { waiting: VecDeque::from([waiting]), arrived: Arc::clone(&arrived), idle: false };
        lanes.insert(key.clone(), lane);
        Some(arrived)
    }

    /// Whether a job waits.
    fn waits(&self, key: &Key) -> bool {
        self.lanes().get(key).is_some_and(|lane| !lane.waiting.is_empty())
    }

    /// Whether a job waits. If none does, the runner is idle from now on.
    fn waits_or_idles(&self, key: &Key) -> bool {
        let mut lanes = self.lanes();
        let Some(lane) = lanes.get_mut(key) else { return false };
        lane.idle = lane.waiting.is_empty();
        !lane.idle
    }

    /// The runner is about to leave. Answers whether it may: not when a job has arrived meanwhile.
    fn leave(&self, key: &Key) -> bool {
        let mut lanes = self.lanes();
        let leaves = lanes.get(key).is_none_or(|lane| lane.waiting.is_empty());
        if leaves {
            lanes.remove(key);
        }
        leaves
    }

    /// What goes into the next statement. The job of a caller that has gone away is left out.
    fn take(&self, key: &Key) -> Part {
        let mut part = Part::default();
        let mut bytes = 0;
        let mut lanes = self.lanes();
        let Some(lane) = lanes.get_mut(key) else { return part };
        while part.len() < MOST_JOBS
            && let Some(next) = lane.waiting.front()
        {
            bytes += next.job.payload_bytes();
            if bytes > MOST_BYTES && part.len() > 0 {
                break;
            }
            if let Some(Waiting { job, answer, .. }) = lane.waiting.pop_front()
                && !answer.is_closed()
            {
                part.push(job, answer);
            }
        }
        part
    }

    /// Those who have waited since before `moment`, because no connection was to be had since then.
    fn take_before(&self, key: &Key, moment: Instant) -> Vec<Answer> {
        let mut lanes = self.lanes();
        let Some(lane) = lanes.get_mut(key) else { return Vec::new() };
        let count = lane.waiting.iter().take_while(|waiting| waiting.since <= moment).count();
        lane.waiting.drain(..count).map(|waiting| waiting.answer).collect()
    }

    /// The runner leaves in the middle of a statement that takes too long. Answers with what to start another one in its
    /// place, if somebody waits.
    fn step_aside(&self, key: &Key) -> Option<Arc<Notify>> {
        let mut lanes = self.lanes();
        let lane = lanes.get(key)?;
        if lane.waiting.is_empty() {
            lanes.remove(key);
            return None;
        }
        Some(Arc::clone(&lane.arrived))
    }

    /// The runner was dropped, with its runtime, or has panicked. Whoever waits is told.
    fn lose(&self, key: &Key) {
        let lost = self.lanes().remove(key);
        // Not under the lock: this wakes those who wait.
        drop(lost);
    }
}
