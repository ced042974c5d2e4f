//! Running one attempt at a job: a straight way that ends in exactly one acknowledgement.

use std::{
    any::Any,
    fmt,
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, atomic::AtomicBool},
    task::Poll,
    time::Duration,
};

use futures_util::FutureExt;
use pg_queue_core::{
    LeasedJobId,
    jobs::{ClaimedJob, Ending, TimeLimit},
    replies::Reply,
};
use tokio::{
    sync::OwnedSemaphorePermit,
    task::yield_now,
    time::{Instant, sleep},
};
use tracing::Instrument;

use super::{
    Shared,
    ack::{Ack, Acks, Verdict, acknowledge},
    answer,
    generation::{Membership, Reason},
    lane::Place,
};
use crate::{
    Context, Event, EventJob, Failure, JobInfo, Next, Outcome, Panicked,
    handler::{Then, Undecodable},
    job_info::Attempt,
    middleware::Handling,
    registry::Entry,
};

/// An attempt that is about to be made.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) attempt: Arc<Attempt>,
    pub(super) given: Given,
    pub(super) membership: Membership,
}

/// What an attempt is given.
pub(super) struct Given {
    payload: String,
    timeout: Option<TimeLimit>,
}

// Payloads stay out of logs.
impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Given").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

impl<S> Shared<S> {
    /// What a claimed job is to its handler, and to whoever acknowledges its end.
    pub(super) fn attempt(&self, lane: usize, job: ClaimedJob, membership: Membership) -> (Arc<Attempt>, Given) {
        let entry = self.registry.get(&job.kind);
        let keep = entry.and_then(|entry| entry.keep);
        let deadline = if entry.is_some_and(|entry| entry.responds) { answer::deadline(&job) } else { None };
        let attempt = Attempt {
            queue: self.queue.clone(),
            table: self.lanes[lane].table.clone(),
            lane,
            id: job.id,
            kind: job.kind,
            max_attempts: job.max_attempts,
            priority: job.priority,
            run_at: job.run_at,
            created_at: job.created_at,
            request_id: job.request_id,
            deadline,
            tags: job.tags,
            metadata: job.metadata,
            membership,
            completed_in: AtomicBool::new(false),
            keep: keep.or_else(|| self.lanes[lane].keep_completed()),
            left: Mutex::default(),
            board: Arc::clone(&self.board),
        };
        (Arc::new(attempt), Given { payload: job.payload, timeout: job.timeout })
    }
}

/// After so many jobs a slot's task lets others have its thread: jobs that await nothing would keep it for ever.
const IN_A_ROW: u32 = 32;

/// What becomes of a slot: runs jobs one after the other for as long as there are claimed ones. The slot is free again when there
/// are none.
pub(super) async fn serve<S: Send + Sync + 'static>(
    shared: Arc<Shared<S>>,
    slot: OwnedSemaphorePermit,
    first: (Start, Place),
    acks: Acks,
) {
    let mut next = Some(first);
    let mut in_a_row = 0;
    while let Some((start, place)) = next {
        run(&shared, start, &acks).await;
        drop(place);
        in_a_row += 1;
        if in_a_row == IN_A_ROW {
            in_a_row = 0;
            yield_now().await;
        }
        next = shared.next();
    }
    drop(slot);
}

impl<S> Shared<S> {
    /// The next claimed job that may begin. None after the worker has been asked to close.
    pub(super) fn next(&self) -> Option<(Start, Place)> {
        if self.closing.is_cancelled() { None } else { self.ahead.next(&self.lanes) }
    }
}

/// Runs an attempt and acknowledges it.
pub(super) async fn run<S: Send + Sync + 'static>(shared: &Arc<Shared<S>>, start: Start, acks: &Acks) {
    let Start { attempt, given, membership } = start;
    let span = tracing::info_span!(
        "job",
        id = %attempt.id,
        queue = %attempt.table.queue(),
        kind = %attempt.kind,
        attempt = attempt.id.attempt(),
        traceparent = attempt.metadata.get("traceparent").and_then(|it| it.as_str()),
    );
    let job = JobInfo(Arc::clone(&attempt));
    let mut promise = Promise { shared, acks, attempt, began: None, verdict: None, reply: None };
    if answer::is_unwanted(&promise.attempt, &membership) {
        promise.verdict = Some(Verdict::Complete(None));
    } else if membership.is_over() {
        // Its generation, its lease or the wish for it has ended before its turn came: nothing has happened that could count
        // as an attempt.
        promise.verdict = Some(Verdict::RELEASE);
    } else {
        promise.began = Some(Instant::now());
        let (verdict, reply) = verdict(shared, job, &given, &membership).instrument(span).await;
        (promise.verdict, promise.reply) = (Some(verdict), reply);
    }
}

