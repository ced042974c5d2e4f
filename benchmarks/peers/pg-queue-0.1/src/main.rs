//! pg-queue 0.1.0, this project before it was rewritten: fifty tasks that pop, work and complete, woken by its listener.

use std::{process::ExitCode, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use bench_harness::{About, Contestant, Params, Payload};
use pg_queue::{PgQueueManager, QueueName};
use sqlx::{PgPool, postgres::PgPoolOptions};
use tokio::{sync::Notify, task::JoinSet, time::timeout};

const SETUP: &str = include_str!(concat!(env!("OUT_DIR"), "/setup.sql"));
const CONCURRENCY: usize = 50;

/// How long a task that has found nothing waits for a notification.
const IDLE: Duration = Duration::from_secs(1);

struct Old {
    mgr: PgQueueManager,
    queue: QueueName,
    pool: PgPool,
}

async fn pool(url: &str, connections: usize) -> Result<PgPool> {
    Ok(PgPoolOptions::new().max_connections(u32::try_from(connections)?).connect(url).await?)
}

impl Contestant for Old {
    const BULK: bool = false;

    type Taken = ();

    fn about() -> About {
        About {
            name: "pg-queue 0.1.0".into(),
            settings: "50 tasks with a connection each, woken by its listener, polling once a second".into(),
            bulk: String::new(),
        }
    }

    async fn setup(url: &str, _: &Params) -> Result<()> {
        let pool = pool(url, 1).await?;
        sqlx::raw_sql(SETUP).execute(&pool).await?;
        sqlx::raw_sql("select pg_queue_create_queue('bench')").execute(&pool).await?;
        Ok(())
    }

    async fn open(url: &str, tasks: usize, _: &Params) -> Result<Self> {
        let pool = pool(url, tasks).await?;
        Ok(Old { mgr: PgQueueManager::new(pool.clone()), queue: QueueName::new("bench")?, pool })
    }

    async fn enqueue(&self, _: usize, job: Payload) -> Result<()> {
        self.mgr.queue.push(&self.queue, &job).await?;
        Ok(())
    }

    async fn work(url: &str, params: &Params) -> Result<()> {
        let concurrency = params.concurrency(CONCURRENCY)?;
        let mgr = Arc::new(PgQueueManager::new(pool(url, concurrency + 1).await?));
        let queue = QueueName::new("bench")?;
        let wake = Arc::new(Notify::new());
        let mut tasks = JoinSet::new();
        for _ in 0..concurrency {
            let (mgr, queue, wake) = (Arc::clone(&mgr), queue.clone(), Arc::clone(&wake));
            tasks.spawn(async move {
                loop {
                    if let Some(job) = mgr.queue.pop::<Payload>(&queue).await? {
                        bench_harness::handle(&job.payload).await;
                        mgr.queue.complete(&queue, job.id).await?;
                    } else {
                        let _ = timeout(IDLE, wake.notified()).await;
                    }
                }
            });
        }
        let mut listener = mgr.create_listener().await?;
        listener.listen("queue_bench").await?;
        loop {
            tokio::select! {
                ended = tasks.join_next() => return ended.context("there are tasks")??,
                heard = listener.recv_timeout(Duration::from_secs(5)) => {
                    if heard?.is_some() {
                        wake.notify_one();
                    }
                }
            }
        }
    }

    async fn unfinished(&self) -> Result<u64> {
        let count = sqlx::query_scalar::<_, i64>("select count(*) from queue_bench where status <> 'completed'");
        Ok(u64::try_from(count.fetch_one(&self.pool).await?)?)
    }
}

fn main() -> ExitCode {
    bench_harness::main::<Old>()
}
