//! Running one attempt at a job: a straight way that ends in exactly one acknowledgement.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures_util::FutureExt;
use pg_queue_core::{DecodeError, LeasedJobId};
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
    time::sleep,
};
use tracing::Instrument;

use super::{
    GRACE, Shared,
    ack::{Ack, Verdict, acknowledge},
    generation::{Membership, Reason},
};
use crate::{Context, Failure, Outcome, context::Attempt, handler::Then, registry::Entry};

/// An attempt that is about to be made.
pub(super) struct Start {
    /// Which of the worker's queues.
    pub(super) table: usize,
    pub(super) attempt: Arc<Attempt>,
    pub(super) payload: String,
    pub(super) membership: Membership,
    pub(super) slot: OwnedSemaphorePermit,
}

/// Runs an attempt and acknowledges it. The slot is free again when the handler has ended.
pub(super) async fn run<S: Send + Sync + 'static>(
    shared: Arc<Shared<S>>,
    start: Start,
    acks: mpsc::UnboundedSender<Ack>,
) {
    let Start { table, attempt, payload, membership, slot } = start;
    let span = tracing::info_span!("job", id = %attempt.id, kind = %attempt.kind, attempt = attempt.id.attempt());
    let mut promise = Promise { acks, table, attempt: Arc::clone(&attempt), verdict: None };
    promise.verdict = Some(verdict(&shared, attempt, &payload, &membership).instrument(span).await);
    drop(promise);
    drop(slot);
}

/// One acknowledgement, whatever happens. Without one the job would be held for as long as the worker lives.
struct Promise {
    acks: mpsc::UnboundedSender<Ack>,
    table: usize,
    attempt: Arc<Attempt>,
    verdict: Option<Verdict>,
}

impl Drop for Promise {
    fn drop(&mut self) {
        let verdict = self.verdict.take().unwrap_or_else(|| Verdict::Fail {
            error: "the attempt was dropped with the runtime, or panicked outside of its handler".to_owned(),
            delay: Duration::from_secs(1),
            discard: false,
        });
        let completed_in = self.attempt.completed_in.load(Ordering::Acquire);
        acknowledge(&self.acks, Ack { table: self.table, id: self.attempt.id, verdict, completed_in });
    }
}

async fn verdict<S: Send + Sync + 'static>(
    shared: &Shared<S>,
    attempt: Arc<Attempt>,
    payload: &str,
    membership: &Membership,
) -> Verdict {
    let Some(entry) = shared.registry.get(&attempt.kind) else {
        // The claim asks for registered kinds only.
        tracing::error!("claimed a job of a kind that is not registered");
        return Verdict::Release;
    };
    if membership.cancel.is_cancelled() {
        // Its generation has ended before its turn came: nothing has happened that could count as an attempt.
        return Verdict::Release;
    }
    let ctx = Context::new(Arc::clone(&shared.state), Arc::clone(&attempt));
    let verdict = judge(entry, attempt.id, supervise(entry, payload, ctx, membership).await);
    match verdict {
        // What counts is whether its transaction was committed. If the job is still there, it was not.
        Verdict::Complete if attempt.completed_in.load(Ordering::Acquire) => Verdict::Fail {
            error: "the transaction in which the handler completed the job was not committed".to_owned(),
            delay: entry.backoff.jittered(attempt.id.attempt()),
            discard: false,
        },
        verdict => verdict,
    }
}

/// How a handler came to its end.
enum Ended {
    ByItself(Result<Outcome, Failure>),
    Undecodable(DecodeError),
    Panicked(String),
    TimedOut(Duration),
    Interrupted(Reason),
    /// It was asked to end, and ended with an error of its own.
    Heeded(Box<Ended>, String),
}

/// Runs the handler to its end, or to the end of its time, or to the end of its worker.
///
/// Whoever is stopped is not polled once more, even if it might be ready: somebody else may run the job already.
async fn supervise<S: Send + Sync + 'static>(
    entry: &Entry<S>,
    payload: &str,
    ctx: Context<S>,
    membership: &Membership,
) -> Ended {
    // Decoding is the user's code as well.
    let handler = async { Ok((entry.start)(payload, ctx)?.await) };
    let mut handler = Box::pin(AssertUnwindSafe(handler).catch_unwind());
    let time_is_up = async {
        match entry.timeout {
            Some(timeout) => sleep(timeout).await,
            None => std::future::pending().await,
        }
    };
    let first = tokio::select! {
        biased;
        () = membership.stop.cancelled() => Err(Ended::Interrupted(membership.reason())),
        // Before the handler, which it wakes as well: what that answers then is an answer to it.
        () = membership.cancel.cancelled() => Err(Ended::Interrupted(membership.reason())),
        ended = &mut handler => Ok(by_itself(ended)),
        () = time_is_up => Err(Ended::TimedOut(entry.timeout.unwrap_or_default())),
    };
    let ended = match first {
        Ok(ended) => ended,
        Err(asked_to_end) => {
            membership.cancel.cancel();
            tokio::select! {
                biased;
                () = membership.stop.cancelled() => asked_to_end,
                ended = &mut handler => heeded(asked_to_end, by_itself(ended)),
                () = sleep(GRACE) => asked_to_end,
            }
        }
    };
    match catch_unwind(AssertUnwindSafe(|| drop(handler))) {
        Ok(()) => ended,
        Err(panic) => {
            let message = format!("{} (while it was dropped)", message(&*panic));
            // What it has answered stands.
            if let Ended::ByItself(Ok(_)) = ended {
                tracing::error!(message, "the handler panicked after it had succeeded");
                return ended;
            }
            Ended::Panicked(message)
        }
    }
}

fn heeded(asked_to_end: Ended, ended: Ended) -> Ended {
    match ended {
        Ended::ByItself(Err(Failure { error, then: Then::RetryByPolicy })) => {
            Ended::Heeded(Box::new(asked_to_end), error)
        }
        // A success is one, however late, and whoever says what is to become of the job is taken at his word.
        ended => ended,
    }
}

type Caught = Result<Result<Result<Outcome, Failure>, DecodeError>, Box<dyn Any + Send>>;

fn by_itself(ended: Caught) -> Ended {
    match ended {
        Ok(Ok(result)) => Ended::ByItself(result),
        Ok(Err(error)) => Ended::Undecodable(error),
        Err(panic) => Ended::Panicked(message(&*panic)),
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a message".to_owned())
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
        Ended::Heeded(asked, own) => match judge(entry, job, *asked) {
            Verdict::Fail { error, .. } => by_policy(format!("{error}: {own}")),
            verdict => verdict,
        },
    }
}
