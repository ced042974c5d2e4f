//! What this worker knows that it holds.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use pg_queue_core::{LeaseToken, LeasedJobId, jobs::Held};

use super::{execute::Start, generation::Membership};
use crate::job_info::Attempt;

/// Every job that is claimed and not yet acknowledged. What bears this worker's id in the database under any other token
/// was claimed by a statement whose reply was lost.
#[derive(Debug, Default)]
pub(super) struct Leases(Mutex<HashMap<LeasedJobId, Claimed>>);

#[derive(Debug)]
struct Claimed {
    /// Which of the worker's queues.
    lane: usize,
    /// None for a job whose handler does not run any more, and will not.
    running: Option<(Arc<Attempt>, Membership)>,
}

impl Leases {
    /// Jobs were claimed whose handlers are about to start, or wait for their turn.
    pub(super) fn add<'s>(&self, starts: impl IntoIterator<Item = &'s Start>) {
        let mut leases = self.lock();
        for Start { attempt, membership, .. } in starts {
            let running = Some((Arc::clone(attempt), membership.clone()));
            leases.insert(attempt.id, Claimed { lane: attempt.lane, running });
        }
    }

    /// The handler has ended or will not begin: nothing can stop it any more.
    pub(super) fn ended(&self, id: LeasedJobId) {
        if let Some(claimed) = self.lock().get_mut(&id) {
            claimed.running = None;
        }
    }

    /// The database has been told how the attempt ended.
    pub(super) fn acknowledged(&self, id: LeasedJobId) {
        self.lock().remove(&id);
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    /// All of them, with which of the worker's queues each is of.
    #[cfg(feature = "testing")]
    pub(super) fn all(&self) -> Vec<(usize, LeasedJobId)> {
        self.lock().iter().map(|(id, claimed)| (claimed.lane, *id)).collect()
    }

    pub(super) fn tokens(&self) -> Vec<LeaseToken> {
        self.lock().keys().map(|id| id.token()).collect::<HashSet<_>>().into_iter().collect()
    }

    /// The jobs of one of the worker's queues whose handlers run.
    pub(super) fn running(&self, lane: usize) -> Vec<LeasedJobId> {
        let leases = self.lock();
        let of_lane = leases.iter().filter(|(_, claimed)| claimed.lane == lane && claimed.running.is_some());
        of_lane.map(|(id, _)| *id).collect()
    }

    /// The leases under which the handler of this job runs here: one, if it does at all.
    pub(super) fn running_job(&self, lane: usize, job: i64) -> Vec<LeasedJobId> {
        let mut running = self.running(lane);
        running.retain(|id| id.job_id().get() == job);
        running
    }

    /// Compares with what the database says of the jobs that were `asked` about: drops the handlers of those that are not
    /// held any more, and asks those to end whose jobs somebody wants cancelled. Answers how many were dropped.
    ///
    /// Not those that have completed their job themselves: they have every right to go on after that.
    pub(super) fn verify(&self, asked: &[LeasedJobId], held: &Held) -> usize {
        let leases = self.lock();
        let mut lost = 0;
        for id in asked {
            let Some((attempt, membership)) = leases.get(id).and_then(|claimed| claimed.running.as_ref()) else {
                continue;
            };
            if held.is_to_be_cancelled(*id) {
                membership.cancel_job();
            } else if !held.contains(*id) && !attempt.completed_in() {
                membership.lose_lease();
                lost += 1;
            }
        }
        lost
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<LeasedJobId, Claimed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
