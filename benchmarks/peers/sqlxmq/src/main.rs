//! sqlxmq 0.6.0, with room for more jobs at once than by default and without keeping jobs alive.

use std::{future::pending, process::ExitCode};

use anyhow::Result;
use bench_harness::{About, Batch, Contestant, Params, Payload};
use sqlx::{PgPool, postgres::PgPoolOptions};
use sqlxmq::{CurrentJob, JobBuilder, JobRunnerOptions};
use uuid::Uuid;

const SETUP: &str = include_str!(concat!(env!("OUT_DIR"), "/setup.sql"));

/// The crate has no call for many jobs, but its SQL has.
const INSERT_MANY: &str = "select mq_insert(array_agg((id, '0'::interval, 4, '1 second'::interval, 'bench', '', null, false, \
    'bench', payload, null)::mq_new_t)) from unnest($1::uuid[], $2::text[]) as new (id, payload)";

const CONCURRENCY: usize = 50;

struct Sqlxmq(PgPool);

async fn pool(url: &str, connections: usize) -> Result<PgPool> {
    Ok(PgPoolOptions::new().max_connections(u32::try_from(connections)?).connect(url).await?)
}

async fn run(mut job: CurrentJob) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    if let Some(payload) = job.json::<Payload>()? {
        bench_harness::handle(&payload).await;
    }
    Ok(job.complete().await?)
}

impl Contestant for Sqlxmq {
    type Taken = ();

    fn about() -> About {
        About {
            name: "sqlxmq 0.6.0".into(),
            settings: "concurrency 50 to 100, no keep-alive, pool of 52".into(),
            bulk: "its SQL function mq_insert, 1,000 a call".into(),
        }
    }

    async fn setup(url: &str, _: &Params) -> Result<()> {
        sqlx::raw_sql(SETUP).execute(&pool(url, 1).await?).await?;
        Ok(())
    }

    async fn open(url: &str, tasks: usize, _: &Params) -> Result<Self> {
        Ok(Sqlxmq(pool(url, tasks).await?))
    }

    async fn enqueue(&self, _: usize, job: Payload) -> Result<()> {
        JobBuilder::new("bench").set_channel_name("bench").set_json(&job)?.spawn(&self.0).await?;
        Ok(())
    }

    async fn enqueue_many(&self, batch: Batch) -> Result<()> {
        let ids: Vec<Uuid> = batch.jobs.iter().map(|_| Uuid::new_v4()).collect();
        let payloads = batch.jobs.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>()?;
        sqlx::query(INSERT_MANY).bind(ids).bind(payloads).execute(&self.0).await?;
        Ok(())
    }

    async fn work(url: &str, params: &Params) -> Result<()> {
        let concurrency = params.concurrency(CONCURRENCY)?;
        let pool = pool(url, concurrency.min(100) + 2).await?;
        let mut runner = JobRunnerOptions::new(&pool, |job: CurrentJob| {
            tokio::spawn(async move {
                if let Err(error) = run(job).await {
                    eprintln!("a job failed: {error}");
                }
            });
        });
        runner.set_concurrency(concurrency, concurrency * 2).set_keep_alive(false).set_channel_names(&["bench"]);
        let _running = runner.run().await?;
        pending().await
    }

    async fn unfinished(&self) -> Result<u64> {
        let count = sqlx::query_scalar::<_, i64>("select count(*) from mq_msgs where id <> uuid_nil()");
        Ok(u64::try_from(count.fetch_one(&self.0).await?)?)
    }
}

fn main() -> ExitCode {
    bench_harness::main::<Sqlxmq>()
}
