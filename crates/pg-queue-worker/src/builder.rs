//! Putting a worker together.

use std::{fmt, sync::Arc, time::Duration};

use pg_queue_client::{InvalidCron, PgQueue};
use pg_queue_core::InvalidQueueName;

use crate::{
    Events, Handler, Middleware, QueueOptions, Responder, TransactionHandler, WorkerHandle,
    events::Teller,
    registry::{Entry, Registry},
};

/// A worker: claims jobs of the registered types and runs their handlers.
///
/// ```no_run
/// # use pg_queue_core::Job;
/// # use pg_queue_worker::{Context, Failure, Handler, Outcome, Worker};
/// # #[derive(serde::Serialize, serde::Deserialize, Job)]
/// # #[job(crate = "pg_queue_core")]
/// # struct SendEmail;
/// # struct App;
/// # impl Handler<App> for SendEmail {
/// #     async fn run(self, _: Context<App>) -> Result<Outcome, Failure> { Ok(Outcome::Complete) }
/// # }
/// # async fn example(mgr: pg_queue_client::PgQueue, app: App) -> Result<(), Box<dyn std::error::Error>> {
/// Worker::builder().register::<SendEmail>().concurrency(20).build(&mgr, app)?.run().await?;
/// # Ok(())
/// # }
/// ```
pub struct Worker<S> {
    pub(crate) queue: PgQueue,
    pub(crate) state: Arc<S>,
    pub(crate) registry: Arc<Registry<S>>,
    pub(crate) queues: Vec<QueueOptions>,
    pub(crate) middleware: Vec<Arc<dyn Middleware>>,
    pub(crate) teller: Teller,
    pub(crate) handle: WorkerHandle,
    pub(crate) settings: Settings,
}

// Not derived: that would ask for `S: Debug`, and show the application's state.
impl<S> fmt::Debug for Worker<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { queue, registry, settings, .. } = self;
        f.debug_struct("Worker").field("queue", queue).field("registry", registry).field("settings", settings).finish()
    }
}

impl<S: Send + Sync + 'static> Worker<S> {
    /// Starts to put a worker together. `S` is found by the compiler from what is registered and built.
    pub fn builder() -> WorkerBuilder<S> {
        WorkerBuilder { entries: Vec::new(), queues: Vec::new(), middleware: Vec::new(), settings: Settings::default() }
    }

    /// What the worker does from now on, as it happens: a stream that ends with the worker. Listening to it costs the worker
    /// next to nothing, and not listening costs nothing.
    #[must_use]
    pub fn events(&self) -> Events {
        self.teller.listen()
    }

    /// The same once more, with all that it shares.
    #[cfg(feature = "testing")]
    pub(crate) fn again(&self) -> Self {
        Self {
            queue: self.queue.clone(),
            state: Arc::clone(&self.state),
            registry: Arc::clone(&self.registry),
            queues: self.queues.clone(),
            middleware: self.middleware.clone(),
            teller: self.teller.clone(),
            handle: self.handle.clone(),
            settings: self.settings.clone(),
        }
    }

    /// A handle that shuts the worker down from elsewhere, in order or in a hurry.
    #[must_use]
    pub fn handle(&self) -> WorkerHandle {
        self.handle.clone()
    }
}

/// How a worker behaves.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) name: Option<String>,
    pub(crate) concurrency: usize,
    pub(crate) beat_interval: Duration,
    pub(crate) poll_interval: Duration,
    pub(crate) shutdown_timeout: Duration,
    pub(crate) cancel_grace: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            name: None,
            concurrency: 10,
            beat_interval: Duration::from_secs(5),
            poll_interval: Duration::from_secs(1),
            shutdown_timeout: Duration::from_secs(30),
            cancel_grace: Duration::from_secs(5),
        }
    }
}

