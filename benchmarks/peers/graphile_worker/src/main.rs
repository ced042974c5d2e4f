//! graphile_worker 0.14.1 (Rust), with its local queue and batched completions, as its documents advise for throughput.

use std::{process::ExitCode, time::Duration};

use anyhow::Result;
use bench_harness::{About, Batch, Contestant, Params, Payload};
use graphile_worker::{
    IntoTaskHandlerResult, JobSpec, LocalQueueConfig, TaskHandler, WorkerContext, WorkerOptions, WorkerUtils,
};
use serde::{Deserialize, Serialize};
use sqlx::{PgPool, postgres::PgPoolOptions};

#[derive(Clone, Serialize, Deserialize)]
struct Job(Payload);

impl TaskHandler for Job {
    const IDENTIFIER: &'static str = "bench";

    async fn run(self, _: WorkerContext) -> impl IntoTaskHandlerResult {
        bench_harness::handle(&self.0).await;
        Ok::<(), String>(())
    }
}

/// How many jobs are fetched ahead; more makes no difference.
const LOCAL_QUEUE: usize = 1000;
const CONCURRENCY: usize = 50;
const CONNECTIONS: u32 = 20;
const COMPLETION_DELAY: Duration = Duration::from_millis(1);

struct Graphile {
    pool: PgPool,
    utils: WorkerUtils,
}

async fn pool(url: &str, connections: u32) -> Result<PgPool> {
    Ok(PgPoolOptions::new().max_connections(connections).connect(url).await?)
}

impl Contestant for Graphile {
    type Taken = ();

    fn about() -> About {
        About {
            name: "graphile_worker 0.14.1".into(),
            settings:
                "local queue of 1,000 where jobs are there already (none where they come one by one: with it half of \
                them stay), concurrency 50, completions batched for 1 ms, pool of 20"
                    .into(),
            bulk: "add_jobs, 1,000 a call".into(),
        }
    }

    async fn setup(url: &str, _: &Params) -> Result<()> {
        WorkerOptions::default().pg_pool(pool(url, 2).await?).define_job::<Job>().init().await?;
        Ok(())
    }

    async fn open(url: &str, tasks: usize, _: &Params) -> Result<Self> {
        let pool = pool(url, u32::try_from(tasks)?).await?;
        let worker = WorkerOptions::default().pg_pool(pool.clone()).define_job::<Job>().init().await?;
        Ok(Graphile { pool, utils: worker.create_utils() })
    }

    async fn enqueue(&self, _: usize, job: Payload) -> Result<()> {
        self.utils.add_job(Job(job), JobSpec::default()).await?;
        Ok(())
    }

    async fn enqueue_many(&self, batch: Batch) -> Result<()> {
        let spec = JobSpec::default();
        let jobs: Vec<_> = batch.jobs.into_iter().map(|job| (Job(job), &spec)).collect();
        self.utils.add_jobs::<Job>(&jobs).await?;
        Ok(())
    }

    async fn work(url: &str, params: &Params) -> Result<()> {
        let mut options = WorkerOptions::default()
            .concurrency(params.concurrency(CONCURRENCY)?)
            .pg_pool(pool(url, CONNECTIONS).await?)
            .define_job::<Job>()
            .complete_job_batch_delay(COMPLETION_DELAY);
        if params.get("tasks", 0)? == 0 {
            options = options.local_queue(LocalQueueConfig::default().with_size(LOCAL_QUEUE));
        }
        Ok(options.init().await?.run().await?)
    }

    async fn unfinished(&self) -> Result<u64> {
        let count = sqlx::query_scalar::<_, i64>("select count(*) from graphile_worker._private_jobs");
        Ok(u64::try_from(count.fetch_one(&self.pool).await?)?)
    }
}

fn main() -> ExitCode {
    bench_harness::main::<Graphile>()
}
