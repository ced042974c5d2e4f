//! pg-queue of this source tree, as its users call it: typed jobs through the worker, or popped by hand; and typed messages to
//! topics.
#![forbid(unsafe_code)]

mod log;
mod topics;

use std::process::ExitCode;

use anyhow::Result;
use bench_harness::{About, Batch, Contestant, Params, Payload};
use pg_queue::{Context, Failure, Handler, Job, LeasedJobId, Outcome, PgQueue, QueueName, QueueOptions, Worker};
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgPoolOptions;

#[derive(Serialize, Deserialize, Job)]
#[job(queue = "bench")]
#[serde(transparent)]
struct BenchJob {
    payload: Payload,
}

impl Handler<()> for BenchJob {
    async fn run(self, _: Context<()>) -> Result<Outcome, Failure> {
        bench_harness::handle(&self.payload).await;
        Ok(Outcome::Complete)
    }
}

/// What a pool has by default.
const CONNECTIONS: u32 = 10;

/// How many jobs at once: those that do nothing are soon done, and their worker is to have some before it.
const CONCURRENCY: usize = 1000;

/// All jobs have the same priority here.
const UNFINISHED: &str =
    "select (select count(*) from pg_queue_jobs where priority = 5 and parked is null and run_at <= now())
    + (select count(*) from pg_queue_jobs where parked is not null)";

struct Ours {
    mgr: PgQueue,
    /// Whether messages of a log take the place of jobs.
    log: bool,
    queue: QueueName,
}

/// The queue of this number; the first one is that of the job's type.
fn queue_name(number: usize) -> Result<QueueName> {
    Ok(if number == 0 { QueueName::new("bench")? } else { QueueName::new(format!("bench_{number}"))? })
}

fn is_log(params: &Params) -> Result<bool> {
    Ok(params.get("log", 0)? == 1)
}

async fn connect(url: &str, connections: u32) -> Result<PgQueue> {
    Ok(PgQueue::new(PgPoolOptions::new().max_connections(connections).connect(url).await?))
}

impl Contestant for Ours {
    const QUEUES: bool = true;
    const DELAYS: bool = true;

    type Taken = LeasedJobId;

    fn about() -> About {
        About {
            name: "pg-queue of this tree".into(),
            settings: "Worker: concurrency 1,000, all else as it comes; a pool of 10 connections, as is sqlx's default"
                .into(),
            bulk: "BenchJob::enqueue_many, 1,000 a call".into(),
        }
    }

    async fn setup(url: &str, params: &Params) -> Result<()> {
        let mgr = connect(url, 1).await?;
        mgr.migrate().await?;
        if is_log(params)? {
            log::setup(&mgr).await?;
        }
        for number in 0..params.get("queues", 1)? {
            mgr.queue.create(&queue_name(number)?).await?;
        }
        if params.get("trigger", 1)? == 0 {
            sqlx::query("alter table queue_bench disable trigger pg_queue_wake").execute(mgr.pool()).await?;
        }
        Ok(())
    }

    async fn open(url: &str, _: usize, params: &Params) -> Result<Self> {
        Ok(Ours { mgr: connect(url, CONNECTIONS).await?, log: is_log(params)?, queue: queue_name(0)? })
    }

    async fn enqueue(&self, _: usize, job: Payload) -> Result<()> {
        if self.log {
            self.mgr.logs.publish(&log::name()?, &job).await?;
            return Ok(());
        }
        BenchJob { payload: job }.enqueue(&self.mgr).await?;
        Ok(())
    }

    async fn enqueue_many(&self, batch: Batch) -> Result<()> {
        if self.log {
            self.mgr.logs.publish_many(&log::name()?, &batch.jobs).await?;
            return Ok(());
        }
        let jobs: Vec<BenchJob> = batch.jobs.into_iter().map(|payload| BenchJob { payload }).collect();
        let queue = queue_name(batch.queue)?;
        BenchJob::enqueue_many(&jobs, &self.mgr).queue(&queue).delay(batch.delay).await?;
        Ok(())
    }

    async fn work(url: &str, params: &Params) -> Result<()> {
        let mgr = connect(url, CONNECTIONS).await?;
        if is_log(params)? {
            return log::work(&mgr).await;
        }
        let mut worker = Worker::builder().register::<BenchJob>().concurrency(params.concurrency(CONCURRENCY)?);
        for number in 0..params.get("queues", 1)? {
            worker = worker.queue(QueueOptions::new(&queue_name(number)?));
        }
        worker.build(&mgr, ())?.run().await?;
        Ok(())
    }

    async fn take(&self, limit: u32) -> Result<Vec<(Payload, LeasedJobId)>> {
        let mut taken = Vec::new();
        for popped in self.mgr.queue.pop_many(&self.queue, limit).await? {
            let popped = popped?;
            taken.push((popped.payload, popped.id));
        }
        Ok(taken)
    }

    async fn finish(&self, taken: Vec<LeasedJobId>) -> Result<()> {
        let lost = self.mgr.queue.complete_many(&self.queue, &taken).await?;
        anyhow::ensure!(lost.is_empty(), "{} leases were lost", lost.len());
        Ok(())
    }

    /// Through the parent, which has the jobs of all queues, those that run included; by indexes, so that jobs that are
    /// due later cost nothing.
    async fn unfinished(&self) -> Result<u64> {
        if self.log {
            return log::unfinished(&self.mgr).await;
        }
        let count: i64 = sqlx::query_scalar(UNFINISHED).fetch_one(self.mgr.pool()).await?;
        Ok(u64::try_from(count)?)
    }
}

fn main() -> ExitCode {
    bench_harness::main_of_both::<Ours, topics::Messages>()
}
