//! Raw SQL on pg-queue's own table, without its trigger: what PostgreSQL and sqlx give when nothing is promised.
//!
//! Jobs are inserted by a prepared statement into the columns that pg-queue fills, and taken by deleting them: whoever dies
//! with them in hand has lost them.
#![forbid(unsafe_code)]

use std::{process::ExitCode, time::Duration};

use anyhow::{Result, bail};
use bench_baselines::{Connections, INSERT, KIND, MAX_ATTEMPTS, PRIORITY, encoded, make_queue};
use bench_harness::{About, Batch, Contestant, Params, Payload, handle_now};
use tokio::time::sleep;

const INSERT_MANY: &str = "insert into queue_bench (kind, payload, run_at, priority, max_attempts) \
    select new.kind, new.payload::json, now(), new.priority, new.max_attempts \
    from unnest($1::text[], $2::text[], $3::smallint[], $4::smallint[]) as new (kind, payload, priority, max_attempts) \
    returning id";

const TAKE: &str = "delete from queue_bench where ctid = any (array(select ctid from queue_bench where parked is null \
    and run_at <= now() order by priority, run_at, id limit $1 for update skip locked)) returning payload::text";

/// How many jobs one statement takes.
const BATCH: u32 = 500;

/// How long a loop that has found nothing waits.
const PAUSE: Duration = Duration::from_millis(10);

struct Raw(Connections);

impl Contestant for Raw {
    type Taken = ();

    fn about() -> About {
        About {
            name: "raw SQL through sqlx".into(),
            settings:
                "prepared statements on pg-queue's table without its trigger, a connection for each task; taken by \
                deleting 500 at a time"
                    .into(),
            bulk: "insert .. select unnest, 1,000 a call".into(),
        }
    }

    async fn setup(url: &str, _: &Params) -> Result<()> {
        make_queue(url).await
    }

    async fn open(url: &str, tasks: usize, _: &Params) -> Result<Self> {
        let connections = Connections::open(url, tasks).await?;
        connections.pin_plans().await?;
        Ok(Raw(connections))
    }

    async fn enqueue(&self, task: usize, job: Payload) -> Result<()> {
        let insert = sqlx::query_scalar::<_, i64>(INSERT).bind(KIND).bind(serde_json::to_string(&job)?);
        insert.bind(PRIORITY).bind(MAX_ATTEMPTS).fetch_one(&mut *self.0.of(task).await).await?;
        Ok(())
    }

    async fn enqueue_many(&self, batch: Batch) -> Result<()> {
        if !batch.delay.is_zero() {
            bail!("it has no delays here");
        }
        let count = batch.jobs.len();
        let insert = sqlx::query_scalar::<_, i64>(INSERT_MANY).bind(vec![KIND; count]).bind(encoded(&batch.jobs)?);
        let insert = insert.bind(vec![PRIORITY; count]).bind(vec![MAX_ATTEMPTS; count]);
        insert.fetch_all(&mut *self.0.of(0).await).await?;
        Ok(())
    }

    async fn work(url: &str, params: &Params) -> Result<()> {
        let raw = Raw::open(url, 1, params).await?;
        let limit = params.get("batch", BATCH)?;
        loop {
            let taken = raw.take(limit).await?;
            if taken.is_empty() {
                sleep(PAUSE).await;
            }
            for (job, ()) in taken {
                handle_now(&job);
            }
        }
    }

    async fn take(&self, limit: u32) -> Result<Vec<(Payload, ())>> {
        let take = sqlx::query_scalar::<_, String>(TAKE).bind(i64::from(limit));
        let payloads = take.fetch_all(&mut *self.0.of(0).await).await?;
        payloads.iter().map(|payload| Ok((serde_json::from_str(payload)?, ()))).collect()
    }

    async fn finish(&self, _: Vec<()>) -> Result<()> {
        Ok(())
    }

    async fn unfinished(&self) -> Result<u64> {
        let count = sqlx::query_scalar::<_, i64>("select count(*) from queue_bench where run_at <= now()");
        Ok(u64::try_from(count.fetch_one(&mut *self.0.of(0).await).await?)?)
    }
}

fn main() -> ExitCode {
    bench_harness::main::<Raw>()
}
