//! fang 0.11.0, its asynchronous queue, with fifty workers that look every 20 ms (by default an idle one sleeps for
//! seconds).

use std::{future::pending, process::ExitCode, time::Duration};

use anyhow::{Result, anyhow};
use async_trait::async_trait;
use bench_harness::{About, Contestant, Params, Payload};
use fang::{
    AsyncRunnable, AsyncWorkerPool, FangError, SleepParams,
    asynk::async_queue::{AsyncQueue, AsyncQueueable},
};
use serde::{Deserialize, Serialize};
use sqlx::{PgPool, postgres::PgPoolOptions};

const SETUP: &str = include_str!(concat!(env!("OUT_DIR"), "/setup.sql"));
const CONCURRENCY: usize = 50;
const PAUSE: Duration = Duration::from_millis(20);

#[derive(Serialize, Deserialize)]
struct Job {
    payload: Payload,
}

#[typetag::serde]
#[async_trait]
impl AsyncRunnable for Job {
    async fn run(&self, _: &dyn AsyncQueueable) -> Result<(), FangError> {
        bench_harness::handle(&self.payload).await;
        Ok(())
    }
}

struct Fang {
    pool: PgPool,
    queue: AsyncQueue,
}

async fn pool(url: &str) -> Result<PgPool> {
    Ok(PgPoolOptions::new().max_connections(1).connect(url).await?)
}

async fn queue(url: &str, connections: usize) -> Result<AsyncQueue> {
    let mut queue = AsyncQueue::builder().uri(url).max_pool_size(u32::try_from(connections)?).build();
    queue.connect().await.map_err(|error| anyhow!("{error:?}"))?;
    Ok(queue)
}

impl Contestant for Fang {
    const BULK: bool = false;

    type Taken = ();

    fn about() -> About {
        About {
            name: "fang 0.11.0".into(),
            settings: "50 workers with a connection each, a pause of 20 ms".into(),
            bulk: String::new(),
        }
    }

    async fn setup(url: &str, _: &Params) -> Result<()> {
        sqlx::raw_sql(SETUP).execute(&pool(url).await?).await?;
        Ok(())
    }

    async fn open(url: &str, tasks: usize, _: &Params) -> Result<Self> {
        Ok(Fang { pool: pool(url).await?, queue: queue(url, tasks).await? })
    }

    async fn enqueue(&self, _: usize, job: Payload) -> Result<()> {
        let job = Job { payload: job };
        self.queue.insert_task(&job as &dyn AsyncRunnable).await.map_err(|error| anyhow!("{error:?}"))?;
        Ok(())
    }

    async fn work(url: &str, params: &Params) -> Result<()> {
        let concurrency = params.concurrency(CONCURRENCY)?;
        let pause = SleepParams {
            sleep_period: PAUSE,
            max_sleep_period: PAUSE,
            min_sleep_period: PAUSE,
            sleep_step: Duration::ZERO,
        };
        let mut workers: AsyncWorkerPool<AsyncQueue> = AsyncWorkerPool::builder()
            .number_of_workers(u32::try_from(concurrency)?)
            .queue(queue(url, concurrency.min(100)).await?)
            .sleep_params(pause)
            .build();
        workers.start().await;
        pending().await
    }

    async fn unfinished(&self) -> Result<u64> {
        let count = sqlx::query_scalar::<_, i64>("select count(*) from fang_tasks where state <> 'finished'");
        Ok(u64::try_from(count.fetch_one(&self.pool).await?)?)
    }
}

fn main() -> ExitCode {
    bench_harness::main::<Fang>()
}
