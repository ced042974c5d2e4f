//! awa 0.6.9 on its queue storage, by its short path for receipts.

use std::{future::pending, process::ExitCode, time::Duration};

use anyhow::Result;
use awa::{Client, InsertOpts, JobArgs, JobResult, QueueConfig, QueueStorage, QueueStorageConfig};
use bench_harness::{About, Batch, Contestant, Params, Payload};
use serde::{Deserialize, Serialize};
use sqlx::{PgPool, postgres::PgPoolOptions};

const CONCURRENCY: usize = 200;
const CONNECTIONS: u32 = 20;

#[derive(Serialize, Deserialize, JobArgs)]
struct BenchJob {
    payload: Payload,
}

struct Awa {
    pool: PgPool,
    storage: QueueStorage,
}

async fn pool(url: &str, connections: u32) -> Result<PgPool> {
    Ok(PgPoolOptions::new().max_connections(connections).connect(url).await?)
}

fn options() -> InsertOpts {
    InsertOpts { queue: "bench".into(), ..Default::default() }
}

async fn start(url: &str, params: &Params) -> Result<Client> {
    let mut queue = QueueConfig::default();
    queue.max_workers = u32::try_from(params.concurrency(CONCURRENCY)?)?;
    queue.deadline_duration = Duration::ZERO;
    queue.poll_interval = Duration::from_millis(50);
    let client = Client::builder(pool(url, CONNECTIONS).await?)
        .queue("bench", queue)
        .register::<BenchJob, _, _>(|job, _| async move {
            bench_harness::handle(&job.payload).await;
            Ok(JobResult::Completed)
        })
        .build()?;
    client.start().await?;
    Ok(client)
}

impl Contestant for Awa {
    type Taken = ();

    fn about() -> About {
        About {
            name: "awa 0.6.9".into(),
            settings: "200 workers, no deadline (its short path), one claimer, a poll every 50 ms, pool of 20".into(),
            bulk: "QueueStorage::enqueue_params_copy, 1,000 a call".into(),
        }
    }

    async fn setup(url: &str, params: &Params) -> Result<()> {
        awa::migrations::run(&pool(url, 4).await?).await?;
        // The first worker to start finishes the tables.
        let client = start(url, params).await?;
        tokio::time::sleep(Duration::from_millis(1500)).await;
        client.shutdown(Duration::from_secs(5)).await;
        Ok(())
    }

    async fn open(url: &str, tasks: usize, _: &Params) -> Result<Self> {
        let pool = pool(url, u32::try_from(tasks)?).await?;
        Ok(Awa { pool, storage: QueueStorage::new(QueueStorageConfig::default())? })
    }

    async fn enqueue(&self, _: usize, job: Payload) -> Result<()> {
        awa::insert_with(&self.pool, &BenchJob { payload: job }, options()).await?;
        Ok(())
    }

    async fn enqueue_many(&self, batch: Batch) -> Result<()> {
        let params = batch.jobs.into_iter().map(|job| awa::insert::params_with(&BenchJob { payload: job }, options()));
        let params = params.collect::<Result<Vec<_>, _>>()?;
        self.storage.enqueue_params_copy(&self.pool, &params).await?;
        Ok(())
    }

    async fn work(url: &str, params: &Params) -> Result<()> {
        let _client = start(url, params).await?;
        pending().await
    }

    async fn unfinished(&self) -> Result<u64> {
        let counts = self.storage.queue_counts(&self.pool, "bench").await?;
        Ok(u64::try_from(counts.available + counts.running)?)
    }
}

fn main() -> ExitCode {
    bench_harness::main::<Awa>()
}
