//! Running a worker: from registration to the last acknowledgement.

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
mod summary;
mod wake;

use std::{sync::Arc, time::Duration};

use pg_queue_client::PgQueue;
use pg_queue_core::{
    DatabaseError, QueueError, QueueTable, WorkerId,
    migrate::MigrateError,
    queues,
    workers::{self, Registration},
};
use tokio::{
    sync::{Notify, Semaphore, mpsc, watch},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use self::summary::Summary;
use self::{
    acknowledger::Ack,
    control::Control,
    generation::{Generations, Reason},
    heart::Heart,
    leases::Leases,
    summary::Counters,
};
use crate::{Worker, builder::Settings, registry::Registry};

/// How long a cancelled handler has to end by itself before it is dropped.
const GRACE: Duration = Duration::from_secs(5);

/// How long the last acknowledgements may take at shutdown. What is not flushed by then is rescued by others.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(10);

/// What the tasks of a running worker share.
#[derive(Debug)]
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
    /// The tokens of every job that is claimed and not yet acknowledged.
    leases: Leases,
    counters: Arc<Counters>,
    /// Rung when jobs went back into a queue by this worker's own doing: nobody notifies it of those.
    look: Arc<Notify>,
    /// Every handler that has started and not ended.
    handlers: TaskTracker,
    /// Cancelled when the worker stops claiming.
    closing: CancellationToken,
}

impl<S: Send + Sync + 'static> Worker<S> {
    /// Claims and runs jobs until `signal` resolves; then stops claiming, waits for the running handlers, cancels those
    /// that take longer than the shutdown timeout, gives their jobs back, and answers what it did.
    ///
    /// Takes, beside what the handlers use: up to four connections of its own (claims, acknowledgements, maintenance, one
    /// spare), one for its heartbeat, and the process's listener connection. Handlers that use up the application's pool
    /// do not hold it up. The heartbeat has a thread of its own: handlers that block the runtime do not stop it.
    ///
    /// When the database goes away, the worker waits for it and goes on; it does not end.
    ///
    /// # Errors
    /// At the start: the database cannot be reached, migrations or a queue are missing.
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
        let generations = Arc::new(Generations::default());
        let shared = Arc::new(Shared {
            slots: Arc::new(Semaphore::new(settings.concurrency)),
            queue,
            state,
            registry,
            settings,
            tables,
            control,
            generations,
            leases: Leases::default(),
            counters: Arc::default(),
            look: Arc::default(),
            handlers: TaskTracker::new(),
            closing: closing.clone(),
        });
        // If this future is dropped, everything that it started ends: no claims, handlers dropped, jobs given back.
        let _ends = (closing.drop_guard(), EndOfHandlers(Arc::clone(&shared.generations)));

        tracing::info!(worker = %registration.id, queues = ?registration.queues, "worker starts");
        let (heart, life) = Heart::start(&shared, registration, began);
        let (acks, received) = mpsc::unbounded_channel();
        let acknowledger = tokio::spawn(acknowledger::run(Arc::clone(&shared), received));
        let claimer = tokio::spawn(claim::run(Arc::clone(&shared), life.clone(), acks));
        let maintainer = tokio::spawn(maintain::run(Arc::clone(&shared), life.clone()));

        signal.await;
        shared.shut_down(claimer, acknowledger, life, heart).await;
        maintainer.abort();
        let summary = shared.counters.summary();
        tracing::info!(?summary, "worker has stopped");
        Ok(summary)
    }
}

impl<S> Shared<S> {
    /// In bounded phases: no more claims, wait, cancel, drop, flush, sign off.
    async fn shut_down(
        &self,
        claimer: tokio::task::JoinHandle<()>,
        acknowledger: tokio::task::JoinHandle<()>,
        life: watch::Receiver<heart::Life>,
        heart: Heart,
    ) {
        tracing::info!(running = self.handlers.len(), "worker shuts down");
        self.closing.cancel();
        // A claim in flight ends by itself; what it brings goes back.
        let claimed = timeout(FLUSH_TIMEOUT, claimer).await;
        self.handlers.close();
        if timeout(self.settings.shutdown_timeout, self.handlers.wait()).await.is_err() {
            tracing::warn!(running = self.handlers.len(), "handlers are cancelled: the shutdown timeout is over");
            self.generations.cancel(Reason::Shutdown);
            if timeout(GRACE, self.handlers.wait()).await.is_err() {
                self.generations.stop(Reason::Shutdown);
            }
        }
        let ended = timeout(GRACE, self.handlers.wait()).await;
        let flushed = timeout(FLUSH_TIMEOUT, acknowledger).await;
        let clean = matches!(claimed, Ok(Ok(()))) && ended.is_ok() && matches!(flushed, Ok(Ok(())));
        heart.stop().await;
        let id = life.borrow().id;
        let signed_off = async {
            let mut connection = self.control.acquire().await?;
            let schema = self.queue.schema();
            workers::unwait(&mut *connection, schema, id).await?;
            workers::retire(&mut *connection, schema, id, !clean).await
        };
        match timeout(FLUSH_TIMEOUT, signed_off).await {
            Ok(Ok(())) => {}
            // Others see the missing heartbeat in its place.
            Ok(Err(error)) => tracing::warn!(%error, "the worker could not sign off"),
            Err(_) => tracing::warn!("the worker could not sign off in time"),
        }
    }
}

/// Drops the handlers of a worker whose future was dropped.
struct EndOfHandlers(Arc<Generations>);

impl Drop for EndOfHandlers {
    fn drop(&mut self) {
        self.0.stop(Reason::Shutdown);
    }
}

/// Sends an acknowledgement; the receiver ends only after all senders.
fn acknowledge(acks: &mpsc::UnboundedSender<Ack>, ack: Ack) {
    if acks.send(ack).is_err() {
        tracing::error!("an acknowledgement was lost: its receiver has ended; the job will be rescued");
    }
}

/// Why a worker did not start.
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
}
