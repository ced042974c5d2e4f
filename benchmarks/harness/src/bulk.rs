//! Enqueuing many jobs in few calls: as the scenario itself, and to fill the queues for others.

use std::{sync::Arc, time::Duration};

use anyhow::{Result, bail};

use crate::{
    Batch, Contestant, Params, Payload,
    driver::open,
    orders::{self, Orders},
    produce, usage,
};

/// How many jobs go into one call.
const CHUNK: u64 = 1000;

/// How many tasks fill a queue that has no call for many jobs.
const TASKS: usize = 32;

/// Fills the queues with jobs, in turn, before anything is measured.
pub(crate) async fn preload<C: Contestant>(url: String, params: Params) -> Result<()> {
    let jobs = params.get("jobs", 0)?;
    let queues = params.get("queues", 1)?;
    let delay = params.seconds("delay", 0.0)?;
    let can_delay = C::DELAYS && C::BULK;
    if !can_delay && !delay.is_zero() {
        bail!("it is not driven with delays here");
    }
    if C::BULK {
        let queue = open::<C>(&url, 1, &params).await?;
        fill(&queue, jobs, CHUNK, queues, delay).await?;
    } else {
        let queue = Arc::new(open::<C>(&url, TASKS, &params).await?);
        produce::fill(&queue, jobs, TASKS).await?;
    }
    orders::say(&serde_json::json!({ "enqueued": jobs }))
}

/// The scenario.
pub(crate) async fn run<C: Contestant>(url: String, params: Params) -> Result<()> {
    let jobs = params.get("jobs", 100_000)?;
    let chunk = params.get("chunk", CHUNK)?;
    let mut orders = Orders::listen();
    let queue = Arc::new(open::<C>(&url, if C::BULK { 1 } else { TASKS }, &params).await?);
    orders.ready().await?;
    let (start, cpu) = (usage::now(), usage::cpu());
    if C::BULK {
        fill(&*queue, jobs, chunk, 1, Duration::ZERO).await?;
    } else {
        produce::fill(&queue, jobs, TASKS).await?;
    }
    orders::say(&serde_json::json!({
        "enqueued": jobs,
        "warming": 0,
        "began_us": start,
        "ended_us": usage::now(),
        "cpu_us": usage::cpu() - cpu,
        "peak_kb": usage::peak_memory(),
    }))?;
    orders.end().await
}

/// The jobs go to the queues in turn: a queue gets every so many-th one.
async fn fill<C: Contestant>(queue: &C, jobs: u64, chunk: u64, queues: u64, delay: Duration) -> Result<()> {
    let round = chunk * queues;
    for start in (0..jobs).step_by(usize::try_from(round)?) {
        for (number, first) in (start..start + queues).enumerate() {
            let ids = (first..jobs.min(start + round)).step_by(usize::try_from(queues)?);
            let jobs: Vec<Payload> = ids.map(Payload::new).collect();
            if !jobs.is_empty() {
                queue.enqueue_many(Batch { queue: number, jobs, delay }).await?;
            }
        }
    }
    Ok(())
}
