//! Running a worker: from registration to the last acknowledgement.

mod ack;
mod acknowledger;
mod ahead;
mod answer;
mod claim;
mod clock;
mod control;
mod cron;
mod execute;
mod generation;
mod hand;
mod heart;
#[cfg(feature = "testing")]
mod inline;
mod intake;
mod lane;
mod leases;
mod maintain;
mod observer;
mod orphans;
mod pace;
mod parts;
mod progress;
mod replier;
mod shares;
mod signals;
mod stopping;
mod summary;
mod sweeps;
mod trouble;
mod wake;

use std::{
    convert::Infallible,
    sync::{Arc, atomic::AtomicBool},
};

use pg_queue_client::PgQueue;
use pg_queue_core::{
    DatabaseError, QueueError, WorkerId,
    migrate::MigrateError,
    queues::{self, QueueDdlError},
    workers::{self, Registration},
};
use tokio::sync::{Notify, Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

#[cfg(feature = "testing")]
pub(crate) use self::inline::Inline;
pub use self::summary::Summary;
use self::{
    ahead::Ahead, control::Control, generation::Generations, lane::Lane, leases::Leases, parts::Parts,
    summary::Counters,
};
pub(crate) use self::{generation::Membership, progress::ProgressBoard};
use crate::{Middleware, QueueOptions, Worker, WorkerHandle, builder::Settings, events::Teller, registry::Registry};

/// What the tasks of a running worker share.
struct Shared<S> {
    queue: PgQueue,
    state: Arc<S>,
    registry: Arc<Registry<S>>,
    /// The kinds of the registry.
    kinds: Vec<String>,
    middleware: Vec<Arc<dyn Middleware>>,
    teller: Teller,
    settings: Settings,
    /// The worker's queues.
    lanes: Vec<Arc<Lane>>,
    control: Control,
    /// Free places for handlers.
    slots: Arc<Semaphore>,
    /// Claimed jobs that have not begun.
    ahead: Ahead,
    generations: Arc<Generations>,
    /// Every job that is claimed and not yet acknowledged.
    leases: Leases,
    counters: Arc<Counters>,
    /// Rung when jobs went back into a queue by this worker's own doing: nobody notifies it of those.
    look: Arc<Notify>,
    /// Whether jobs come so often that nobody waits for a single one.
    busy: AtomicBool,
    /// Rung when something was enqueued in this process.
    enqueued: Arc<Notify>,
    /// Rung when the leases of running handlers are to be verified.
    verify: Notify,
    /// Rung when somebody has changed a schedule.
    schedules: Notify,
    board: Arc<ProgressBoard>,
    /// Every handler that has started and not ended.
    handlers: TaskTracker,
    /// Cancelled when the worker stops claiming.
    closing: CancellationToken,
    /// Cancelled when nobody waits for the worker's end: no patience with handlers.
    hurry: CancellationToken,
}

impl<S: Send + Sync + 'static> Worker<S> {
    /// Claims and runs jobs until the process is asked to end, by Ctrl-C or SIGTERM; then shuts down in order, as
    /// [`run_until`](Self::run_until) does. Asked a second time, it ends at once: handlers are dropped, and their jobs go back.
    ///
    /// # Errors
    /// Those of [`run_until`](Self::run_until).
    pub async fn run(self) -> Result<Summary, RunError> {
        let handle = self.handle();
        let mut signals = stopping::Signals::new().map_err(RunError::Signals)?;
        let hurry = async {
            signals.next().await;
            tracing::info!("the worker shuts down; ask once more to end it at once");
            handle.shut_down();
            signals.next().await;
            tracing::warn!("the worker is ended at once");
            handle.hurry();
            std::future::pending::<Infallible>().await
        };
        tokio::select! {
            summary = self.run_until(std::future::pending::<()>()) => summary,
            never = hurry => match never {},
        }
    }

    /// Claims and runs jobs until `signal` resolves; then stops claiming, waits for the running handlers, cancels those
    /// that take longer than the shutdown timeout, gives their jobs back, and answers what it did.
    ///
    /// Takes, beside what the handlers use: up to four connections of its own (claims, acknowledgements, maintenance, one
    /// spare), one for its heartbeat, and the process's listener connection. Handlers that use up the application's pool
    /// do not hold it up. The heartbeat has a thread of its own: handlers that block the runtime do not stop it.
    ///
    /// When the database goes away, the worker waits for it and goes on; it does not end. When the future is dropped, the
    /// worker ends as fast as it can: handlers are dropped, and their jobs go back.
    ///
    /// # Errors
    /// At the start: the database cannot be reached, migrations or a queue are missing. Later only if a part of the worker
    /// has ended by a mistake of its own ([`RunError::Ended`]).
    pub async fn run_until<F: Future>(self, signal: F) -> Result<Summary, RunError> {
        let (shared, registration) = Shared::of(self).await?;
        let began = clock::now();
        shared.register(&registration).await?;
        let shared = Arc::new(shared);
        let (closing, hurry) = (shared.closing.clone(), shared.hurry.clone());
        // If this future is dropped, everything that it started ends: no claims, handlers dropped, jobs given back.
        let _ends = hurry.drop_guard();
        signals::refresh(&shared).await;
        tracing::info!(worker = %registration.id, queues = ?registration.queues, "worker starts");
        let mut parts = tokio::spawn(Parts::start(shared, registration, began).run());
        let ended = tokio::select! {
            ended = &mut parts => ended,
            _ = signal => {
                closing.cancel();
                parts.await
            }
        };
        ended.unwrap_or(Err(RunError::Ended("supervisor")))
    }
}

