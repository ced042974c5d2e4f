//! The demo's jobs and their handlers.

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
};

use pg_queue::{Context, Failure, Handler, Job, Outcome};
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;

use super::{index, tables, tree::File};

/// Indexes one file.
#[derive(Debug, Serialize, Deserialize, Job)]
#[job(queue = "files", max_attempts = 5, timeout = "10m", backoff = "exponential(100ms, max = 5s)")]
pub(super) struct IndexFile {
    /// Which: the place in the list of files.
    pub(super) number: i64,
    pub(super) file: File,
}

/// Does nothing but note how long it waited.
#[derive(Debug, Serialize, Deserialize, Job)]
#[job(queue = "probes", timeout = "1m")]
pub(super) struct Probe;

/// What the handlers of a worker process share.
#[derive(Debug)]
pub(super) struct Indexer {
    pub(super) worker: String,
    /// How many files are done.
    pub(super) done: AtomicU64,
    /// How many more jobs are to be held, unfinished, until the process is killed.
    pub(super) to_hold: AtomicUsize,
}

/// What a worker process writes to its standard output for each job that it holds.
pub(super) const HOLDING: &str = "holding";

impl Handler<Arc<Indexer>> for IndexFile {
    async fn run(self, ctx: Context<Arc<Indexer>>) -> Result<Outcome, Failure> {
        if ctx.state().to_hold.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok() {
            println!("{HOLDING}");
            ctx.cancelled().await;
            return Err("the worker ended while it held the file".into());
        }
        let path = self.file.path.to_path();
        let found = spawn_blocking(move || index::index(&path)).await?;
        let mut tx = ctx.pool().begin().await?;
        let worker = &ctx.state().worker;
        tables::write_effect(&mut tx, self.number, &self.file, ctx.job_id().get(), worker, &found).await?;
        let done = ctx.complete_in(&mut tx).await?;
        tx.commit().await?;
        ctx.state().done.fetch_add(1, Relaxed);
        Ok(done)
    }
}

impl Handler<Arc<Indexer>> for Probe {
    async fn run(self, ctx: Context<Arc<Indexer>>) -> Result<Outcome, Failure> {
        tables::write_pickup(ctx.pool(), ctx.job_id().get()).await?;
        Ok(Outcome::Complete)
    }
}
