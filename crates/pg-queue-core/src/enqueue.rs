//! Enqueuing typed jobs with one call, wherever they go.

use std::{
    future::{Future, IntoFuture},
    pin::Pin,
    time::{Duration, SystemTime},
};

use serde_json::Value;
use sqlx::PgConnection;

use crate::{
    Job, Priority, QueueName, QueueTable, Schema, TraceContext,
    jobs::{self, NewJob, PushError, PushOptions, PushOutcome, Unique},
    queues,
};

/// A future that enqueues.
pub type EnqueueFuture<'a> = Pin<Box<dyn Future<Output = Result<PushOutcome, PushError>> + Send + 'a>>;

/// A future that enqueues many.
pub type EnqueueManyFuture<'a> = Pin<Box<dyn Future<Output = Result<Vec<PushOutcome>, PushError>> + Send + 'a>>;

/// Where a job can be enqueued: a `&PgQueue` (its pool, in one statement with what others enqueue at the same time), a `&mut PgConnection` (in its transaction, in the schema
/// `public`), or `queue.on(&mut transaction)` (in the transaction, in the schema of `queue`).
///
/// Sealed by its hidden methods: implemented by pg-queue only.
pub trait Enqueuer: Send {
    #[doc(hidden)]
    type Future: Future<Output = Result<PushOutcome, PushError>> + Send;

    #[doc(hidden)]
    type ManyFuture: Future<Output = Result<Vec<PushOutcome>, PushError>> + Send;

    #[doc(hidden)]
    fn push_job(self, queue: QueueName, job: NewJob) -> Self::Future;

    #[doc(hidden)]
    fn push_jobs(self, queue: QueueName, jobs: Vec<NewJob>) -> Self::ManyFuture;

    #[doc(hidden)]
    fn refuse(error: PushError) -> Self::Future;

    #[doc(hidden)]
    fn refuse_many(error: PushError) -> Self::ManyFuture;
}

impl<'a> Enqueuer for &'a mut PgConnection {
    type Future = EnqueueFuture<'a>;
    type ManyFuture = EnqueueManyFuture<'a>;

    fn push_job(self, queue: QueueName, job: NewJob) -> Self::Future {
        Box::pin(async move { push_checked(self, &queue.table(&Schema::default()), &job).await })
    }

    fn push_jobs(self, queue: QueueName, jobs: Vec<NewJob>) -> Self::ManyFuture {
        Box::pin(async move { push_many_checked(self, &queue.table(&Schema::default()), &jobs).await })
    }

    fn refuse(error: PushError) -> Self::Future {
        Box::pin(async { Err(error) })
    }

    fn refuse_many(error: PushError) -> Self::ManyFuture {
        Box::pin(async { Err(error) })
    }
}

/// Enqueues on a connection that may be inside of a transaction: looks whether the queue is there first, because the
/// error of a missing table would abort the caller's transaction.
///
/// # Errors
/// Those of [`jobs::push`].
pub async fn push_checked(
    connection: &mut PgConnection,
    table: &QueueTable,
    job: &NewJob,
) -> Result<PushOutcome, PushError> {
    queues::exists(&mut *connection, table).await?;
    jobs::push(connection, table, job).await
}

/// The same for many jobs.
///
/// # Errors
/// Those of [`jobs::push_many`].
pub async fn push_many_checked(
    connection: &mut PgConnection,
    table: &QueueTable,
    jobs: &[NewJob],
) -> Result<Vec<PushOutcome>, PushError> {
    queues::exists(&mut *connection, table).await?;
    jobs::push_many(connection, table, jobs).await
}

/// A job that is about to be enqueued. Await it; before that, its setters change what the job's type says.
///
/// ```no_run
/// # use std::time::Duration;
/// # use pg_queue_core::{Job, jobs::PushError};
/// # async fn example<J: Job>(job: J, connection: &mut sqlx::PgConnection) -> Result<(), PushError> {
/// let outcome = job.enqueue(connection).delay(Duration::from_secs(60)).unique_key("report-7").await?;
/// println!("job {}", outcome.id());
/// # Ok(())
/// # }
/// ```
#[must_use = "a job is enqueued when this is awaited"]
#[derive(Debug)]
pub struct Enqueue<E> {
    to: E,
    queue: Result<QueueName, PushError>,
    job: Result<NewJob, PushError>,
}

/// Jobs that are about to be enqueued: all or none, in one statement for every 10,000. Await it; before that, its setters
/// change what the jobs' type says, for all of them.
///
/// ```no_run
/// # use pg_queue_core::{Job, jobs::PushError};
/// # async fn example<J: Job>(jobs: Vec<J>, connection: &mut sqlx::PgConnection) -> Result<(), PushError> {
/// let outcomes = J::enqueue_many(&jobs, connection).tag("import-17").await?;
/// assert_eq!(outcomes.len(), jobs.len());
/// # Ok(())
/// # }
/// ```
#[must_use = "jobs are enqueued when this is awaited"]
#[derive(Debug)]
pub struct EnqueueMany<E> {
    to: E,
    queue: Result<QueueName, PushError>,
    jobs: Result<Vec<NewJob>, PushError>,
}

