//! Running one attempt at a job: a straight way that ends in exactly one acknowledgement.

use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::FutureExt;
use pg_queue_core::{LeasedJobId, jobs::ClaimedJob};
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
    time::sleep,
};
use tracing::Instrument;

use super::{
    GRACE, Shared, acknowledge,
    acknowledger::{Ack, Verdict},
    generation::{Membership, Reason},
};
use crate::{Context, Failure, Outcome, context::Attempt, handler::Then, registry::Entry};

/// Runs an attempt and acknowledges it. The slot is free again when the handler has ended.
pub(super) async fn run<S: Send + Sync + 'static>(
    shared: Arc<Shared<S>>,
    table: usize,
    job: ClaimedJob,
    acks: mpsc::UnboundedSender<Ack>,
    slot: OwnedSemaphorePermit,
) {
    let mut promise = Promise { acks, table, id: job.id, verdict: None };
    let span = tracing::info_span!("job", id = %job.id, kind = %job.kind, attempt = job.id.attempt());
    promise.verdict = Some(attempt(&shared, table, job).instrument(span).await);
    drop(promise);
    drop(slot);
}

/// One acknowledgement, whatever happens. Only a panic while the handler's future is dropped can leave it without a
/// verdict; without an acknowledgement the job would be held for as long as the worker lives.
struct Promise {
    acks: mpsc::UnboundedSender<Ack>,
    table: usize,
    id: LeasedJobId,
    verdict: Option<Verdict>,
}

impl Drop for Promise {
    fn drop(&mut self) {
        let verdict = self.verdict.take().unwrap_or_else(|| failed("the handler panicked while it was dropped"));
        acknowledge(&self.acks, Ack { table: self.table, id: self.id, verdict });
    }
}

async fn attempt<S: Send + Sync + 'static>(shared: &Shared<S>, table: usize, job: ClaimedJob) -> Verdict {
    let Some(entry) = shared.registry.get(&job.kind) else {
        // The claim asks for registered kinds only.
        tracing::error!("claimed a job of a kind that is not registered");
        return Verdict::Release;
    };
    let membership = shared.generations.join();
    let attempt = Arc::new(Attempt {
        queue: shared.queue.clone(),
        table: shared.tables[table].clone(),
        id: job.id,
        kind: job.kind,
        max_attempts: job.max_attempts,
        run_at: job.run_at,
        created_at: job.created_at,
        request_id: job.request_id,
        cancelled: membership.cancel.clone(),
        completed_in: AtomicBool::new(false),
    });
    let ctx = Context::new(Arc::clone(&shared.state), Arc::clone(&attempt));
    let ended = supervise(entry, &job.payload, ctx, &membership).await;
    let verdict = judge(entry, job.id, ended);
    if attempt.completed_in.load(Ordering::Acquire) { Verdict::CompletedInTransaction } else { verdict }
}

/// How a handler came to its end.
enum Ended {
    ByItself(Result<Outcome, Failure>),
    Undecodable(serde_json::Error),
    Panicked(String),
    TimedOut(Duration),
    Interrupted(Reason),
}

/// Runs the handler to its end, or to the end of its time, or to the end of its worker.
async fn supervise<S: Send + Sync + 'static>(
    entry: &Entry<S>,
    payload: &str,
    ctx: Context<S>,
    membership: &Membership,
) -> Ended {
    // Decoding is the user's code as well.
    let handler = async { Ok((entry.start)(payload, ctx)?.await) };
    let handler = AssertUnwindSafe(handler).catch_unwind();
    tokio::pin!(handler);
    let time_is_up = async {
        match entry.timeout {
            Some(timeout) => sleep(timeout).await,
            None => std::future::pending().await,
        }
    };
    let asked_to_end = tokio::select! {
        biased;
        ended = &mut handler => return by_itself(ended),
        () = membership.stop.cancelled() => return Ended::Interrupted(reason(membership)),
        () = membership.cancel.cancelled() => Ended::Interrupted(reason(membership)),
        () = time_is_up => Ended::TimedOut(entry.timeout.unwrap_or_default()),
    };
    membership.cancel.cancel();
    tokio::select! {
        biased;
        ended = &mut handler => by_itself(ended),
        () = membership.stop.cancelled() => asked_to_end,
        () = sleep(GRACE) => asked_to_end,
    }
}

fn reason(membership: &Membership) -> Reason {
    membership.reason().unwrap_or(Reason::Shutdown)
}

type Caught = Result<Result<Result<Outcome, Failure>, serde_json::Error>, Box<dyn std::any::Any + Send>>;

fn by_itself(ended: Caught) -> Ended {
    match ended {
        Ok(Ok(result)) => Ended::ByItself(result),
        Ok(Err(error)) => Ended::Undecodable(error),
        Err(panic) => {
            let message = panic
                .downcast_ref::<&str>()
                .map(ToString::to_string)
                .or_else(|| panic.downcast_ref::<String>().cloned())
                .unwrap_or_else(|| "without a message".to_owned());
            Ended::Panicked(message)
        }
    }
}

/// What becomes of the job.
fn judge<S>(entry: &Entry<S>, job: LeasedJobId, ended: Ended) -> Verdict {
    let by_policy =
        |error: String| Verdict::Fail { error, delay: entry.backoff.jittered(job.attempt()), discard: false };
    match ended {
        Ended::ByItself(Ok(Outcome::Complete)) => Verdict::Complete,
        Ended::ByItself(Ok(Outcome::Snooze(delay))) => Verdict::Snooze(delay),
        Ended::ByItself(Err(Failure { error, then })) => match then {
            Then::RetryByPolicy => by_policy(error),
            Then::RetryAfter(delay) => Verdict::Fail { error, delay, discard: false },
            Then::Discard => Verdict::Fail { error, delay: Duration::ZERO, discard: true },
        },
        // Another try would not decode it either.
        Ended::Undecodable(error) => Verdict::Fail {
            error: format!("the payload does not decode: {error}"),
            delay: Duration::ZERO,
            discard: true,
        },
        Ended::Panicked(message) => {
            tracing::error!(message, "the handler panicked");
            by_policy(format!("the handler panicked: {message}"))
        }
        Ended::TimedOut(timeout) => by_policy(format!("the handler took longer than {timeout:?}")),
        Ended::Interrupted(Reason::Shutdown) => Verdict::Release,
        Ended::Interrupted(reason) => by_policy(reason.text().to_owned()),
    }
}

fn failed(error: &str) -> Verdict {
    Verdict::Fail { error: error.to_owned(), delay: Duration::from_secs(1), discard: false }
}
