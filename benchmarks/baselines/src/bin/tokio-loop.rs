//! No queue at all: the same handlers, started in a loop of tokio tasks. What a worker can at best reach when its
//! handlers take time.
#![forbid(unsafe_code)]

use std::{
    future::pending,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use anyhow::{Result, bail};
use bench_harness::{About, Batch, Contestant, Params, Payload, handle};
use tokio::sync::Semaphore;

/// How many jobs are not done yet; one process has them all.
static LEFT: AtomicU64 = AtomicU64::new(0);

struct TokioLoop;

impl Contestant for TokioLoop {
    type Taken = ();

    fn about() -> About {
        About {
            name: "a bare loop of tokio tasks".into(),
            settings: "no database: a task for each job, as many at once as the scenario says".into(),
            bulk: String::new(),
        }
    }

    async fn setup(_: &str, _: &Params) -> Result<()> {
        Ok(())
    }

    async fn open(_: &str, _: usize, params: &Params) -> Result<Self> {
        LEFT.store(params.get("slots", 0)?, Relaxed);
        Ok(TokioLoop)
    }

    async fn enqueue(&self, _: usize, _: Payload) -> Result<()> {
        bail!("it holds no jobs")
    }

    async fn enqueue_many(&self, _: Batch) -> Result<()> {
        Ok(())
    }

    async fn work(_: &str, params: &Params) -> Result<()> {
        let slots = Arc::new(Semaphore::new(params.get("concurrency", 100)?));
        for id in 0..params.get("slots", 0)? {
            let slot = Arc::clone(&slots).acquire_owned().await?;
            // Out of its encoding and back, as from a table.
            let encoded = serde_json::to_string(&Payload::new(id))?;
            tokio::spawn(async move {
                if let Ok(job) = serde_json::from_str(&encoded) {
                    handle(&job).await;
                    LEFT.fetch_sub(1, Relaxed);
                }
                drop(slot);
            });
        }
        pending().await
    }

    async fn unfinished(&self) -> Result<u64> {
        Ok(LEFT.load(Relaxed))
    }
}

fn main() -> ExitCode {
    bench_harness::main::<TokioLoop>()
}