/// The setters of both: what they change is written once, in [`PushOptions`].
macro_rules! setters {
    ($type:ident) => {
        impl<E> $type<E> {
            /// Into this queue instead of the type's own.
            pub fn queue(mut self, queue: &QueueName) -> Self {
                self.queue = Ok(queue.clone());
                self
            }

            /// Not before this moment, on the database's clock.
            pub fn run_at(self, moment: SystemTime) -> Self {
                self.with(|options| options.run_at(moment))
            }

            /// Not before this much later than the database's now.
            pub fn delay(self, delay: Duration) -> Self {
                self.with(|options| options.delay(delay))
            }

            /// With this priority instead of the type's own.
            pub fn priority(self, priority: Priority) -> Self {
                self.with(|options| options.priority(priority))
            }

            /// With this many attempts instead of the type's own: 1 to 32767.
            pub fn max_attempts(self, attempts: u16) -> Self {
                self.with(|options| options.max_attempts(attempts))
            }

            /// With this time for each attempt instead of the type's own.
            pub fn timeout(self, limit: Duration) -> Self {
                self.with(|options| options.timeout(limit))
            }

            /// Without a limit on an attempt's time.
            pub fn no_timeout(self) -> Self {
                self.with(|options| options.no_timeout())
            }

            /// With a word to find it by, beside others that are given: at most 32, of 1 to 100 bytes.
            pub fn tag(self, tag: impl Into<String>) -> Self {
                let tag = tag.into();
                self.with(|options| options.tag(tag.clone()))
            }

            /// With something to carry beside its payload: `ctx.metadata()` has it. At most 64 KiB of JSON in all.
            pub fn metadata(self, key: impl Into<String>, value: impl Into<Value>) -> Self {
                let (key, value) = (key.into(), value.into());
                self.with(|options| options.metadata(key.clone(), value.clone()))
            }

            /// With where the enqueuer is in a distributed trace: `ctx.trace_context()` has it.
            pub fn trace_context(self, context: TraceContext) -> Self {
                self.with(|options| options.trace_context(context.clone()))
            }

            /// At most one unfinished job of the queue has this key: a second one is answered with
            /// [`PushOutcome::Duplicate`] and not made.
            pub fn unique_key(self, key: impl Into<String>) -> Self {
                self.unique(Unique::key(key))
            }

            /// The same as another job by this instead of by what the type says, and with what becomes of the second.
            pub fn unique(self, unique: Unique) -> Self {
                self.with(|options| options.unique(unique.clone()))
            }
        }
    };
}

setters!(Enqueue);
setters!(EnqueueMany);

impl<E> Enqueue<E> {
    pub(crate) fn new<J: Job>(job: &J, to: E) -> Self {
        let queue = QueueName::new(J::QUEUE).map_err(PushError::from);
        Self { to, queue, job: NewJob::typed(job) }
    }

    fn with(mut self, set: impl Fn(PushOptions) -> PushOptions) -> Self {
        if let Ok(job) = &mut self.job {
            job.options = set(std::mem::take(&mut job.options));
        }
        self
    }
}

impl<E> EnqueueMany<E> {
    pub(crate) fn new<'j, J: Job>(jobs: impl IntoIterator<Item = &'j J>, to: E) -> Self {
        let queue = QueueName::new(J::QUEUE).map_err(PushError::from);
        let typed = |(position, job)| {
            NewJob::typed(job).map_err(|error| PushError::InBatch { position, error: Box::new(error) })
        };
        Self { to, queue, jobs: jobs.into_iter().enumerate().map(typed).collect() }
    }

    fn with(mut self, set: impl Fn(PushOptions) -> PushOptions) -> Self {
        for job in self.jobs.iter_mut().flatten() {
            job.options = set(std::mem::take(&mut job.options));
        }
        self
    }
}

impl<E: Enqueuer> IntoFuture for Enqueue<E> {
    type Output = Result<PushOutcome, PushError>;
    type IntoFuture = E::Future;

    fn into_future(self) -> Self::IntoFuture {
        match (self.queue, self.job) {
            (Ok(queue), Ok(job)) => self.to.push_job(queue, job),
            (Err(error), _) | (_, Err(error)) => E::refuse(error),
        }
    }
}

impl<E: Enqueuer> IntoFuture for EnqueueMany<E> {
    type Output = Result<Vec<PushOutcome>, PushError>;
    type IntoFuture = E::ManyFuture;

    fn into_future(self) -> Self::IntoFuture {
        match (self.queue, self.jobs) {
            (Ok(queue), Ok(jobs)) => self.to.push_jobs(queue, jobs),
            (Err(error), _) | (_, Err(error)) => E::refuse_many(error),
        }
    }
}
