//! Who waits where, and what each runner has to do next.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use pg_queue_core::{
    QueueName,
    jobs::{Commit, NewJob},
};
use tokio::{runtime, sync::Notify, time::Instant};

use super::{Answer, part::Part};
use crate::{at_hand::LIFE, link::Link};

/// How many jobs one statement takes at most, and how many bytes of payloads: what gains nothing by being longer only makes
/// more callers wait for it.
const MOST_JOBS: usize = 1000;
const MOST_BYTES: usize = 8 << 20;

/// How long a lane keeps its connection when nothing waits. To take one from the pool and to give it back costs two round
/// trips more, about as much as a statement.
const LINGER: Duration = Duration::from_millis(50);

/// How often it looks meanwhile whether the pool has others still. If not, somebody may wait for this one.
pub(super) const LOOK: Duration = Duration::from_millis(5);

/// How long a statement may take before others go past it: its connection may be half-open, and never answer.
pub(super) const STALLED: Duration = Duration::from_secs(1);

/// How long others wait for a caller who sends its own job, if there is another connection.
const OVERTAKEN: Duration = Duration::from_millis(50);

/// The lanes in which something is going on: each has one runner.
#[derive(Debug, Default)]
pub(crate) struct Batches {
    lanes: Mutex<HashMap<Key, Lane>>,
}

/// By queue, because a statement is about one table: a queue that is locked or missing is no concern of the others. By
/// runtime, because a task ends with its runtime, and must not take along what the callers of another one wait for. And by how it
/// commits, because a statement commits in one way.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    runtime: runtime::Id,
    pub(super) queue: QueueName,
    pub(super) commit: Commit,
}

#[derive(Debug)]
struct Lane {
    waiting: VecDeque<Waiting>,
    /// Wakes the runner, which wants that only while it is idle.
    arrived: Arc<Notify>,
    idle: bool,
    resting: Option<Resting>,
    /// Since when the lane has had its connection.
    acquired: Instant,
    /// Since when a caller has the connection.
    lent: Option<Instant>,
}

/// A connection that was used a moment ago.
#[derive(Debug)]
struct Resting {
    connection: Link,
    since: Instant,
}

/// A job that is in no statement yet.
#[derive(Debug)]
pub(super) struct Waiting {
    job: NewJob,
    since: Instant,
    answer: Answer,
}

/// What a runner has to do.
#[derive(Debug)]
pub(super) enum Next {
    /// To send what waits, over this connection if there is one.
    Send(Option<Link>),
    /// To wait until something arrives, and for no longer than a [`LOOK`].
    Rest,
    Leave,
}

impl Key {
    pub(super) const fn new(runtime: runtime::Id, queue: QueueName, commit: Commit) -> Self {
        Self { runtime, queue, commit }
    }
}

impl Waiting {
    pub(super) fn new(job: NewJob, answer: Answer) -> Self {
        Self { job, since: Instant::now(), answer }
    }
}

impl Lane {
    fn next(&mut self, spare: bool) -> Next {
        if let Some(since) = self.lent {
            // It may be that nobody polls that caller.
            let patience = if spare && !self.waiting.is_empty() { OVERTAKEN } else { STALLED };
            if since.elapsed() < patience {
                return Next::Rest;
            }
            // That one goes on alone.
            self.lent = None;
        }
        if !self.waiting.is_empty() {
            return Next::Send(self.resting.take().map(|resting| resting.connection));
        }
        match &self.resting {
            Some(resting) if spare && resting.since.elapsed() < LINGER && self.acquired.elapsed() < LIFE => Next::Rest,
            _ => Next::Leave,
        }
    }
}

impl Batches {
    fn lanes(&self) -> MutexGuard<'_, HashMap<Key, Lane>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a job into a lane of its queue. Answers with what to start a runner, if there is none.
    pub(super) fn join(&self, key: &Key, waiting: Waiting) -> Option<Arc<Notify>> {
        let mut lanes = self.lanes();
        if let Some(lane) = lanes.get_mut(key) {
            lane.waiting.push_back(waiting);
            if lane.idle {
                lane.arrived.notify_one();
            }
            return None;
        }
        let arrived = Arc::<Notify>::default();
        let lane = Lane {
            waiting: VecDeque::from([waiting]),
            arrived: Arc::clone(&arrived),
            idle: false,
            resting: None,
            acquired: Instant::now(),
            lent: None,
        };
        lanes.insert(key.clone(), lane);
        Some(arrived)
    }

