//! A worker process of the demo: `xtask demo-worker`, started by `xtask demo`.

use std::{
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::{Context, Result};
use pg_queue::{PgQueue, Worker};
use serde::{Deserialize, Serialize};
use tokio::{
    runtime,
    sync::oneshot,
    time::{MissedTickBehavior, interval, sleep},
};

use super::{
    jobs::{IndexFile, Indexer, Probe},
    progress, questions,
};
use crate::lifeline;

/// How a worker process learns what to do.
pub(super) const SETTINGS: &str = "PG_QUEUE_DEMO_WORKER";

/// What a worker process is told. The URL may hold a password: nothing prints this.
#[derive(Serialize, Deserialize)]
pub(super) struct WorkerSettings {
    pub(super) url: String,
    pub(super) name: String,
    /// How many of its first jobs it holds, unfinished, until it is killed.
    pub(super) hold: usize,
    /// Whether it answers questions.
    pub(super) answers: bool,
}

/// Jobs at once: they read files and wait for commits, so more than there are processors.
const CONCURRENCY: usize = 8;

/// The least: then a dead worker's jobs run elsewhere after 4 to 5 s, where the default takes 20 to 25.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// The jobs that are held end only when they are cancelled, so that is not put off for long.
const SHUTDOWN: Duration = Duration::from_secs(1);

/// How often a process publishes its progress at most: a bar moves smoothly, and publishing costs nothing.
const PUBLISH: Duration = Duration::from_millis(100);

/// How long the end may take when the server is gone, as it is when the demo was killed.
const GRACE: Duration = Duration::from_secs(3);

pub(crate) fn run() -> Result<ExitCode> {
    let settings = lifeline::settings(SETTINGS, "cargo xtask demo")?;
    let runtime = runtime::Builder::new_multi_thread().enable_all().build()?;
    let done = runtime.block_on(work(settings));
    runtime.shutdown_background();
    done.map(|()| ExitCode::SUCCESS)
}

async fn work(settings: WorkerSettings) -> Result<()> {
    let WorkerSettings { url, name, hold, answers } = settings;
    let mgr = PgQueue::connect(&url).await?;
    let indexer = Arc::new(Indexer { worker: name.clone(), done: 0.into(), to_hold: hold.into() });
    let worker = Worker::builder()
        .register::<IndexFile>()
        .register::<Probe>()
        .concurrency(CONCURRENCY)
        .heartbeat(HEARTBEAT)
        .shutdown_timeout(SHUTDOWN)
        .name(name)
        .build(&mgr, Arc::clone(&indexer))?;
    let ending = AtomicBool::new(false);
    let (parent_gone, hurry) = oneshot::channel();
    let signal = async {
        lifeline::cut().await;
        ending.store(true, Relaxed);
        // Nobody waits for it any more once the worker has ended.
        let _ = parent_gone.send(());
    };
    let running = async { worker.run_until(signal).await.context("the worker did not start") };
    let answering = async { if answers { questions::answer_until(&mgr, &ending).await } else { Ok(()) } };
    let both = async { tokio::try_join!(running, answering) };
    tokio::select! {
        ended = both => ended.map(drop),
        never = publish(&mgr, &indexer) => match never {},
        () = async { let _ = hurry.await; sleep(GRACE).await } => Ok(()),
    }
}

/// Publishes the progress of this process for as long as it is polled.
async fn publish(mgr: &PgQueue, indexer: &Indexer) -> std::convert::Infallible {
    let mut beat = interval(PUBLISH);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut published = 0;
    loop {
        beat.tick().await;
        let done = indexer.done.load(Relaxed);
        if done == published {
            continue;
        }
        let message = progress::Message { worker: indexer.worker.clone(), done };
        // What is not heard is counted in the table instead.
        if mgr.notify.notify(progress::CHANNEL, &message.to_string()).await.is_ok() {
            published = done;
        }
    }
}
