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
mod orphans;
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
use tokio::{
    sync::{Notify, Semaphore, mpsc, watch},
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use self::summary::Summary;
use self::{
    acknowledger::Ack,
    control::Control,
    generation::{Generations, Reason},
    heart::{Heart, Life},
    leases::Leases,
    summary::Counters,
};
use crate::{Worker, builder::Settings, registry::Registry};

/// How long a cancelled handler has to end by itself before it is dropped.
const GRACE: Duration = Duration::from_secs(5);

/// How long the last acknowledgements may take at shutdown. What is not flushed by then is rescued by others.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(10);

/// How long closing the worker's connections may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// How often to look whether the parts of the worker are there.
const LOOK_AFTER_PARTS: Duration = Duration::from_secs(1);

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

/// The tasks of a running worker.
struct Parts<S> {
    shared: Arc<Shared<S>>,
    life: watch::Receiver<Life>,
    heart: Heart,
    claimer: JoinHandle<bool>,
    acknowledger: JoinHandle<()>,
    maintainer: JoinHandle<()>,
}

impl<S: Send + Sync + 'static> Parts<S> {
    fn start(shared: Arc<Shared<S>>, registration: Registration, began: clock::Moment) -> Self {
        let (heart, life) = Heart::start(&shared, registration, began);
        let (acks, received) = mpsc::unbounded_channel();
        let acknowledger = tokio::spawn(acknowledger::run(Arc::clone(&shared), received));
        let claimer = tokio::spawn(claim::run(Arc::clone(&shared), life.clone(), acks));
        let maintainer = tokio::spawn(maintain::run(Arc::clone(&shared), life.clone()));
        Self { shared, life, heart, claimer, acknowledger, maintainer }
    }

    /// Waits until the worker shall end, or one of its parts has ended by a mistake of ours: a worker that claims and does
    /// not acknowledge, or runs jobs without a heartbeat, must not go on.
    async fn run(mut self) -> Result<Summary, RunError> {
        let shared = Arc::clone(&self.shared);
        let broken = tokio::select! {
            () = shared.closing.cancelled() => None,
            () = shared.hurry.cancelled() => None,
            () = self.heart.ended() => Some("heartbeat"),
            // Not awaited: a handle must not be polled once more after its end, and shutting down awaits it.
            broken = broken(&self.claimer, &self.acknowledger, &self.maintainer) => Some(broken),
        };
        if let Some(part) = broken {
            tracing::error!(part, "a part of the worker has ended unexpectedly: the worker ends");
            shared.hurry.cancel();
        }
        let clean = self.shut_down(broken).await;
        let summary = shared.counters.summary();
        tracing::info!(?summary, clean, "worker has stopped");
        match broken {
            Some(part) => Err(RunError::Ended(part)),
            None => Ok(summary),
        }
    }

    /// In bounded phases: no more claims, wait, cancel, drop, flush, sign off. In a hurry the first phases are left out.
    async fn shut_down(self, broken: Option<&'static str>) -> bool {
        let Self { shared, life, heart, mut claimer, mut acknowledger, maintainer } = self;
        let Shared { handlers, generations, hurry, .. } = &*shared;
        tracing::info!(running = handlers.len(), "worker shuts down");
        shared.closing.cancel();
        if hurry.is_cancelled() {
            generations.stop(Reason::Shutdown);
        }
        // A claim in flight ends by itself; what it brings goes back.
        let claimed = timeout(FLUSH_TIMEOUT, &mut claimer).await;
        handlers.close();
        let ends = async |patience| timeout(patience, hurry.run_until_cancelled(handlers.wait())).await.is_ok_and(|ended| ended.is_some());
        if !ends(shared.settings.shutdown_timeout).await {
            if !hurry.is_cancelled() {
                tracing::warn!(running = handlers.len(), "handlers are cancelled: the shutdown timeout is over");
                generations.cancel(Reason::Shutdown);
            }
            if !ends(GRACE).await {
                generations.stop(Reason::Shutdown);
            }
        }
        let ended = timeout(GRACE, handlers.wait()).await.is_ok();
        let flushed = timeout(FLUSH_TIMEOUT, &mut acknowledger).await;
        claimer.abort();
        acknowledger.abort();
        maintainer.abort();
        // The claimer also says whether it knows of everything that it has claimed.
        let clean = ended && matches!(claimed, Ok(Ok(true))) && matches!(flushed, Ok(Ok(())));
        let id = life.borrow().id;
        if broken != Some("heartbeat") {
            heart.stop().await;
        }
        if ended {
            shared.sign_off(id, clean).await;
        } else {
            // Others wait until the heartbeat is missing for long enough, and so give it some time.
            tracing::error!(running = handlers.len(), "handlers block their threads and do not end");
        }
        // Its connections end with the process or, when an answer is awaited on one, with that.
        drop(timeout(CLOSE_TIMEOUT, shared.control.close()).await);
        clean
    }
}

/// Resolves when one of the tasks has ended. Looks now and then: it never happens, and a second more does no harm.
async fn broken(claimer: &JoinHandle<bool>, acknowledger: &JoinHandle<()>, maintainer: &JoinHandle<()>) -> &'static str {
    loop {
        sleep(LOOK_AFTER_PARTS).await;
        match (claimer.is_finished(), acknowledger.is_finished(), maintainer.is_finished()) {
            (true, _, _) => return "claimer",
            (_, true, _) => return "acknowledger",
            (_, _, true) => return "maintainer",
            _ => {}
        }
    }
}

impl<S> Shared<S> {
    /// Takes the worker out of the table of workers; or marks it dead, so that others take what it may still hold.
    async fn sign_off(&self, id: WorkerId, clean: bool) {
        let schema = self.queue.schema();
        let signed_off = async {
            let mut connection = self.control.acquire().await?;
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

/// Sends an acknowledgement; the receiver ends only after all senders.
fn acknowledge(acks: &mpsc::UnboundedSender<Ack>, ack: Ack) {
    if acks.send(ack).is_err() {
        tracing::error!("an acknowledgement was lost: its receiver has ended; the job will be rescued");
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
    #[error("the worker's {0} has ended unexpectedly, which is a bug in pg-queue: the log says more; run the worker anew")]
    Ended(&'static str),
}
