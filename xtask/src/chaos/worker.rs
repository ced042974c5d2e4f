//! A worker process: `xtask chaos-worker`, started by `xtask chaos`, which sees to it that its life is not a quiet one.

use std::{
    fs::File,
    panic,
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context, Result};
use futures_util::StreamExt;
use pg_queue::{Event, Events, PgQueue, RunError, Worker};
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgPoolOptions;
use tokio::{runtime, sync::watch, time::sleep};
use tracing_subscriber::filter::LevelFilter;

use super::{
    jobs::{App, ON_PURPOSE, Plain, Quick, Slow, Stubborn, Troubled, Whole},
    log::{Deed, Log},
    messages,
};
use crate::lifeline;

/// How a worker process learns what to do.
pub(super) const SETTINGS: &str = "PG_QUEUE_CHAOS_WORKER";

/// What a worker process is told. The URL may hold a password: nothing prints this.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct WorkerSettings {
    pub(super) url: String,
    /// Which process this is, counted from 1.
    pub(super) process: u32,
    pub(super) heartbeat: Duration,
    /// Where to note what the handlers do.
    pub(super) log: PathBuf,
}

/// Jobs at once: most of them wait for something, and there must be room while other workers are away.
const CONCURRENCY: usize = 50;

/// Connections of the handlers. With the worker's own, six workers stay below the hundred that a server has by default.
const POOL: u32 = 6;

/// The pause between tries to start.
const START_PAUSE: Duration = Duration::from_millis(100);

/// How long handlers may go on at the end. There are none then, unless jobs were left over.
const SHUTDOWN: Duration = Duration::from_secs(1);

/// How long the end may take when the server is gone, as it is when the process that has started this one was killed.
const GRACE: Duration = Duration::from_secs(20);

pub(crate) fn run() -> Result<ExitCode> {
    let settings: WorkerSettings = lifeline::settings(SETTINGS, "cargo xtask chaos")?;
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if info.payload_as_str() != Some(ON_PURPOSE) {
            usual(info);
        }
    }));
    trace(&settings)?;
    let runtime = runtime::Builder::new_multi_thread().enable_all().build()?;
    let done = runtime.block_on(work(settings));
    runtime.shutdown_background();
    done.map(|()| ExitCode::SUCCESS)
}

/// What the library says goes into a file beside the log, for whoever wants to know why something happened.
fn trace(settings: &WorkerSettings) -> Result<()> {
    let file = File::create(settings.log.with_extension("trace"))?;
    tracing_subscriber::fmt().with_ansi(false).with_max_level(LevelFilter::INFO).with_writer(Mutex::new(file)).init();
    Ok(())
}

async fn work(settings: WorkerSettings) -> Result<()> {
    let (gone, is_gone) = watch::channel(false);
    let parent_gone = async {
        lifeline::cut().await;
        gone.send_replace(true);
        sleep(GRACE).await;
    };
    tokio::select! {
        done = serve(settings, is_gone) => done,
        () = parent_gone => Ok(()),
    }
}

async fn serve(settings: WorkerSettings, mut is_gone: watch::Receiver<bool>) -> Result<()> {
    let WorkerSettings { url, process, heartbeat, log } = settings;
    let app = Arc::new(App { process, log: Log::create(&log)?, runs: 0.into() });
    let mgr = PgQueue::new(PgPoolOptions::new().max_connections(POOL).connect_lazy(&url)?);
    // Ends with the process.
    tokio::spawn({
        let mgr = mgr.clone();
        async move { messages::receive(&mgr, heartbeat * 3).await }
    });
    loop {
        let worker = Worker::builder()
            .register::<Quick>()
            .register_transactional::<Whole>()
            .register::<Slow>()
            .register::<Stubborn>()
            .register::<Troubled>()
            .register::<Plain>()
            .concurrency(CONCURRENCY)
            .heartbeat(heartbeat)
            .shutdown_timeout(SHUTDOWN)
            .name(format!("process {process}"))
            .build(&mgr, Arc::clone(&app))?;
        let events = listen(worker.events(), &app.log);
        let (ended, ()) = tokio::join!(worker.run_until(is_gone.wait_for(|gone| *gone)), events);
        match ended {
            Ok(_) => return Ok(()),
            Err(error @ RunError::Ended(_)) => return Err(error.into()),
            Err(error) if *is_gone.borrow() => return Err(error).context("the worker did not start"),
            // It has not begun: the server may be on its way back from a crash.
            Err(_) => sleep(START_PAUSE).await,
        }
    }
}

/// Notes what the worker learns, until it ends.
async fn listen(mut events: Events, log: &Log) {
    while let Some(event) = events.next().await {
        match event {
            Event::LeaseLost(job) => log.note(Deed::LeaseLost(job.id.get())),
            Event::Rescued { jobs, .. } => log.note(Deed::Rescued(jobs.len())),
            _ => {}
        }
    }
}
