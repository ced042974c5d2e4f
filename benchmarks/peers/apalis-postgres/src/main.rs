//! apalis-postgres 1.0.0, in batches of 500, woken by notifications.
//!
//! `persist_results(false)` would spare it work, but then it acknowledges nothing and jobs stay queued for ever.

use std::{process::ExitCode, time::Duration};

use anyhow::{Result, anyhow};
use apalis::prelude::*;
use apalis_postgres::{Config, PostgresStorage};
use bench_harness::{About, Batch, Contestant, Params, Payload};
use sqlx::{PgPool, postgres::PgPoolOptions};

const BATCH: usize = 500;
const CONCURRENCY: usize = 500;
const CONNECTIONS: u32 = 20;
const POLL: Duration = Duration::from_millis(100);

struct Apalis {
    pool: PgPool,
    storage: PostgresStorage<Payload>,
}

async fn pool(url: &str, connections: u32) -> Result<PgPool> {
    Ok(PgPoolOptions::new().max_connections(connections).connect(url).await?)
}

fn storage(pool: &PgPool) -> PostgresStorage<Payload> {
    let config = Config::default().queue("bench").batch_size(BATCH).lock_tasks(false);
    PostgresStorage::new(pool).with_config(config)
}

async fn run(job: Payload) -> Result<(), BoxDynError> {
    bench_harness::handle(&job).await;
    Ok(())
}

impl Contestant for Apalis {
    type Taken = ();

    fn about() -> About {
        About {
            name: "apalis-postgres 1.0.0".into(),
            settings: "batches of 500 without locking, pubsub and a poll every 100 ms, handlers in tasks, concurrency 500, pool \
                of 20"
                .into(),
            bulk: "push_bulk, 1,000 a call".into(),
        }
    }

    async fn setup(url: &str, _: &Params) -> Result<()> {
        PostgresStorage::setup(&pool(url, 2).await?).await?;
        Ok(())
    }

    async fn open(url: &str, tasks: usize, _: &Params) -> Result<Self> {
        let pool = pool(url, u32::try_from(tasks)?).await?;
        Ok(Apalis { storage: storage(&pool), pool })
    }

    async fn enqueue(&self, _: usize, job: Payload) -> Result<()> {
        self.storage.clone().push(job).await.map_err(|error| anyhow!("{error:?}"))
    }

    async fn enqueue_many(&self, batch: Batch) -> Result<()> {
        self.storage.clone().push_bulk(batch.jobs).await.map_err(|error| anyhow!("{error:?}"))
    }

    async fn work(url: &str, params: &Params) -> Result<()> {
        let storage = storage(&pool(url, CONNECTIONS).await?).with_pubsub().poll_with_interval(POLL);
        let worker = WorkerBuilder::new("bench")
            .backend(storage)
            .concurrency(params.concurrency(CONCURRENCY)?)
            .parallelize(tokio::spawn)
            .build(run);
        worker.run().await.map_err(|error| anyhow!("{error:?}"))
    }

    async fn unfinished(&self) -> Result<u64> {
        let count = sqlx::query_scalar::<_, i64>("select count(*) from apalis.jobs where status <> 'Done'");
        Ok(u64::try_from(count.fetch_one(&self.pool).await?)?)
    }
}

fn main() -> ExitCode {
    bench_harness::main::<Apalis>()
}
