//! underway 0.2.0, by its task, queue and worker.

use std::{process::ExitCode, sync::Arc};

use anyhow::Result;
use bench_harness::{About, Batch, Contestant, Params, Payload};
use sqlx::{PgPool, Postgres, Transaction, postgres::PgPoolOptions};
use underway::{Queue, Task, Worker};

const CONCURRENCY: usize = 50;

struct Job;

impl Task for Job {
    type Input = Payload;
    type Output = ();

    async fn execute(&self, _: Transaction<'_, Postgres>, job: Payload) -> underway::task::Result<()> {
        bench_harness::handle(&job).await;
        Ok(())
    }
}

struct Underway {
    pool: PgPool,
    queue: Queue<Job>,
}

async fn pool(url: &str, connections: usize) -> Result<PgPool> {
    Ok(PgPoolOptions::new().max_connections(u32::try_from(connections)?).connect(url).await?)
}

async fn queue(pool: &PgPool) -> Result<Queue<Job>> {
    Ok(Queue::builder().name("bench").pool(pool.clone()).build().await?)
}

impl Contestant for Underway {
    type Taken = ();

    fn about() -> About {
        About {
            name: "underway 0.2.0".into(),
            settings: "concurrency 50, pool of 54".into(),
            bulk: "enqueue_multi, 1,000 a call".into(),
        }
    }

    async fn setup(url: &str, _: &Params) -> Result<()> {
        underway::run_migrations(&pool(url, 2).await?).await?;
        Ok(())
    }

    async fn open(url: &str, tasks: usize, _: &Params) -> Result<Self> {
        let pool = pool(url, tasks).await?;
        Ok(Underway { queue: queue(&pool).await?, pool })
    }

    async fn enqueue(&self, _: usize, job: Payload) -> Result<()> {
        self.queue.enqueue(&self.pool, &Job, &job).await?;
        Ok(())
    }

    async fn enqueue_many(&self, batch: Batch) -> Result<()> {
        self.queue.enqueue_multi(&self.pool, &Job, &batch.jobs).await?;
        Ok(())
    }

    async fn work(url: &str, params: &Params) -> Result<()> {
        let concurrency = params.concurrency(CONCURRENCY)?;
        let queue = queue(&pool(url, concurrency.min(100) + 4).await?).await?;
        let mut worker = Worker::new(Arc::new(queue), Job);
        worker.set_concurrency_limit(concurrency);
        Ok(worker.run().await?)
    }

    async fn unfinished(&self) -> Result<u64> {
        let count = sqlx::query_scalar::<_, i64>("select count(*) from underway.task where state <> 'succeeded'");
        Ok(u64::try_from(count.fetch_one(&self.pool).await?)?)
    }
}

fn main() -> ExitCode {
    bench_harness::main::<Underway>()
}
