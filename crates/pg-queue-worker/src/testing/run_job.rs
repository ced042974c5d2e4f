//! Running one job.

use std::{
    fmt,
    future::{Future, IntoFuture},
    pin::Pin,
    time::Duration,
};

use pg_queue_client::PgQueue;
use pg_queue_core::{
    JobId, PushOptions, QueueError,
    jobs::{NewJob, PushError},
};
use serde_json::Value;

use super::{InlineError, Ran};
use crate::{BuildError, Handler, Middleware, TransactionHandler, Worker, WorkerBuilder, run::Inline};

/// Enqueues this one job, runs it in the calling task, and tells what became of it. No other job is touched. Await it, or set
/// before that what the job is to be like.
///
/// ```no_run
/// # use pg_queue_core::Job;
/// # use pg_queue_worker::{Context, Failure, Handler, Outcome, testing::{Ended, run}};
/// # #[derive(serde::Serialize, serde::Deserialize, Job)]
/// # #[job(crate = "pg_queue_core")]
/// # struct SendEmail { to: String }
/// # struct App;
/// # impl Handler<App> for SendEmail {
/// #     async fn run(self, _: Context<App>) -> Result<Outcome, Failure> { Ok(Outcome::Complete) }
/// # }
/// # async fn example(mgr: pg_queue_client::PgQueue) -> Result<(), Box<dyn std::error::Error>> {
/// run(&mgr, App, SendEmail { to: "ada@example.com".into() }).await?.assert_completed();
///
/// let ran = run(&mgr, App, SendEmail { to: String::new() }).last_attempt().await?;
/// assert_eq!(ran.ended, Ended::Discarded { error: "nobody to write to".into() });
/// # Ok(())
/// # }
/// ```
///
/// It is really enqueued, into its type's queue, and goes the same way as in production (see [`drain`](super::drain)): so it has
/// an id and a row, `complete_in` works, and what becomes of it is in the database afterwards. A worker that runs beside this
/// never sees it wait.
#[expect(clippy::needless_pass_by_value, reason = "a test writes the job where it is run")]
pub fn run<J: Handler<S>, S: Send + Sync + 'static>(queue: &PgQueue, state: S, job: J) -> RunJob<S> {
    RunJob::new(queue, state, &job, Worker::builder().register::<J>())
}

/// The same for a job whose handler is a [`TransactionHandler`].
///
/// ```no_run
/// # use pg_queue_worker::{TransactionHandler, testing::run_transactional};
/// # async fn example<J: TransactionHandler<()>>(mgr: pg_queue_client::PgQueue, job: J) -> Result<(), Box<dyn std::error::Error>> {
/// run_transactional(&mgr, (), job).await?.assert_completed();
/// # Ok(())
/// # }
/// ```
#[expect(clippy::needless_pass_by_value, reason = "a test writes the job where it is run")]
pub fn run_transactional<J: TransactionHandler<S>, S: Send + Sync + 'static>(
    queue: &PgQueue,
    state: S,
    job: J,
) -> RunJob<S> {
    RunJob::new(queue, state, &job, Worker::builder().register_transactional::<J>())
}

/// A job that is about to be run: see [`run`].
#[must_use = "a job is run when this is awaited"]
pub struct RunJob<S> {
    queue: PgQueue,
    state: S,
    worker: WorkerBuilder<S>,
    job: Result<NewJob, PushError>,
    max_attempts: u16,
    attempt: Attempt,
}

/// Which attempt a test wants.
#[derive(Debug, Clone, Copy)]
enum Attempt {
    Number(u16),
    Last,
}

// Not derived: that would ask for `S: Debug`, and show the application's state.
impl<S> fmt::Debug for RunJob<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunJob").field("worker", &self.worker).field("attempt", &self.attempt).finish_non_exhaustive()
    }
}

