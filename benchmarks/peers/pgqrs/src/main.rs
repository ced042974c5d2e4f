//! pgqrs 0.15.3, its queue: four consumers that dequeue and delete a hundred at a time.

use std::{
    process,
    process::ExitCode,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use anyhow::{Context, Result};
use bench_harness::{About, Batch, Contestant, Params, Payload, handle};
use pgqrs::store::{AnyStore, Store};
use sqlx::{PgPool, postgres::PgPoolOptions};
use tokio::{task::JoinSet, time::sleep};

const CONSUMERS: usize = 4;

/// The most that it takes and gives at once by default.
const BATCH: usize = 100;
const CONNECTIONS: u32 = 16;

/// How long a consumer that has found nothing waits.
const PAUSE: Duration = Duration::from_millis(10);

struct Pgqrs {
    pool: PgPool,
    producer: pgqrs::Producer,
}

async fn store(url: &str, connections: u32) -> Result<AnyStore> {
    let mut config = pgqrs::Config::from_dsn(url).with_max_connections(connections);
    // A thousand a second, by default.
    config.validation_config.max_enqueue_per_second = None;
    Ok(pgqrs::connect_with_config(&config).await?)
}

/// Producers and consumers have names of their own.
fn name() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    format!("bench-{}-{}", process::id(), COUNT.fetch_add(1, Relaxed))
}

impl Contestant for Pgqrs {
    type Taken = ();

    fn about() -> About {
        About {
            name: "pgqrs 0.15.3".into(),
            settings: "4 consumers, dequeue_many and delete_many of 100, a pause of 10 ms when there is nothing, pool of 16, no \
                limit on enqueues"
                .into(),
            bulk: "batch_enqueue, 100 a call (the most)".into(),
        }
    }

    async fn setup(url: &str, _: &Params) -> Result<()> {
        let store = store(url, 2).await?;
        pgqrs::admin(&store).install().await?;
        store.queue("bench").await?;
        Ok(())
    }

    async fn open(url: &str, tasks: usize, _: &Params) -> Result<Self> {
        let store = store(url, u32::try_from(tasks)?).await?;
        let producer = pgqrs::producer(&name(), "bench").create(&store).await?;
        Ok(Pgqrs { pool: PgPoolOptions::new().max_connections(1).connect_lazy(url)?, producer })
    }

    async fn enqueue(&self, _: usize, job: Payload) -> Result<()> {
        self.producer.enqueue(&serde_json::to_value(&job)?).await?;
        Ok(())
    }

    async fn enqueue_many(&self, batch: Batch) -> Result<()> {
        for jobs in batch.jobs.chunks(BATCH) {
            let jobs = jobs.iter().map(serde_json::to_value).collect::<Result<Vec<_>, _>>()?;
            self.producer.batch_enqueue(&jobs).await?;
        }
        Ok(())
    }

    async fn work(url: &str, params: &Params) -> Result<()> {
        let store = store(url, CONNECTIONS).await?;
        let takes_time = params.get("handler_us", 0)? > 0;
        // As many at once as the scenario asks for: each consumer does its batch at once.
        let batch = if takes_time { params.concurrency(BATCH)?.div_ceil(CONSUMERS).min(BATCH) } else { BATCH };
        let mut consumers = JoinSet::new();
        for _ in 0..CONSUMERS {
            let consumer = pgqrs::consumer(&name(), "bench").create(&store).await?;
            consumers.spawn(async move {
                loop {
                    let messages = consumer.dequeue_many(batch).await?;
                    if messages.is_empty() {
                        sleep(PAUSE).await;
                        continue;
                    }
                    let mut ids = Vec::new();
                    let mut handlers = JoinSet::new();
                    for message in messages {
                        ids.push(message.id);
                        let job: Payload = serde_json::from_value(message.payload)?;
                        if takes_time {
                            handlers.spawn(async move { handle(&job).await });
                        } else {
                            handle(&job).await;
                        }
                    }
                    handlers.join_all().await;
                    consumer.delete_many(ids).await?;
                }
            });
        }
        consumers.join_next().await.context("there are consumers")??
    }

    async fn unfinished(&self) -> Result<u64> {
        let count = sqlx::query_scalar::<_, i64>("select count(*) from pgqrs_messages where archived_at is null");
        Ok(u64::try_from(count.fetch_one(&self.pool).await?)?)
    }
}

fn main() -> ExitCode {
    bench_harness::main::<Pgqrs>()
}
