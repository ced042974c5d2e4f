//! What surrounds every attempt: traces, metrics, reports of errors.

use std::{future::Future, pin::Pin, sync::Arc};

use async_trait::async_trait;

use crate::{Failure, JobInfo, Outcome};

/// Surrounds every attempt at a job, whatever its type.
///
/// It sees the handler's end as the handler meant it: a panic arrives as a [`Failure`] whose error is a
/// [`Panicked`](crate::Panicked), and a payload that does not decode as one that discards the job. What it answers counts. It
/// is dropped together with its handler when that is dropped, because its time or its lease was up; who wants to hear of that
/// listens to [`Worker::events`](crate::Worker::events).
///
/// ```
/// use async_trait::async_trait;
/// use pg_queue_worker::{Failure, JobInfo, Middleware, Next, Outcome};
///
/// struct Report;
///
/// #[async_trait]
/// impl Middleware for Report {
///     async fn around(&self, job: &JobInfo, next: Next<'_>) -> Result<Outcome, Failure> {
///         let began = std::time::Instant::now();
///         let ended = next.run().await;
///         if let Err(failure) = &ended {
///             eprintln!("{} {} failed after {:?}: {}", job.kind(), job.id(), began.elapsed(), failure.message());
///         }
///         ended
///     }
/// }
/// ```
#[async_trait]
pub trait Middleware: Send + Sync + 'static {
    /// Runs `next`, which is the handler or another middleware around it, and answers how the attempt ends.
    async fn around(&self, job: &JobInfo, next: Next<'_>) -> Result<Outcome, Failure>;
}

/// A handler, with its decoding.
pub(crate) type Handling<'h> = Pin<Box<dyn Future<Output = Result<Outcome, Failure>> + Send + 'h>>;

/// The rest of the way to the handler.
pub struct Next<'n> {
    job: &'n JobInfo,
    rest: &'n [Arc<dyn Middleware>],
    handler: Handling<'n>,
}

impl std::fmt::Debug for Next<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Next").field("job", self.job).finish_non_exhaustive()
    }
}

impl<'n> Next<'n> {
    pub(crate) fn new(job: &'n JobInfo, rest: &'n [Arc<dyn Middleware>], handler: Handling<'n>) -> Self {
        Self { job, rest, handler }
    }

    /// Goes on to the handler.
    pub async fn run(self) -> Result<Outcome, Failure> {
        match self.rest.split_first() {
            None => self.handler.await,
            Some((first, rest)) => first.around(self.job, Next { rest, ..self }).await,
        }
    }
}