/// The parts of a [`Worker`].
#[must_use = "a worker is built by `build`"]
pub struct WorkerBuilder<S> {
    entries: Vec<Entry<S>>,
    queues: Vec<QueueOptions>,
    middleware: Vec<Arc<dyn Middleware>>,
    settings: Settings,
}

impl<S> fmt::Debug for WorkerBuilder<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { entries, queues, settings, .. } = self;
        let mut shown = f.debug_struct("WorkerBuilder");
        shown.field("entries", entries).field("queues", queues).field("settings", settings).finish_non_exhaustive()
    }
}

impl<S: Send + Sync + 'static> WorkerBuilder<S> {
    /// Runs the jobs of the type `J`, from its queue, by its policy. Makes them as well, by the schedules of its kind: the one that
    /// the type has ([`Job::CRON`](pg_queue_core::Job::CRON)) is put when the worker starts, under the type's kind; of workers that
    /// differ in it, the last one to start counts.
    pub fn register<J: Handler<S>>(mut self) -> Self {
        self.entries.push(Entry::of::<J>());
        self
    }

    /// Runs the jobs of the type `J`, each attempt in a transaction that completes the job as well.
    pub fn register_transactional<J: TransactionHandler<S>>(mut self) -> Self {
        self.entries.push(Entry::transactional::<J>());
        self
    }

    /// Answers the requests of the type `R`, from its queue. If nothing but requests goes through that queue and it is missing
    /// when the worker starts, it is made, without a log.
    pub fn respond<R: Responder<S>>(mut self) -> Self {
        self.entries.push(Entry::responder::<R>());
        self
    }

    /// Claims from this queue as well, beside those of the registered types (for jobs that are enqueued elsewhere with
    /// `.queue(..)`), or says how to treat one of those: see [`QueueOptions`].
    pub fn queue(mut self, queue: impl Into<QueueOptions>) -> Self {
        self.queues.push(queue.into());
        self
    }

    /// Surrounds every attempt at a job. The first one that is given is the outermost.
    pub fn middleware(mut self, middleware: impl Middleware) -> Self {
        self.middleware.push(Arc::new(middleware));
        self
    }

    /// How many jobs run at once. Default: 10, like the connections of sqlx's pool.
    pub fn concurrency(mut self, jobs: usize) -> Self {
        self.settings.concurrency = jobs;
        self
    }

    /// The time between two heartbeats. Default: 5 s; half a second to 5 min.
    ///
    /// It sets the pace of everything that has to do with death: a worker that cannot reach the database cancels its
    /// handlers after two intervals and has stopped them before three; whoever has seen no beat of it for three
    /// intervals declares it dead, and its jobs run elsewhere within about five. So `kill -9` costs 15 to 25 s by
    /// default, 3 s at the least, and a database that is away for more than 10 s costs every running attempt. A beat waits
    /// for the server's disk: with a short interval, that has to be a quick one.
    pub fn heartbeat(mut self, interval: Duration) -> Self {
        self.settings.beat_interval = interval;
        self
    }

    /// How often an idle worker looks for jobs although nobody has woken it: the most that a lost notification costs.
    /// Default: 1 s; 10 ms to 1 min.
    pub fn poll_interval(mut self, interval: Duration) -> Self {
        self.settings.poll_interval = interval;
        self
    }

    /// How long a worker that shuts down waits for its running handlers. Then it cancels them, and after the
    /// [`cancel_grace`](Self::cancel_grace) it drops them and gives their jobs back, which costs no attempt. Default: 30 s.
    pub fn shutdown_timeout(mut self, timeout: Duration) -> Self {
        self.settings.shutdown_timeout = timeout;
        self
    }

    /// How long a handler has to end by itself after it was cancelled (its time is up, somebody cancels the job, the worker
    /// shuts down), before it is dropped where it awaits. Default: 5 s; at most an hour.
    pub fn cancel_grace(mut self, grace: Duration) -> Self {
        self.settings.cancel_grace = grace;
        self
    }

    /// A name for people, in the table of workers. Default: host and process id.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.settings.name = Some(name.into());
        self
    }

    /// Builds the worker on a handle, with the state of its handlers. Sends nothing to the server.
    ///
    /// # Errors
    /// Nothing or one kind twice is registered, a type's schedule has no times, or a setting is out of its range.
    pub fn build(self, queue: &PgQueue, state: S) -> Result<Worker<S>, BuildError> {
        let registry = Registry::new(self.entries)?;
        let mut queues: Vec<QueueOptions> = registry.queues.iter().map(QueueOptions::from).collect();
        for options in self.queues {
            let most = options.concurrency.unwrap_or(1);
            if most == 0 || most > MAX_CONCURRENCY {
                return Err(BuildError::Concurrency(most));
            }
            if options.weight == 0 || options.weight > MAX_WEIGHT {
                return Err(BuildError::Weight(options.weight));
            }
            match queues.iter_mut().find(|known| known.name == options.name) {
                Some(known) => *known = options,
                None => queues.push(options),
            }
        }
        let settings = self.settings;
        if settings.concurrency == 0 || settings.concurrency > MAX_CONCURRENCY {
            return Err(BuildError::Concurrency(settings.concurrency));
        }
        in_range("heartbeat", settings.beat_interval, Duration::from_millis(500), Duration::from_secs(300))?;
        in_range("poll_interval", settings.poll_interval, Duration::from_millis(10), Duration::from_secs(60))?;
        in_range("cancel_grace", settings.cancel_grace, Duration::ZERO, Duration::from_secs(3600))?;
        Ok(Worker {
            queue: queue.clone(),
            state: Arc::new(state),
            registry: Arc::new(registry),
            queues,
            middleware: self.middleware,
            teller: Teller::default(),
            handle: WorkerHandle::default(),
            settings,
        })
    }
}

