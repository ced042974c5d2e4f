//! Running jobs until nothing is due.

use std::{
    borrow::Borrow,
    collections::HashMap,
    fmt,
    future::{Future, IntoFuture},
    pin::Pin,
};

use pg_queue_core::JobId;

use super::{InlineError, Report};
use crate::{Worker, run::Inline};

/// How many runs there are at most, unless the test says otherwise: a handler that enqueues itself for ever is found out within
/// some seconds, and an honest test does not come near it.
const LIMIT: usize = 10_000;

/// Runs every due job of the worker's queues and registered types in the calling task, one after the other, in the order in
/// which a worker with one slot would run them, until nothing is due; also those that handlers enqueue meanwhile. Await it, or
/// set before that what else is to be run.
///
/// ```no_run
/// # use pg_queue_core::Job;
/// # use pg_queue_worker::{Context, Failure, Handler, Outcome, Worker, testing::drain};
/// # #[derive(serde::Serialize, serde::Deserialize, Job)]
/// # #[job(crate = "pg_queue_core")]
/// # struct SendEmail { to: String }
/// # struct App;
/// # impl Handler<App> for SendEmail {
/// #     async fn run(self, _: Context<App>) -> Result<Outcome, Failure> { Ok(Outcome::Complete) }
/// # }
/// # async fn example(mgr: pg_queue_client::PgQueue, app: App) -> Result<(), Box<dyn std::error::Error>> {
/// let worker = Worker::builder().register::<SendEmail>().build(&mgr, app)?;
/// SendEmail { to: "ada@example.com".into() }.enqueue(&mgr).await?;
/// drain(&worker).await?.assert_all_completed();
/// # Ok(())
/// # }
/// ```
///
/// A job goes the same way as in production: decoding, middleware, its time limit, a panic that is caught, retries by policy,
/// `complete_in`, outputs, [events](Worker::events). What is not there is what works beside a worker: no heartbeat thread, no
/// listener, no polling. Nothing waits until something is due; a handler that waits does wait, and within a tenth of a second
/// it hears that somebody cancels its job. It works on a runtime of one thread.
///
/// Jobs are to be committed: the worker has connections of its own and does not see what a transaction of the test holds back.
/// A worker that runs beside this one takes its share of the jobs, and the report does not know of those.
///
/// Takes the worker or a reference to it, so that it can be drained again.
pub fn drain<S: Send + Sync + 'static>(worker: impl Borrow<Worker<S>>) -> Drain<S> {
    Drain { worker: worker.borrow().again(), scheduled: false, limit: LIMIT }
}

/// Jobs that are about to be run: see [`drain`].
#[must_use = "jobs are run when this is awaited"]
pub struct Drain<S> {
    worker: Worker<S>,
    scheduled: bool,
    limit: usize,
}

// Not derived: that would ask for `S: Debug`, and show the application's state.
impl<S> fmt::Debug for Drain<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { worker, scheduled, limit } = self;
        f.debug_struct("Drain").field("worker", worker).field("scheduled", scheduled).field("limit", limit).finish()
    }
}

impl<S: Send + Sync + 'static> Drain<S> {
    /// Also jobs that are scheduled for later, or wait for a retry: whenever nothing is due, the one that is due next, before its
    /// time. A job that always fails ends with its last attempt; one that always snoozes ends at the
    /// [`limit`](Self::limit).
    ///
    /// The clock stands still meanwhile. A test that is about what happens when moves a [`Clock`](pg_queue_client::testing::Clock).
    pub fn with_scheduled(mut self) -> Self {
        self.scheduled = true;
        self
    }

    /// How many runs there are at most: one more would be an error, so that a test ends whose handlers enqueue each other for
    /// ever. Default: 10,000.
    pub fn limit(mut self, runs: usize) -> Self {
        self.limit = runs;
        self
    }

    async fn run(self) -> Result<Report, DrainError> {
        let Self { worker, scheduled, limit } = self;
        let mut inline = Inline::begin(&worker).await?;
        let mut report = Report::default();
        while !inline.is_closing() {
            let begun = match inline.claim().await? {
                None if scheduled => inline.claim_scheduled().await?,
                begun => begun,
            };
            let Some(begun) = begun else { break };
            if report.runs().len() >= limit {
                let (job, kind) = (begun.attempt().id.job_id(), begun.attempt().kind.clone());
                inline.put_back(begun).await?;
                inline.end().await;
                return Err(DrainError::Limit { limit, job, kind, ran: kinds(&report) });
            }
            report.add(inline.run(begun).await?);
        }
        inline.end().await;
        Ok(report)
    }
}

impl<S: Send + Sync + 'static> IntoFuture for Drain<S> {
    type Output = Result<Report, DrainError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

/// How often each kind was run, the most frequent first.
fn kinds(report: &Report) -> String {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for ran in report.runs() {
        *counts.entry(&ran.kind).or_default() += 1;
    }
    let mut counts: Vec<(&str, usize)> = counts.into_iter().collect();
    counts.sort_by_key(|(kind, count)| (std::cmp::Reverse(*count), *kind));
    counts.iter().map(|(kind, count)| format!("{count} {kind}")).collect::<Vec<_>>().join(", ")
}

/// Why jobs were not run to the end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DrainError {
    /// There was more to run than a test should need.
    #[error(
        "{limit} jobs were run ({ran}), and job {job} of kind {kind:?} is the next: does a handler enqueue its own kind for ever, \
         or a job snooze? If so many are meant, raise the number with `limit`"
    )]
    Limit {
        /// How many were run.
        limit: usize,
        /// Which job would have been next. It went back.
        job: JobId,
        /// Its kind.
        kind: String,
        /// How many were run of each kind.
        ran: String,
    },
    /// The worker could not do its work.
    #[error(transparent)]
    Inline(#[from] InlineError),
}
