//! Enqueuing through the pool in natural batches: while one statement is on its way, what arrives is the next one.
//!
//! No timer waits for a batch to fill, so that an idle process has the latency of one statement, and a busy one the
//! throughput of long ones. Batches are sent by tasks of their own ([`runner`]) and not by callers, so that one who goes away
//! takes nothing with it that others wait for. A caller who finds nobody before it sends its job itself ([`loan`]).
//!
//! Jobs with a unique key do not come here. Such a key may be held by somebody's open transaction, and its statement then
//! waits for that: it may keep waiting only those who want the same key.

mod error;
mod lanes;
mod loan;
mod part;
mod runner;

use std::sync::Arc;

use pg_queue_core::{
    QueueName,
    jobs::{Commit, NewJob, PushError, PushOutcome},
};
use tokio::{runtime::Handle, sync::oneshot};

pub(crate) use self::{
    error::{Blame, blame_database, repeated_database},
    lanes::Batches,
};
use self::{
    lanes::{Key, Waiting},
    loan::Loan,
    runner::Runner,
};
use crate::shared::Shared;

type Answer = oneshot::Sender<Result<PushOutcome, PushError>>;

/// Enqueues a job that has no unique key together with whatever else is on its way to the same queue. A caller that goes
/// away leaves its job enqueued or not, and nobody else waiting.
pub(crate) async fn push(
    shared: &Arc<Shared>,
    queue: &QueueName,
    job: NewJob,
    commit: Commit,
) -> Result<PushOutcome, PushError> {
    // What cannot be enqueued is the caller's own trouble.
    job.check()?;
    let runtime = Handle::current();
    let key = Key::new(runtime.id(), queue.clone(), commit);
    if let Some(loan) = Loan::take(shared, &key) {
        return loan.push(&job).await;
    }
    let (answer, answered) = oneshot::channel();
    let waiting = Waiting::new(job, answer);
    if let Some(arrived) = shared.batches.join(&key, waiting) {
        // Not by the lanes, because a runtime that shuts down drops it at once, which asks for their lock.
        runtime.spawn(Runner::new(Arc::clone(shared), key, arrived).run());
    }
    answered.await.unwrap_or(Err(PushError::Interrupted))
}