/// What a semaphore counts to on every platform, and far beyond what one process can run.
const MAX_CONCURRENCY: usize = 1_000_000;

/// Beyond it a share is nothing.
const MAX_WEIGHT: u32 = 1000;

fn in_range(setting: &'static str, value: Duration, least: Duration, most: Duration) -> Result<(), BuildError> {
    if (least..=most).contains(&value) { Ok(()) } else { Err(BuildError::OutOfRange { setting, value, least, most }) }
}

/// Why a worker was not built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// Nothing is registered.
    #[error("the worker has no handler: call `register::<YourJob>()` or `respond::<YourRequest>()` before `build`")]
    NoHandler,
    /// Two registered types have one kind.
    #[error("the kind {0:?} is registered twice: two types have it as their kind or alias")]
    DuplicateKind(&'static str),
    /// A type's cron expression cannot be read or never fires, or its zone is unknown.
    #[error("the kind {kind:?} has no times: {source}")]
    Cron {
        /// Which.
        kind: &'static str,
        /// Why.
        #[source]
        source: InvalidCron,
    },
    /// A type's cron expression has no job that could be made by it.
    #[error("the kind {kind:?} cannot be scheduled: {reason}")]
    Schedule {
        /// Which.
        kind: &'static str,
        /// Why.
        reason: String,
    },
    /// A type's queue is not a queue name. The derive checks this; a hand-written `Job` may get here.
    #[error(transparent)]
    InvalidQueue(#[from] InvalidQueueName),
    /// No jobs, or too many, at once.
    #[error("concurrency {0} is out of range: 1 to 1000000")]
    Concurrency(usize),
    /// A queue without a share of the slots, or with all of them.
    #[error("weight {0} is out of range: 1 to 1000")]
    Weight(u32),
    /// A setting is out of its range.
    #[error("{setting} {value:?} is out of range: {least:?} to {most:?}")]
    OutOfRange {
        /// Which.
        setting: &'static str,
        /// What it was set to.
        value: Duration,
        /// The least that it may be.
        least: Duration,
        /// The most that it may be.
        most: Duration,
    },
}
