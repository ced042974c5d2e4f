//! pgmq, installed as SQL by its crate 0.34.0-alpha.7, in one loop that reads, does and deletes 500 messages.

use std::{process::ExitCode, time::Duration};

use anyhow::Result;
use bench_harness::{About, Batch, Contestant, Params, Payload, handle};
use pgmq::PGMQueueExt;
use sqlx::{PgPool, postgres::PgPoolOptions};
use tokio::{task::JoinSet, time::sleep};

const BATCH: usize = 500;
const LEASE_S: i32 = 300;

/// How long the loop waits when it has found nothing.
const PAUSE: Duration = Duration::from_millis(10);

struct Pgmq(PgPool);

async fn pool(url: &str, connections: usize) -> Result<PgPool> {
    Ok(PgPoolOptions::new().max_connections(u32::try_from(connections)?).connect(url).await?)
}

impl Contestant for Pgmq {
    type Taken = i64;

    fn about() -> About {
        About {
            name: "pgmq, as installed by its crate 0.34.0-alpha.7".into(),
            settings:
                "one loop: read 500 (or as many as run at once, where handlers take time), do them, delete them; polls \
                every 10 ms when there is nothing"
                    .into(),
            bulk: "send_batch, 1,000 a call".into(),
        }
    }

    async fn setup(url: &str, _: &Params) -> Result<()> {
        // By a pool of ours: its own way to connect takes no sockets.
        let queue = PGMQueueExt::new_with_pool(pool(url, 2).await?).await;
        queue.install_sql_from_embedded().await?;
        queue.create("bench").await?;
        Ok(())
    }

    async fn open(url: &str, tasks: usize, _: &Params) -> Result<Self> {
        Ok(Pgmq(pool(url, tasks).await?))
    }

    async fn enqueue(&self, _: usize, job: Payload) -> Result<()> {
        let send = sqlx::query("select pgmq.send('bench', $1::jsonb)").bind(serde_json::to_string(&job)?);
        send.execute(&self.0).await?;
        Ok(())
    }

    async fn enqueue_many(&self, batch: Batch) -> Result<()> {
        let bodies = batch.jobs.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>()?;
        sqlx::query("select pgmq.send_batch('bench', $1::text[]::jsonb[])").bind(bodies).execute(&self.0).await?;
        Ok(())
    }

    async fn work(url: &str, params: &Params) -> Result<()> {
        let queue = Pgmq::open(url, 1, params).await?;
        let takes_time = params.get("handler_us", 0)? > 0;
        let limit = u32::try_from(params.concurrency(BATCH)?)?;
        loop {
            let taken = queue.take(limit).await?;
            if taken.is_empty() {
                sleep(PAUSE).await;
                continue;
            }
            let mut ids = Vec::with_capacity(taken.len());
            let mut handlers = JoinSet::new();
            for (job, id) in taken {
                ids.push(id);
                if takes_time {
                    handlers.spawn(async move { handle(&job).await });
                } else {
                    handle(&job).await;
                }
            }
            handlers.join_all().await;
            queue.finish(ids).await?;
        }
    }

    async fn take(&self, limit: u32) -> Result<Vec<(Payload, i64)>> {
        let read = "select msg_id, message::text from pgmq.read('bench', $1, $2)";
        let read = sqlx::query_as::<_, (i64, String)>(read).bind(LEASE_S).bind(i32::try_from(limit)?);
        let messages = read.fetch_all(&self.0).await?;
        messages.iter().map(|(id, body)| Ok((serde_json::from_str(body)?, *id))).collect()
    }

    async fn finish(&self, taken: Vec<i64>) -> Result<()> {
        sqlx::query("select pgmq.delete('bench', $1)").bind(taken).fetch_all(&self.0).await?;
        Ok(())
    }

    async fn unfinished(&self) -> Result<u64> {
        let count = sqlx::query_scalar::<_, i64>("select count(*) from pgmq.q_bench");
        Ok(u64::try_from(count.fetch_one(&self.0).await?)?)
    }
}

fn main() -> ExitCode {
    bench_harness::main::<Pgmq>()
}
