//! riverqueue 0.5.0, River for Rust, with room for many jobs at once and the shortest pause between fetches.

use std::{process::ExitCode, time::Duration};

use anyhow::Result;
use bench_harness::{About, Batch, Contestant, Params, Payload};
use riverqueue::{
    BoxError, Client, Job, JobArgs, QueueConfig, WorkContext, WorkOutcome, Workers,
    migrate::PostgresMigrator,
    sqlx::{self, PgPool, postgres::PgPoolOptions},
};
use serde::{Deserialize, Serialize};

const CONCURRENCY: usize = 1000;
const CONNECTIONS: u32 = 20;

/// The least that it takes.
const COOLDOWN: Duration = Duration::from_millis(1);

#[derive(Clone, Debug, Deserialize, JobArgs, Serialize)]
#[river(kind = "bench")]
struct BenchJob {
    payload: Payload,
}

struct River {
    pool: PgPool,
    client: Client,
}

async fn pool(url: &str, connections: u32) -> Result<PgPool> {
    Ok(PgPoolOptions::new().max_connections(connections).connect(url).await?)
}

async fn run(_: WorkContext, job: Job<BenchJob>) -> Result<WorkOutcome, BoxError> {
    bench_harness::handle(&job.args.payload).await;
    Ok(WorkOutcome::Complete)
}

impl Contestant for River {
    type Taken = ();

    fn about() -> About {
        About {
            name: "riverqueue 0.5.0 (Rust)".into(),
            settings: "1,000 workers, a fetch cooldown of 1 ms, pool of 20".into(),
            bulk: "insert_many, 1,000 a call".into(),
        }
    }

    async fn setup(url: &str, _: &Params) -> Result<()> {
        PostgresMigrator::new(pool(url, 2).await?).migrate_up().await?;
        Ok(())
    }

    async fn open(url: &str, tasks: usize, _: &Params) -> Result<Self> {
        let pool = pool(url, u32::try_from(tasks)?).await?;
        let client = Client::builder(pool.clone()).build()?;
        Ok(River { pool, client })
    }

    async fn enqueue(&self, _: usize, job: Payload) -> Result<()> {
        self.client.insert(BenchJob { payload: job }).await?;
        Ok(())
    }

    async fn enqueue_many(&self, batch: Batch) -> Result<()> {
        self.client.insert_many(batch.jobs.into_iter().map(|payload| BenchJob { payload })).await?;
        Ok(())
    }

    async fn work(url: &str, params: &Params) -> Result<()> {
        let mut workers = Workers::new();
        workers.add_fn(run)?;
        let client = Client::builder(pool(url, CONNECTIONS).await?)
            .workers(workers)
            .fetch_cooldown(COOLDOWN)
            .queue("default", QueueConfig::new(params.concurrency(CONCURRENCY)?))
            .build()?;
        let mut running = client.start_with_graceful_stop(std::future::pending::<()>())?;
        running.wait().await?;
        Ok(())
    }

    async fn unfinished(&self) -> Result<u64> {
        let count = sqlx::query_scalar::<_, i64>("select count(*) from river_job where state <> 'completed'");
        Ok(u64::try_from(count.fetch_one(&self.pool).await?)?)
    }
}

fn main() -> ExitCode {
    bench_harness::main::<River>()
}