/// One acknowledgement, whatever happens. Without one the job would be held for as long as the worker lives.
struct Promise<'s, S> {
    shared: &'s Shared<S>,
    acks: &'s Acks,
    attempt: Arc<Attempt>,
    began: Option<Instant>,
    verdict: Option<Verdict>,
    reply: Option<Box<Reply>>,
}

impl<S> Drop for Promise<'_, S> {
    fn drop(&mut self) {
        let verdict = self.verdict.take().unwrap_or_else(|| {
            let error = "the attempt was dropped with the runtime, or panicked outside of its handler";
            Verdict::failed(Ending::Retry(Duration::from_secs(1)), error)
        });
        self.shared.leases.ended(self.attempt.id);
        let took = self.began.map(|began| began.elapsed());
        if let Some(took) = took {
            self.shared.lanes[self.attempt.lane].note(took);
        }
        let reply = self.reply.take();
        acknowledge(self.acks, Ack { attempt: Arc::clone(&self.attempt), verdict, took, reply });
    }
}

async fn verdict<S: Send + Sync + 'static>(
    shared: &Shared<S>,
    job: JobInfo,
    given: &Given,
    membership: &Membership,
) -> (Verdict, Option<Box<Reply>>) {
    let attempt = Arc::clone(&job.0);
    let Some(entry) = shared.registry.get(&attempt.kind) else {
        // The claim asks for registered kinds only.
        tracing::error!("claimed a job of a kind that is not registered");
        return (Verdict::RELEASE, None);
    };
    shared.teller.tell(|| Event::Started(EventJob::new(attempt.id, attempt.table.queue(), &attempt.kind)));
    let timeout = match (attempt.deadline, given.timeout) {
        (Some(deadline), _) => Some(deadline.saturating_duration_since(Instant::now())),
        (None, None) => entry.timeout,
        (None, Some(TimeLimit::Unlimited)) => None,
        (None, Some(TimeLimit::After(limit))) => Some(limit),
    };
    let ctx = Context::new(Arc::clone(&shared.state), job.clone());
    let handler: Handling<'_> = Box::pin(handle(entry, &given.payload, ctx));
    let handler = Next::new(&job, &shared.middleware, handler).run();
    let ended = supervise(handler, timeout, shared.settings.cancel_grace, membership).await;
    if entry.responds {
        return answer::judge(entry, &attempt, ended);
    }
    let verdict = match judge(entry, attempt.id, ended) {
        // What counts is whether its transaction was committed. If the job is still there, it was not.
        Verdict::Complete(_) if attempt.completed_in() => Verdict::failed(
            Ending::Retry(entry.backoff.jittered(attempt.id.attempt())),
            "the transaction in which the handler completed the job was not committed",
        ),
        Verdict::Complete(_) => Verdict::Complete(attempt.kept()),
        verdict => verdict,
    };
    (verdict, None)
}

/// Decodes the payload, which is the user's code as well, and runs its handler. A panic is an error like any other from here
/// on, so that whoever surrounds the handler sees it.
async fn handle<S: Send + Sync + 'static>(
    entry: &Entry<S>,
    payload: &str,
    ctx: Context<S>,
) -> Result<Outcome, Failure> {
    let handler = async {
        match (entry.start)(payload, ctx) {
            Ok(running) => running.await,
            Err(error) => Err(Failure::discard(Undecodable(error))),
        }
    };
    caught(handler).await
}

/// A panic as an error.
async fn caught(handler: impl Future<Output = Result<Outcome, Failure>>) -> Result<Outcome, Failure> {
    AssertUnwindSafe(handler).catch_unwind().await.unwrap_or_else(|panic| {
        let message = message(&*panic);
        tracing::error!(message, "the handler panicked");
        Err(Panicked { message }.into())
    })
}

/// How a handler came to its end.
pub(super) enum Ended {
    ByItself(Result<Outcome, Failure>),
    PanickedInDrop(String),
    TimedOut(Duration),
    Interrupted(Reason),
    /// It was asked to end, and ended with an error of its own.
    Heeded(Box<Ended>, String),
}

