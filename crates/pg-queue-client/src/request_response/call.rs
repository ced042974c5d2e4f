//! Calling by type.

use std::{fmt, future::IntoFuture, marker::PhantomData, pin::Pin, time::Duration};

use pg_queue_core::{
    DecodeError, PushOptions, QueueError, QueueName, Request, RequestId, from_json,
    jobs::{NewJob, PushError},
    replies::Status,
};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep, timeout};

use super::{
    CallError, RequestResponse,
    pending::{Answer, Wanted},
};

/// How long a call waits for a responder to appear when there is none.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often a queue is looked for meanwhile that is missing.
const MISSING_PAUSE: Duration = Duration::from_millis(100);

/// A future that calls.
pub type CallFuture<R> =
    Pin<Box<dyn Future<Output = Result<<R as Request>::Response, CallError<<R as Request>::Error>>> + Send>>;

/// A call that is about to be made. Await it; before that, its setters change what the request's type says. When the future is
/// dropped, the request is taken back, and a responder that is at it is told to leave off.
///
/// ```no_run
/// # use std::time::Duration;
/// # use pg_queue_client::{CallError, PgQueue};
/// # use pg_queue_core::Request;
/// # async fn example<R: Request>(mgr: PgQueue, request: R) -> Result<R::Response, CallError<R::Error>> {
/// let response = mgr.call(&request).timeout(Duration::from_secs(2)).await?;
/// # Ok(response)
/// # }
/// ```
#[must_use = "a request is sent when this is awaited"]
pub struct Call<R> {
    calls: RequestResponse,
    queue: Result<QueueName, PushError>,
    job: Result<NewJob, PushError>,
    kind: &'static str,
    timeout: Duration,
    patience: Duration,
    attempts: u16,
    request: PhantomData<fn() -> R>,
}

// Not derived: that would show the payload.
impl<R> fmt::Debug for Call<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("kind", &self.kind).field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

impl<R: Request> Call<R> {
    pub(super) fn new(calls: RequestResponse, request: &R) -> Self {
        Self {
            calls,
            queue: QueueName::new(R::QUEUE).map_err(PushError::from),
            job: NewJob::new(R::KIND, request),
            kind: R::KIND,
            timeout: R::TIMEOUT,
            patience: PATIENCE,
            attempts: R::MAX_ATTEMPTS,
            request: PhantomData,
        }
    }

    /// Through this queue instead of the type's own.
    pub fn queue(mut self, queue: &QueueName) -> Self {
        self.queue = Ok(queue.clone());
        self
    }

    /// Waits so long for the response instead of what the type says. The responder knows how long that is.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How long to wait for a responder to appear when no live worker has the type registered, before the call ends with
    /// [`CallError::NoResponder`]. Default: 1 s. Longer than the timeout: such a call times out, as is right where consumers
    /// take requests by hand.
    pub fn no_responder_after(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// So many responders may try, one after the other, when one dies or is shut down in the middle: 1 to 32767. What the type
    /// says by default, which is once.
    pub fn max_attempts(mut self, attempts: u16) -> Self {
        self.attempts = attempts;
        self
    }

    async fn run(self) -> Result<R::Response, CallError<R::Error>> {
        let (queue, mut job) = (self.queue?, self.job?);
        // The column counts whole milliseconds.
        let limit = self.timeout.max(Duration::from_millis(1));
        job.options = PushOptions::default().max_attempts(self.attempts).timeout(limit);
        let called = Instant::now();
        let patient_until = called.checked_add(self.patience);
        let wanted = patient_until.map(|patient_until| Wanted { queue: queue.clone(), kind: self.kind, patient_until });
        let no_responder = |queue| Err(CallError::NoResponder { queue, kind: self.kind.to_owned() });
        let inbox = self.calls.inbox();
        let (waiting, answered) = loop {
            let mut waiting = inbox.send(&queue, job.clone(), wanted.clone());
            let answered = timeout(self.timeout.saturating_sub(called.elapsed()), waiting.answer()).await;
            // Responders make their queue: the first one may be about to.
            let again = called.elapsed() + MISSING_PAUSE;
            if is_missing(&answered) && again < self.patience.min(self.timeout) {
                sleep(MISSING_PAUSE).await;
                continue;
            }
            break (waiting, answered);
        };
        match answered {
            Ok(Some(Answer::Reply(status, body))) => read(waiting.id, status, &body),
            Ok(Some(Answer::NoResponder)) => no_responder(queue),
            Ok(Some(Answer::NotPushed(PushError::Queue(QueueError::Missing(queue))))) => no_responder(queue),
            Ok(Some(Answer::NotPushed(error))) => Err(error.into()),
            Ok(None) => Err(CallError::InboxClosed),
            Err(_) if waiting.place().is_some() => Err(CallError::TimedOut),
            Err(_) => Err(CallError::NotPushed { queue }),
        }
    }
}

impl<R: Request> IntoFuture for Call<R> {
    type Output = Result<R::Response, CallError<R::Error>>;
    type IntoFuture = CallFuture<R>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

fn is_missing<E>(answered: &Result<Option<Answer>, E>) -> bool {
    matches!(answered, Ok(Some(Answer::NotPushed(PushError::Queue(QueueError::Missing(_))))))
}

/// What a reply means to its caller.
pub(super) fn read<T, E>(request: RequestId, status: Status, body: &str) -> Result<T, CallError<E>>
where
    T: DeserializeOwned,
    E: DeserializeOwned,
{
    let undecodable = |source: DecodeError| CallError::Decode { request, source };
    let message = || from_json(body.as_bytes()).unwrap_or_else(|_| body.to_owned());
    Err(match status {
        Status::Ok => return from_json(body.as_bytes()).map_err(undecodable),
        Status::Error => from_json(body.as_bytes()).map_or_else(undecodable, CallError::App),
        Status::Panicked => CallError::Panicked { message: message() },
        Status::Undecodable => CallError::Undecodable { message: message() },
        Status::Interrupted | Status::Unknown => CallError::Interrupted { message: message() },
    })
}
