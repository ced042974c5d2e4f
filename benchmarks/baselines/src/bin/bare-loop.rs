//! A queue of one table and three statements: read a batch and hide it for a while, do it, delete it.
//!
//! The shape of pgmq and of many home-made queues. It has no types, no fencing (whoever is late deletes what somebody else
//! is at), no retries by policy, and polls. Its plans are pinned: without that it does 500 messages a second from a table that
//! was empty when it was last analysed, and nothing could be learnt from being faster.
#![forbid(unsafe_code)]

use std::{process::ExitCode, time::Duration};

use anyhow::Result;
use bench_baselines::{Connections, encoded};
use bench_harness::{About, Batch, Contestant, Params, Payload, handle, handle_now};
use tokio::{task::JoinSet, time::sleep};

const SETUP: &str = "
    create table messages (
        id bigint generated always as identity primary key,
        reads integer not null default 0,
        sent_at timestamptz not null default now(),
        visible_at timestamptz not null default now(),
        body jsonb not null
    );
    create index messages_visible on messages (visible_at, id);
";

const SEND: &str = "insert into messages (body) values ($1::jsonb) returning id";

const SEND_MANY: &str = "insert into messages (body, visible_at) select body::jsonb, now() + $2 * interval '1 second' \
    from unnest($1::text[]) as new (body) returning id";

const READ: &str = "
    update messages set visible_at = clock_timestamp() + interval '300 seconds', reads = reads + 1
    where id = any (array(
        select id from messages where visible_at <= clock_timestamp() order by id limit $1 for update skip locked
    ))
    returning id, body::text
";

const DELETE: &str = "delete from messages where id = any ($1) returning id";

/// How many messages one statement reads.
const BATCH: usize = 500;

/// How long the loop waits when it has found nothing.
const PAUSE: Duration = Duration::from_millis(10);

struct BareLoop(Connections);

impl Contestant for BareLoop {
    const DELAYS: bool = true;

    type Taken = i64;

    fn about() -> About {
        About {
            name: "a bare visibility-timeout loop".into(),
            settings:
                "plain SQL in one loop: read 500 (or as many as run at once, where handlers take time), do them, \
                delete them; polls every 10 ms when there is nothing"
                    .into(),
            bulk: "insert .. select unnest, 1,000 a call".into(),
        }
    }

    async fn setup(url: &str, _: &Params) -> Result<()> {
        let connections = Connections::open(url, 1).await?;
        sqlx::raw_sql(SETUP).execute(&mut *connections.of(0).await).await?;
        Ok(())
    }

    async fn open(url: &str, tasks: usize, _: &Params) -> Result<Self> {
        let connections = Connections::open(url, tasks).await?;
        connections.pin_plans().await?;
        Ok(BareLoop(connections))
    }

    async fn enqueue(&self, task: usize, job: Payload) -> Result<()> {
        let send = sqlx::query_scalar::<_, i64>(SEND).bind(serde_json::to_string(&job)?);
        send.fetch_one(&mut *self.0.of(task).await).await?;
        Ok(())
    }

    async fn enqueue_many(&self, batch: Batch) -> Result<()> {
        let send = sqlx::query_scalar::<_, i64>(SEND_MANY).bind(encoded(&batch.jobs)?).bind(batch.delay.as_secs_f64());
        send.fetch_all(&mut *self.0.of(0).await).await?;
        Ok(())
    }

    async fn work(url: &str, params: &Params) -> Result<()> {
        let queue = BareLoop::open(url, 1, params).await?;
        let handlers_take_time = params.get("handler_us", 0)? > 0;
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
                if handlers_take_time {
                    handlers.spawn(async move { handle(&job).await });
                } else {
                    handle_now(&job);
                }
            }
            handlers.join_all().await;
            queue.finish(ids).await?;
        }
    }

    async fn take(&self, limit: u32) -> Result<Vec<(Payload, i64)>> {
        let read = sqlx::query_as::<_, (i64, String)>(READ).bind(i64::from(limit));
        let messages = read.fetch_all(&mut *self.0.of(0).await).await?;
        messages.iter().map(|(id, body)| Ok((serde_json::from_str(body)?, *id))).collect()
    }

    async fn finish(&self, taken: Vec<i64>) -> Result<()> {
        let deleted = sqlx::query_scalar::<_, i64>(DELETE).bind(taken).fetch_all(&mut *self.0.of(0).await).await?;
        drop(deleted);
        Ok(())
    }

    async fn unfinished(&self) -> Result<u64> {
        // What is hidden for five minutes is being done; what is hidden for longer was delayed.
        let count = "select count(*) from messages where visible_at < now() + interval '10 minutes'";
        let count = sqlx::query_scalar::<_, i64>(count).fetch_one(&mut *self.0.of(0).await).await?;
        Ok(u64::try_from(count)?)
    }
}

fn main() -> ExitCode {
    bench_harness::main::<BareLoop>()
}