    /// What the runner has to do next; `kept` is the connection that it keeps for that, as long as the pool has one to spare.
    pub(super) fn next(&self, key: &Key, kept: Option<Link>, spare: bool) -> Next {
        let mut lanes = self.lanes();
        let Some(lane) = lanes.get_mut(key) else { return Next::Leave };
        if let Some(connection) = kept {
            lane.resting = Some(Resting { connection, since: Instant::now() });
        }
        let next = lane.next(spare);
        lane.idle = matches!(next, Next::Rest) && lane.lent.is_none();
        if matches!(next, Next::Leave) {
            let left = lanes.remove(key);
            // Its connection goes back to the pool, which is not to happen under the lock.
            drop((lanes, left));
        }
        next
    }

    /// The connection of a lane in which nobody waits, for a caller who uses it at once. Since when it has it, too.
    pub(super) fn borrow(&self, key: &Key) -> Option<(Link, Instant)> {
        let mut lanes = self.lanes();
        let lane = lanes.get_mut(key).filter(|lane| lane.idle && lane.waiting.is_empty())?;
        let connection = lane.resting.take()?.connection;
        let since = Instant::now();
        (lane.idle, lane.lent) = (false, Some(since));
        Some((connection, since))
    }

    /// A caller is done with the connection that it had since then, and gives it back if it still serves.
    pub(super) fn give_back(&self, key: &Key, since: Instant, connection: Option<Link>) {
        let mut lanes = self.lanes();
        let Some(lane) = lanes.get_mut(key).filter(|lane| lane.lent == Some(since)) else {
            drop(lanes);
            return;
        };
        lane.lent = None;
        lane.resting = connection.map(|connection| Resting { connection, since: Instant::now() });
        lane.idle = lane.waiting.is_empty() && lane.resting.is_some();
        if !lane.idle {
            lane.arrived.notify_one();
        }
    }

    /// The runner has a new connection.
    pub(super) fn renew(&self, key: &Key) {
        if let Some(lane) = self.lanes().get_mut(key) {
            lane.acquired = Instant::now();
        }
    }

    /// Whether the lane may keep its connection for longer.
    pub(super) fn keeps(&self, key: &Key) -> bool {
        self.lanes().get(key).is_some_and(|lane| lane.acquired.elapsed() < LIFE)
    }

    /// Whether a job waits.
    pub(super) fn waits(&self, key: &Key) -> bool {
        self.lanes().get(key).is_some_and(|lane| !lane.waiting.is_empty())
    }

    /// What goes into the next statement. The job of a caller that has gone away is left out.
    pub(super) fn take(&self, key: &Key) -> Part {
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
    pub(super) fn take_before(&self, key: &Key, moment: Instant) -> Vec<Answer> {
        let mut lanes = self.lanes();
        let Some(lane) = lanes.get_mut(key) else { return Vec::new() };
        let count = lane.waiting.iter().take_while(|waiting| waiting.since <= moment).count();
        lane.waiting.drain(..count).map(|waiting| waiting.answer).collect()
    }

    /// The runner leaves in the middle of a statement that takes too long. Answers with what to start another one in its
    /// place, if somebody waits.
    pub(super) fn step_aside(&self, key: &Key) -> Option<Arc<Notify>> {
        let mut lanes = self.lanes();
        let lane = lanes.get(key)?;
        if lane.waiting.is_empty() {
            lanes.remove(key);
            return None;
        }
        Some(Arc::clone(&lane.arrived))
    }

    /// The runner was dropped, with its runtime, or has panicked. Whoever waits is told.
    pub(super) fn lose(&self, key: &Key) {
        let lost = self.lanes().remove(key);
        // Not under the lock: this wakes those who wait.
        drop(lost);
    }
}
