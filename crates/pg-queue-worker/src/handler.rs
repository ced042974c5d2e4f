//! What runs a job, and how it may end.

use std::{error::Error, fmt, future::Future, time::Duration};

use pg_queue_core::{DecodeError, Job};
use sqlx::PgConnection;

use crate::Context;

/// Runs the jobs of a type.
///
/// The state `S` is a parameter of the trait, so that a binary can implement the handler of a payload that lives in a
/// shared crate. All handlers of a worker have the same state; the compiler checks it.
///
/// ```
/// use pg_queue_core::{DecodeError, Job};
/// use pg_queue_worker::{Context, Failure, Handler, Outcome};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize, Job)]
/// #[job(crate = "pg_queue_core", queue = "emails")]
/// struct SendEmail {
///     to: String,
/// }
///
/// struct App;
///
/// impl Handler<App> for SendEmail {
///     async fn run(self, ctx: Context<App>) -> Result<Outcome, Failure> {
///         println!("to {}, attempt {}", self.to, ctx.attempt());
///         Ok(Outcome::Complete)
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no handler for the state `{S}`",
    label = "needs `impl Handler<{S}> for {Self}`",
    note = "all handlers of one worker have the same state: the type that is given to `WorkerBuilder::build`"
)]
pub trait Handler<S>: Job {
    /// Runs one attempt. An error ends this attempt; the job is tried again by its policy. A panic is an error too.
    ///
    /// When [`Context::cancelled`] resolves, the attempt should end soon; some seconds later it is dropped where it
    /// awaits.
    fn run(self, ctx: Context<S>) -> impl Future<Output = Result<Outcome, Failure>> + Send;
}

/// Runs the jobs of a type, each attempt in one transaction that completes the job as well: registered by
/// [`register_transactional`](crate::WorkerBuilder::register_transactional).
///
/// The transaction is begun on the application's pool before the handler, committed together with the job's completion when
/// the handler answers [`Outcome::Complete`], and rolled back with everything else it may answer. So what it writes there
/// happens exactly once. A handler that works long in other places should rather be a [`Handler`] that calls
/// [`Context::complete_in`] at its end: a transaction that is open for minutes is a burden to the whole database.
///
/// ```
/// # use pg_queue_core::{DecodeError, Job};
/// # use pg_queue_worker::{Context, Failure, Outcome, TransactionHandler};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize, Job)]
/// # #[job(crate = "pg_queue_core")]
/// # struct Transfer { from: i64, to: i64, cents: i64 }
/// impl TransactionHandler<()> for Transfer {
///     async fn run(self, _ctx: Context<()>, tx: &mut sqlx::PgConnection) -> Result<Outcome, Failure> {
///         let book = "insert into bookings (debit, credit, cents) values ($1, $2, $3)";
///         sqlx::query(book).bind(self.from).bind(self.to).bind(self.cents).execute(tx).await?;
///         Ok(Outcome::Complete)
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no transactional handler for the state `{S}`",
    label = "needs `impl TransactionHandler<{S}> for {Self}`",
    note = "all handlers of one worker have the same state: the type that is given to `WorkerBuilder::build`"
)]
pub trait TransactionHandler<S>: Job {
    /// Runs one attempt in `transaction`. See [`Handler::run`].
    fn run(
        self,
        ctx: Context<S>,
        transaction: &mut PgConnection,
    ) -> impl Future<Output = Result<Outcome, Failure>> + Send;
}

/// How an attempt ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The job is done. It is removed from its queue.
    Complete,
    /// The job cannot be done yet: run it again after this time. The attempt is not counted.
    Snooze(Duration),
    /// The job is not wanted any more: it goes into the history as cancelled. With a reason: [`Failure::cancel`].
    Cancel,
}

/// How an attempt failed. Any error and any string becomes one by `?` or `into()`: tried again by the job's policy.
///
/// ```
/// use std::time::Duration;
/// use pg_queue_worker::Failure;
///
/// let by_policy: Failure = "the mail server is away".into();
/// let later = Failure::retry_after(Duration::from_secs(60), "rate limited");
/// let never = Failure::discard("no such user");
/// let not_needed = Failure::cancel("the order was withdrawn");
/// ```
// Not an `Error` itself: the conversion below would overlap with the one from itself.
#[derive(Debug)]
pub struct Failure {
    error: Box<dyn Error + Send + Sync>,
    pub(crate) then: Then,
}

/// What becomes of a job after a failed attempt, while it has attempts left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    RetryByPolicy,
    RetryAfter(Duration),
    Discard,
    Cancel,
}

impl Failure {
    /// Failed for good: the job is discarded, whatever attempts it has left. It is kept in the history for 7 days, or as long
    /// as its queue says.
    pub fn discard(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { error: error.into(), then: Then::Discard }
    }

    /// Failed for now: tried again after this time instead of the policy's, while the job has attempts left.
    pub fn retry_after(delay: Duration, error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { error: error.into(), then: Then::RetryAfter(delay) }
    }

    /// The job is not wanted any more, for this reason: it goes into the history as cancelled.
    pub fn cancel(reason: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { error: reason.into(), then: Then::Cancel }
    }

    /// The error, for a [`Middleware`](crate::Middleware) that reports it. That of a handler that panicked is a
    /// [`Panicked`](crate::Panicked).
    #[must_use]
    pub fn error(&self) -> &(dyn Error + Send + Sync + 'static) {
        &*self.error
    }

    /// The error with its causes, as it is kept with the job.
    #[must_use]
    pub fn message(&self) -> String {
        chain(&*self.error)
    }
}

impl<E: Into<Box<dyn Error + Send + Sync>>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { error: error.into(), then: Then::RetryByPolicy }
    }
}

/// The error of a handler that panicked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Panicked {
    pub(crate) message: String,
}

impl Panicked {
    /// What the panic said.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the handler panicked: {}", self.message)
    }
}

impl Error for Panicked {}

/// A payload that is not what its type expects. Another try would not decode it either.
#[derive(Debug)]
pub(crate) struct Undecodable(pub(crate) DecodeError);

impl fmt::Display for Undecodable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the payload does not decode: {}", self.0)
    }
}

impl Error for Undecodable {}

/// How many causes of an error are looked at. One that is its own cause, by mistake, has no end of them.
const MOST_CAUSES: usize = 100;

/// The error with its causes, as one line. A cause that its parent's message repeats already is left out.
fn chain(error: &(dyn Error + Send + Sync + 'static)) -> String {
    let mut text = error.to_string();
    for error in std::iter::successors(error.source(), |&error| error.source()).take(MOST_CAUSES) {
        let message = error.to_string();
        if !text.ends_with(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
    }
    text
}