impl<S: Send + Sync + 'static> Shared<S> {
    /// Looks whether everything is there that the worker needs, and puts together what its tasks share.
    async fn of(worker: Worker<S>) -> Result<(Self, Registration), RunError> {
        let Worker { queue, state, registry, queues, middleware, teller, handle, settings } = worker;
        queue.check().await?;
        let control = Control::new(&queue);
        let look = Arc::<Notify>::default();
        let lane = |options: &QueueOptions| {
            Arc::new(Lane::new(options, queue.schema(), settings.concurrency, Arc::clone(&look)))
        };
        let lanes: Vec<Arc<Lane>> = queues.iter().map(lane).collect();
        let enqueued = Arc::<Notify>::default();
        lanes.iter().for_each(|lane| queue.notify_on_enqueue(lane.queue(), &enqueued));
        for lane in &lanes {
            let looked = control.run(async |connection| queues::exists(connection, &lane.table).await).await;
            match looked {
                // Callers need not know of it before somebody answers them.
                Err(QueueError::Missing(_)) if registry.makes(lane.queue()) => {
                    control.run(async |connection| queues::create_unlogged(connection, &lane.table).await).await?;
                }
                looked => looked?,
            }
        }
        let registration = Registration {
            id: WorkerId::random(),
            name: settings.name.clone().unwrap_or_else(clock::host_and_process),
            queues: lanes.iter().map(|lane| lane.queue().clone()).collect(),
            kinds: registry.kinds(),
            beat_interval: settings.beat_interval,
        };
        let WorkerHandle { closing, hurry } = handle;
        let shared = Self {
            slots: Arc::new(Semaphore::new(settings.concurrency)),
            ahead: Ahead::new(&lanes),
            queue,
            state,
            kinds: registry.kinds(),
            registry,
            middleware,
            teller,
            settings,
            lanes,
            control,
            generations: Arc::default(),
            leases: Leases::default(),
            counters: Arc::default(),
            look,
            busy: AtomicBool::new(false),
            enqueued,
            verify: Notify::new(),
            schedules: Notify::new(),
            board: Arc::default(),
            handlers: TaskTracker::new(),
            closing,
            hurry,
        };
        Ok((shared, registration))
    }

    /// Enters the worker into the table of workers.
    async fn register(&self, registration: &Registration) -> Result<(), DatabaseError> {
        let schema = self.queue.schema();
        self.control.run(async |connection| workers::register(connection, schema, registration).await).await
    }
}

/// Why a worker did not start, or did not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// Migrations are missing, or the database is too new.
    #[error(transparent)]
    Migrate(#[from] MigrateError),
    /// A queue is missing.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// A queue for requests was missing and could not be made.
    #[error("a queue for requests could not be made: {0}")]
    MakeQueue(#[from] QueueDdlError),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The process cannot hear when it is asked to end.
    #[error("signals cannot be handled: {0}")]
    Signals(#[source] std::io::Error),
    /// A part of the running worker has ended by a mistake of its own. Its handlers were dropped, and its jobs went back.
    #[error(
        "the worker's {0} has ended unexpectedly, which is a bug in pg-queue: the log says more; run the worker anew"
    )]
    Ended(&'static str),
}
