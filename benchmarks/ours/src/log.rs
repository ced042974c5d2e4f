//! Messages of a log in the place of jobs: published in batches or one by one, received by a group.

use anyhow::{Context, Result};
use bench_harness::Payload;
use pg_queue::{
    PgQueue,
    logs::{LogName, Retention, Start},
};

/// How many messages a member takes at once.
const BATCH: u32 = 1000;

const GROUP: &str = "bench";

/// What the group has not seen or has in hand; a part of a window counts as a whole.
const UNFINISHED: &str = "select (select count(*) from pg_queue_batches)
    + (select count(*) from pg_queue_groups as g, log_bench as m where not pg_visible_in_snapshot(m.xid, g.seen))";

pub(crate) fn name() -> Result<LogName> {
    Ok(LogName::new("bench")?)
}

pub(crate) async fn setup(mgr: &PgQueue) -> Result<()> {
    mgr.logs.create(&name()?, Retention::default()).await?;
    mgr.logs.group::<Payload>(&name()?, GROUP).start(Start::Beginning).open().await?;
    Ok(())
}

/// Receives as applications do: batch by batch, in order.
pub(crate) async fn work(mgr: &PgQueue) -> Result<()> {
    let mut group = mgr.logs.group::<Payload>(&name()?, GROUP).open().await?;
    loop {
        let batch = group.receive(BATCH).await?;
        for delivered in batch.messages() {
            bench_harness::handle(delivered.message.as_ref().ok().context("a message decodes")?).await;
        }
        batch.acknowledge().await?;
    }
}

pub(crate) async fn unfinished(mgr: &PgQueue) -> Result<u64> {
    let count: i64 = sqlx::query_scalar(UNFINISHED).fetch_one(mgr.pool()).await?;
    Ok(u64::try_from(count)?)
}
