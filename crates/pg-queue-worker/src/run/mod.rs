//! Running a worker: from registration to the last acknowledgement.

mod ack;
mod acknowledger;
mod claim;
mod clock;
mod control;
mod execute;
mod generation;
mod heart;
mod leases;
mod maintain;
mod observer;
mod orphans;
mod parts;
mod summary;
mod trouble;
mod wake;

use std::{sync::Arc, time::Duration};

use pg_queue_client::PgQueue;
use pg_queue_core::{
    DatabaseError, QueueError, QueueTable, WorkerId,
    migrate::MigrateError,
    queues,
    workers::{self, Registration},
};
use tokio::sync::{Notify, Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use self::summary::Summary;
use self::{control::Control, generation::Generations, leases::Leases, parts::Parts, summary::Counters};
use crate::{Worker, builder::Settings, registry::Registry};

/// How long a cancelled handler has to end by itself before it is dropped.
const GRACE: Duration = Duration::from_secs(5);

/// What the tasks of a running worker share.
struct Shared<S> {
    queue: PgQueue,
    state: Arc<S>,
    registry: Registry<S>,
    settings: Settings,
    tables: Vec<QueueTable>,
    control: Control,
    /// Free places for handlers.
    slots: Arc<Semaphore>,
    generations: Arc<Generations>,
    /// Every job that is claimed and not yet acknowledged.
    leases: Leases,
    counters: Arc<Counters>,
    /// Rung when jobs went back into a queue by this worker's own doing: nobody notifies it of those.
    look: Arc<Notify>,
    /// Every handler that has started and not ended.
    handlers: TaskTracker,
    /// Cancelled when the worker stops claiming.
    closing: CancellationToken,
    /// Cancelled when nobody waits for the worker's end: no patience with handlers.
    hurry: CancellationToken,
}

impl<S: Send + Sync + 'static> Worker<S> {
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
        let Self { queue, state, registry, settings } = self;
        queue.check().await?;
        let control = Control::new(&queue);
        let tables: Vec<QueueTable> = registry.queues.iter().map(|name| name.table(queue.schema())).collect();
        for table in &tables {
            let mut connection = control.acquire().await?;
            queues::exists(&mut *connection, table).await?;
        }
        let registration = Registration {
            id: WorkerId::random(),
            name: settings.name.clone().unwrap_or_else(clock::host_and_process),
            queues: registry.queues.clone(),
            kinds: registry.kinds(),
            beat_interval: settings.beat_interval,
        };
        let mut connection = control.acquire().await?;
        let began = clock::now();
        workers::register(&mut *connection, queue.schema(), &registration).await?;
        drop(connection);

        let closing = CancellationToken::new();
        let hurry = CancellationToken::new();
        let shared = Arc::new(Shared {
            slots: Arc::new(Semaphore::new(settings.concurrency)),
            queue,
            state,
            registry,
            settings,
            tables,
            control,
            generations: Arc::default(),
            leases: Leases::default(),
            counters: Arc::default(),
            look: Arc::default(),
            handlers: TaskTracker::new(),
            closing: closing.clone(),
            hurry: hurry.clone(),
        });
        // If this future is dropped, everything that it started ends: no claims, handlers dropped, jobs given back.
        let _ends = hurry.drop_guard();
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
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// A part of the running worker has ended by a mistake of its own. Its handlers were dropped, and its jobs went back.
    #[error(
        "the worker's {0} has ended unexpectedly, which is a bug in pg-queue: the log says more; run the worker anew"
    )]
    Ended(&'static str),
}
