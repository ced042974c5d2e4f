//! What this worker knows that it holds.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering::Acquire},
};

use pg_queue_core::{LeaseToken, LeasedJobId, jobs::Acknowledged};
use tokio_util::sync::CancellationToken;

use crate::context::Attempt;

/// Every job that is claimed and not yet acknowledged. What bears this worker's id in the database under any other token
/// was claimed by a statement whose reply was lost.
#[derive(Debug, Default)]
pub(super) struct Leases(Mutex<HashMap<LeasedJobId, Held>>);

#[derive(Debug)]
struct Held {
    /// Which of the worker's queues.
    table: usize,
    /// None for a job that is given back without having run.
    running: Option<(Arc<Attempt>, CancellationToken)>,
}

impl Leases {
    /// A job was claimed, and is given back at once.
    pub(super) fn add(&self, id: LeasedJobId, table: usize) {
        self.lock().insert(id, Held { table, running: None });
    }

    /// A job was claimed and its handler is about to start; `stop` drops it.
    pub(super) fn add_running(&self, table: usize, attempt: Arc<Attempt>, stop: CancellationToken) {
        self.lock().insert(attempt.id, Held { table, running: Some((attempt, stop)) });
    }

    /// The database has been told how the attempt ended.
    pub(super) fn acknowledged(&self, id: LeasedJobId) {
        self.lock().remove(&id);
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    pub(super) fn tokens(&self) -> Vec<LeaseToken> {
        self.lock().keys().map(|id| id.token()).collect::<HashSet<_>>().into_iter().collect()
    }

    /// The jobs of one of the worker's queues.
    pub(super) fn of(&self, table: usize) -> Vec<LeasedJobId> {
        self.lock().iter().filter(|(_, held)| held.table == table).map(|(id, _)| *id).collect()
    }

    /// Drops the handlers of those of `asked` that are not `held` any more. Answers how many.
    ///
    /// Not those that have completed their job themselves: they have every right to go on after that.
    pub(super) fn stop_lost(&self, asked: &[LeasedJobId], held: &Acknowledged) -> usize {
        let leases = self.lock();
        let lost = asked.iter().filter(|id| !held.contains(**id)).filter_map(|id| leases.get(id)?.running.as_ref());
        lost.filter(|(attempt, _)| !attempt.completed_in.load(Acquire)).map(|(_, stop)| stop.cancel()).count()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<LeasedJobId, Held>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