/// Runs the handler to its end, or to the end of its time, or to the end of its worker.
///
/// Whoever is stopped is not polled once more, even if it might be ready: somebody else may run the job already.
async fn supervise(
    handler: impl Future<Output = Result<Outcome, Failure>>,
    timeout: Option<Duration>,
    grace: Duration,
    membership: &Membership,
) -> Ended {
    // Once more, for what surrounds the handler.
    let mut handler = Box::pin(caught(handler));
    let time_is_up = async {
        match timeout {
            Some(timeout) => sleep(timeout).await,
            None => std::future::pending().await,
        }
    };
    // What ends without awaiting anything needs nobody who could stop it, and being stoppable is what costs most here.
    let first = match poll_fn(|context| Poll::Ready(handler.as_mut().poll(context))).await {
        Poll::Ready(ended) => Ok(Ended::ByItself(ended)),
        Poll::Pending => tokio::select! {
        biased;
        () = membership.stop().cancelled() => Err(Ended::Interrupted(membership.reason())),
        // Before the handler, which it wakes as well: what that answers then is an answer to it.
        () = membership.cancel().cancelled() => Err(Ended::Interrupted(membership.reason())),
        ended = &mut handler => Ok(Ended::ByItself(ended)),
        () = time_is_up => Err(Ended::TimedOut(timeout.unwrap_or_default())),
        },
    };
    let ended = match first {
        Ok(ended) => ended,
        Err(asked_to_end) => {
            membership.cancel().cancel();
            tokio::select! {
                biased;
                () = membership.stop().cancelled() => asked_to_end,
                ended = &mut handler => heeded(asked_to_end, ended),
                () = sleep(grace) => asked_to_end,
            }
        }
    };
    match catch_unwind(AssertUnwindSafe(|| drop(handler))) {
        Ok(()) => ended,
        Err(panic) => {
            let message = format!("{} (while it was dropped)", message(&*panic));
            tracing::error!(message, "the handler panicked");
            // What it has answered stands.
            if let Ended::ByItself(Ok(_)) = ended { ended } else { Ended::PanickedInDrop(message) }
        }
    }
}

fn heeded(asked_to_end: Ended, ended: Result<Outcome, Failure>) -> Ended {
    match ended {
        Err(failure) if failure.then == Then::RetryByPolicy => Ended::Heeded(Box::new(asked_to_end), failure.message()),
        // A success is one, however late, and whoever says what is to become of the job is taken at his word.
        ended => Ended::ByItself(ended),
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a message".to_owned())
}

/// What becomes of the job.
pub(super) fn judge<S>(entry: &Entry<S>, job: LeasedJobId, ended: Ended) -> Verdict {
    let by_policy = |error: String| Verdict::failed(Ending::Retry(entry.backoff.jittered(job.attempt())), error);
    match ended {
        Ended::ByItself(Ok(Outcome::Complete)) => Verdict::Complete(None),
        Ended::ByItself(Ok(Outcome::Snooze(delay))) => {
            Verdict::End { ending: Ending::Release(Some(delay)), error: None }
        }
        Ended::ByItself(Ok(Outcome::Cancel)) => Verdict::End { ending: Ending::Cancel, error: None },
        Ended::ByItself(Err(failure)) => {
            let error = failure.message();
            match failure.then {
                Then::RetryByPolicy => by_policy(error),
                Then::RetryAfter(delay) => Verdict::failed(Ending::Retry(delay), error),
                Then::Discard => Verdict::failed(Ending::Discard, error),
                Then::Cancel => Verdict::failed(Ending::Cancel, error),
            }
        }
        Ended::PanickedInDrop(message) => by_policy(Panicked { message }.to_string()),
        Ended::TimedOut(timeout) => by_policy(format!("the handler took longer than {timeout:?}")),
        Ended::Interrupted(Reason::Shutdown) => Verdict::RELEASE,
        Ended::Interrupted(reason @ Reason::Cancelled) => Verdict::failed(Ending::Cancel, reason.text()),
        Ended::Interrupted(reason) => by_policy(reason.text().to_owned()),
        Ended::Heeded(asked, own) => match judge(entry, job, *asked) {
            Verdict::End { ending, error: Some(error) } => Verdict::failed(ending, format!("{error}: {own}")),
            verdict => verdict,
        },
    }
}
