//! Enqueuing a typed job with one call, wherever it goes.

use std::{
    future::{Future, IntoFuture},
    pin::Pin,
    time::{Duration, SystemTime},
};

use sqlx::PgConnection;

use crate::{
    Job, Priority, QueueName, QueueTable, Schema,
    jobs::{self, NewJob, PushError, PushOutcome},
    queues,
};

/// A future that enqueues.
pub type EnqueueFuture<'a> = Pin<Box<dyn Future<Output = Result<PushOutcome, PushError>> + Send + 'a>>;

/// Where a job can be enqueued: a `&PgQueue` (its pool), a `&mut PgConnection` (in its transaction, in the schema
/// `public`), or `queue.on(&mut transaction)` (in the transaction, in the schema of `queue`).
///
/// Sealed by its hidden method: implemented by pg-queue only.
pub trait Enqueuer: Send {
    #[doc(hidden)]
    type Future: Future<Output = Result<PushOutcome, PushError>> + Send;

    #[doc(hidden)]
    fn push_job(self, queue: QueueName, job: NewJob) -> Self::Future;

    #[doc(hidden)]
    fn refuse(error: PushError) -> Self::Future;
}

impl<'a> Enqueuer for &'a mut PgConnection {
    type Future = EnqueueFuture<'a>;

    fn push_job(self, queue: QueueName, job: NewJob) -> EnqueueFuture<'a> {
        Box::pin(async move { push_checked(self, &queue.table(&Schema::default()), &job).await })
    }

    fn refuse(error: PushError) -> Self::Future {
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

impl<E> Enqueue<E> {
    pub(crate) fn new<J: Job>(job: &J, to: E) -> Self {
        let queue = QueueName::new(J::QUEUE).map_err(PushError::from);
        Self { to, queue, job: NewJob::typed(job) }
    }

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

    /// At most one unfinished job of the queue has this key: a second one is answered with
    /// [`PushOutcome::Duplicate`] and not made.
    pub fn unique_key(self, key: impl Into<String>) -> Self {
        self.with(|options| options.unique_key(key))
    }

    fn with(mut self, set: impl FnOnce(jobs::PushOptions) -> jobs::PushOptions) -> Self {
        self.job = self.job.map(|mut job| {
            job.options = set(job.options);
            job
        });
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
