//! What a claim brings: in line for a slot, or back where it came from.

use std::sync::Arc;

use pg_queue_core::{
    LeaseToken, QueueError, WorkerId,
    jobs::{self, Claimant, ClaimedJob, Reach},
};
use tokio::{sync::watch, time::Instant};

use super::{
    Shared,
    ack::{Ack, Acks, Verdict, acknowledge},
    answer,
    execute::{self, Start},
    generation::Generation,
    hand::Role,
    heart::Life,
};

/// What a claim has brought. To be [`put`](Intake::put) in line.
pub(super) struct Claimed {
    lane: usize,
    generation: Generation,
    jobs: Vec<ClaimedJob>,
}

impl Claimed {
    pub(super) const fn lane(&self) -> usize {
        self.lane
    }

    pub(super) const fn len(&self) -> usize {
        self.jobs.len()
    }
}

/// Claims for a worker and takes in what that brings. Cheap to clone, for claims that are on their way beside others.
pub(super) struct Intake<S> {
    pub(super) shared: Arc<Shared<S>>,
    life: watch::Receiver<Life>,
    acks: Acks,
}

// Not derived: that would ask for `S: Clone`.
impl<S> Clone for Intake<S> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), life: self.life.clone(), acks: self.acks.clone() }
    }
}

impl<S: Send + Sync + 'static> Intake<S> {
    pub(super) fn new(shared: Arc<Shared<S>>, life: watch::Receiver<Life>, acks: Acks) -> Self {
        Self { shared, life, acks }
    }

    pub(super) fn id(&self) -> WorkerId {
        self.life.borrow().id
    }

    /// Claims from a queue. Never to be dropped half-way.
    pub(super) async fn claim(&self, lane: usize, most: usize, sweep: bool) -> Result<Claimed, QueueError> {
        // The generation first: if the worker is declared dead after this, what is claimed under its old id belongs to a
        // generation that is over.
        let generation = self.shared.generations.current();
        let Life { id, in_contact, .. } = *self.life.borrow();
        if !in_contact {
            return Ok(Claimed { lane, generation, jobs: Vec::new() });
        }
        let claimed_from = &self.shared.lanes[lane];
        let floors = claimed_from.sweeps().floors();
        let reach = if sweep { Reach::Sweep(&floors) } else { Reach::Above(&floors) };
        let (token, kinds) = (LeaseToken::random(), Some(&*self.shared.kinds));
        let limit = u32::try_from(most).unwrap_or(u32::MAX);
        let began = Instant::now();
        let claimed = self
            .shared
            .control
            .run_as(Role::Claims, async |connection| {
                let (table, claimant) = (&claimed_from.table, Claimant::Worker(id));
                jobs::claim_within(connection, table, claimant, token, kinds, limit, reach).await
            })
            .await;
        let jobs = claimed?;
        if sweep {
            claimed_from.sweeps().swept(began);
        }
        claimed_from.sweeps().learn(reach, limit, &jobs);
        Ok(Claimed { lane, generation, jobs })
    }

    /// Puts jobs in line, unless the worker has closed or lost contact while the claim was on its way.
    pub(super) fn put(&self, claimed: Claimed) {
        let Claimed { lane, generation, jobs } = claimed;
        let shared = &self.shared;
        let start = |job| {
            let membership = generation.join();
            let (attempt, given) = shared.attempt(lane, job, membership.clone());
            Start { attempt, given, membership }
        };
        let starts: Vec<Start> = jobs.into_iter().map(start).collect();
        shared.leases.add(&starts);
        if shared.closing.is_cancelled() || generation.is_over() || !self.life.borrow().in_contact {
            return self.give_back(starts);
        }
        shared.ahead.put(lane, starts);
        self.serve();
    }

    /// Sets free slots to work while there are claimed jobs that may begin. Answers how many.
    pub(super) fn serve(&self) -> usize {
        let shared = &self.shared;
        let mut set_to_work = 0;
        while let Ok(slot) = Arc::clone(&shared.slots).try_acquire_owned() {
            let Some(first) = shared.next() else { break };
            shared.handlers.spawn(execute::serve(Arc::clone(shared), slot, first, self.acks.clone()));
            set_to_work += 1;
        }
        set_to_work
    }

    /// Gives jobs back that have not begun: it costs them no attempt.
    pub(super) fn give_back(&self, starts: impl IntoIterator<Item = Start>) {
        for Start { attempt, membership, .. } in starts {
            self.shared.leases.ended(attempt.id);
            let unwanted = answer::is_unwanted(&attempt, &membership);
            let verdict = if unwanted { Verdict::Complete(None) } else { Verdict::RELEASE };
            acknowledge(&self.acks, Ack { attempt, verdict, took: None, reply: None });
        }
    }

    /// Gives back what waits in line for this queue. Answers how many.
    pub(super) fn clear(&self, lane: usize) -> usize {
        let waiting = self.shared.ahead.take(lane);
        let count = waiting.len();
        self.give_back(waiting);
        count
    }
}
