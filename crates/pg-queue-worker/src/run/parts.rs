//! The tasks of a running worker, from the first to the last.

use std::{sync::Arc, time::Duration};

use pg_queue_core::{
    WorkerId,
    workers::{self, Registration},
};
use sqlx::PgConnection;
use tokio::{
    sync::{mpsc, watch},
    task::{AbortHandle, JoinHandle},
    time::{sleep, timeout},
};

use super::{
    RunError, Shared, Summary,
    ack::Acks,
    acknowledger, claim, clock, cron,
    generation::Reason,
    heart::{Heart, Life},
    maintain, progress, replier, signals,
};

/// How long handlers may take to be dropped. One that blocks its thread takes longer, and others wait until its heartbeat is
/// missing.
const DROP_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the last acknowledgements may take at shutdown. What is not flushed by then is rescued by others.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(10);

/// How long closing the worker's connections may take.
pub(super) const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// How often to look whether the parts of the worker are there.
const LOOK_AFTER_PARTS: Duration = Duration::from_secs(1);

/// The tasks of a running worker.
pub(super) struct Parts<S> {
    shared: Arc<Shared<S>>,
    life: watch::Receiver<Life>,
    heart: Heart,
    claimer: JoinHandle<bool>,
    acknowledger: JoinHandle<()>,
    replier: JoinHandle<()>,
    maintainer: JoinHandle<()>,
    scheduler: JoinHandle<()>,
    /// What the worker can do without for a while: telling progress, and hearing signals.
    helpers: [JoinHandle<()>; 2],
}

impl<S: Send + Sync + 'static> Parts<S> {
    pub(super) fn start(shared: Arc<Shared<S>>, registration: Registration, began: clock::Moment) -> Self {
        let (heart, life) = Heart::start(&shared, registration, began);
        let (acks, received) = mpsc::unbounded_channel();
        let acknowledger = tokio::spawn(acknowledger::run(Arc::clone(&shared), received));
        let (replies, answered) = mpsc::unbounded_channel();
        let replier = tokio::spawn(replier::run(Arc::clone(&shared), answered, acks.clone()));
        let claimer = tokio::spawn(claim::run(Arc::clone(&shared), life.clone(), Acks::new(acks, replies)));
        let maintainer = tokio::spawn(maintain::run(Arc::clone(&shared), life.clone()));
        let scheduler = tokio::spawn(cron::run(Arc::clone(&shared)));
        let helpers =
            [tokio::spawn(progress::run(Arc::clone(&shared))), tokio::spawn(signals::run(Arc::clone(&shared)))];
        Self { shared, life, heart, claimer, acknowledger, replier, maintainer, scheduler, helpers }
    }

    /// Waits until the worker shall end, or one of its parts has ended by a mistake of ours: a worker that claims and does
    /// not acknowledge, or runs jobs without a heartbeat, must not go on.
    pub(super) async fn run(mut self) -> Result<Summary, RunError> {
        let shared = Arc::clone(&self.shared);
        let tasks = [
            ("claimer", self.claimer.abort_handle()),
            ("acknowledger", self.acknowledger.abort_handle()),
            ("replier", self.replier.abort_handle()),
            ("maintainer", self.maintainer.abort_handle()),
            ("scheduler", self.scheduler.abort_handle()),
        ];
        let broken = tokio::select! {
            // In this order: a part that ends because it was told to is not broken.
            biased;
            () = shared.closing.cancelled() => None,
            () = shared.hurry.cancelled() => None,
            () = self.heart.ended() => Some("heartbeat"),
            // Not awaited: a handle must not be polled once more after its end, and shutting down awaits it.
            broken = broken(&tasks) => Some(broken),
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
        let Self { shared, life, heart, mut claimer, mut acknowledger, replier, maintainer, scheduler, helpers } = self;
        let Shared { handlers, generations, hurry, .. } = &*shared;
        tracing::info!(running = handlers.len(), "worker shuts down");
        shared.closing.cancel();
        if hurry.is_cancelled() {
            generations.stop(Reason::Shutdown);
        }
        // A claim in flight ends by itself; what it brings goes back.
        let claimed = timeout(FLUSH_TIMEOUT, &mut claimer).await;
        handlers.close();
        let ends = async |patience| {
            timeout(patience, hurry.run_until_cancelled(handlers.wait())).await.is_ok_and(|ended| ended.is_some())
        };
        if !ends(shared.settings.shutdown_timeout).await {
            if !hurry.is_cancelled() {
                tracing::warn!(running = handlers.len(), "handlers are cancelled: the shutdown timeout is over");
                generations.cancel(Reason::Shutdown);
            }
            if !ends(shared.settings.cancel_grace).await {
                generations.stop(Reason::Shutdown);
            }
        }
        let ended = timeout(DROP_TIMEOUT, handlers.wait()).await.is_ok();
        let flushed = timeout(FLUSH_TIMEOUT, &mut acknowledger).await;
        claimer.abort();
        acknowledger.abort();
        replier.abort();
        maintainer.abort();
        scheduler.abort();
        helpers.iter().for_each(JoinHandle::abort);
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

/// Resolves when one of these tasks has ended. Looks now and then: it never happens, and a second more does no harm.
async fn broken(tasks: &[(&'static str, AbortHandle)]) -> &'static str {
    loop {
        sleep(LOOK_AFTER_PARTS).await;
        if let Some((part, _)) = tasks.iter().find(|(_, task)| task.is_finished()) {
            return part;
        }
    }
}

impl<S> Shared<S> {
    /// Takes the worker out of the table of workers; or marks it dead, so that others take what it may still hold.
    pub(super) async fn sign_off(&self, id: WorkerId, clean: bool) {
        let schema = self.queue.schema();
        let sign_off = async |connection: &mut PgConnection| {
            workers::unwait(&mut *connection, schema, id).await?;
            workers::retire(&mut *connection, schema, id, !clean).await
        };
        match timeout(FLUSH_TIMEOUT, self.control.run(sign_off)).await {
            Ok(Ok(())) => {}
            // Others see the missing heartbeat in its place.
            Ok(Err(error)) => tracing::warn!(%error, "the worker could not sign off"),
            Err(_) => tracing::warn!("the worker could not sign off in time"),
        }
    }
}