impl<S: Send + Sync + 'static> RunJob<S> {
    fn new<J: pg_queue_core::Job>(queue: &PgQueue, state: S, job: &J, worker: WorkerBuilder<S>) -> Self {
        Self {
            queue: queue.clone(),
            state,
            worker,
            job: NewJob::typed(job),
            max_attempts: J::MAX_ATTEMPTS,
            attempt: Attempt::Number(1),
        }
    }

    /// As this attempt; the first is 1, which is the default.
    pub fn attempt(mut self, number: u16) -> Self {
        self.attempt = Attempt::Number(number);
        self
    }

    /// As its last attempt: if that fails, the job is discarded.
    pub fn last_attempt(mut self) -> Self {
        self.attempt = Attempt::Last;
        self
    }

    /// With this many attempts instead of its type's.
    pub fn max_attempts(mut self, attempts: u16) -> Self {
        self.max_attempts = attempts;
        self.with(|options| options.max_attempts(attempts))
    }

    /// With this time for the attempt instead of its type's.
    pub fn timeout(self, limit: Duration) -> Self {
        self.with(|options| options.timeout(limit))
    }

    /// With a word to find it by, beside others that are given.
    pub fn tag(self, tag: impl Into<String>) -> Self {
        self.with(|options| options.tag(tag))
    }

    /// With something to carry beside its payload.
    pub fn metadata(self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.with(|options| options.metadata(key, value))
    }

    /// Surrounded by this, as a worker's jobs are. The first one that is given is the outermost.
    pub fn middleware(mut self, middleware: impl Middleware) -> Self {
        self.worker = self.worker.middleware(middleware);
        self
    }

    fn with(mut self, set: impl FnOnce(PushOptions) -> PushOptions) -> Self {
        if let Ok(job) = &mut self.job {
            job.options = set(std::mem::take(&mut job.options));
        }
        self
    }

    async fn run(self) -> Result<Ran, RunJobError> {
        let Self { queue, state, worker, job, max_attempts, attempt } = self;
        let job = job.map_err(TakeError::Push)?;
        let attempt = match attempt {
            Attempt::Last => max_attempts,
            Attempt::Number(number) if (1..=max_attempts).contains(&number) => number,
            Attempt::Number(number) => return Err(RunJobError::Attempt { number, max_attempts }),
        };
        let worker = worker.build(&queue, state)?;
        let mut inline = Inline::begin(&worker).await?;
        let begun = match inline.enqueue(job, Some(attempt)).await {
            Ok(begun) => begun,
            Err(error) => {
                inline.end().await;
                return Err(error.into());
            }
        };
        let ran = inline.run(begun).await?;
        inline.end().await;
        Ok(ran)
    }
}

impl<S: Send + Sync + 'static> IntoFuture for RunJob<S> {
    type Output = Result<Ran, RunJobError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

/// Why a job was not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunJobError {
    /// No job has such an attempt.
    #[error("attempt {number} is out of range: the job has 1 to {max_attempts}")]
    Attempt {
        /// Which was wanted.
        number: u16,
        /// How many there are.
        max_attempts: u16,
    },
    /// Its type is not one that a worker can run.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// It was not enqueued, or not taken.
    #[error(transparent)]
    Take(#[from] TakeError),
    /// The worker could not do its work.
    #[error(transparent)]
    Inline(#[from] InlineError),
}

/// Why a job was not enqueued, or not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TakeError {
    /// It was not enqueued.
    #[error(transparent)]
    Push(#[from] PushError),
    /// It is the same as a job that is there, which is not touched.
    #[error("job {job} is there already and has the same unique key: end that one first, or run another one")]
    NotNew {
        /// Which job is there.
        job: JobId,
    },
    /// Something has taken it away at once, such as a trigger of the application's.
    #[error("job {job} was gone when it was to be taken: does a trigger delete it?")]
    Gone {
        /// Which job.
        job: JobId,
    },
    /// The queue is missing or the database failed.
    #[error(transparent)]
    Queue(#[from] QueueError),
}
