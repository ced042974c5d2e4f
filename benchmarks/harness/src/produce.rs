//! Tasks that each await one enqueue, or one publish, after the other, as fast as they can or at a given rate.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::Result;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};

use crate::{
    Contestant, Params, Payload,
    driver::open,
    orders::{self, Order, Orders},
    usage,
};

/// How many jobs each task enqueues before it is measured: connections are opened and statements prepared then.
const WARMING: u64 = 20;

/// What the tasks put to work: one call after the other, each of them awaited.
pub(crate) trait Produces: Send + Sync + 'static {
    fn produce(&self, task: usize, payload: Payload) -> impl Future<Output = Result<()>> + Send;
}

/// A queue into which jobs are enqueued.
struct Queue<C>(Arc<C>);

impl<C: Contestant> Produces for Queue<C> {
    fn produce(&self, task: usize, payload: Payload) -> impl Future<Output = Result<()>> + Send {
        self.0.enqueue(task, payload)
    }
}

/// The scenario.
pub(crate) async fn run<C: Contestant>(url: String, params: Params) -> Result<()> {
    let queue = open::<C>(&url, params.get("tasks", 1)?, &params).await?;
    drive(Queue(Arc::new(queue)), &params).await
}

/// Warms up, and produces for a time, or until there are so many as were asked for.
pub(crate) async fn drive<P: Produces>(producer: P, params: &Params) -> Result<()> {
    let tasks = params.get("tasks", 1)?;
    let time = params.seconds("seconds", 4.0)?;
    let rate: f64 = params.get("rate", 0.0)?;
    let mut orders = Orders::listen();
    let producer = Arc::new(producer);
    let warming = WARMING * tasks as u64;
    let most = params.get("most", u64::MAX - warming)? + warming;
    some(&producer, warming, tasks).await?;
    orders.ready().await?;
    let (start, cpu) = (usage::now(), usage::cpu());
    let ids = Arc::new(AtomicU64::new(warming));
    let mut producers = JoinSet::new();
    for task in 0..tasks {
        let pace = Pace::of(task, tasks, rate, time);
        let (producer, ids) = (Arc::clone(&producer), Arc::clone(&ids));
        producers.spawn(async move { produce(&*producer, task, &ids, most, pace).await });
    }
    loop {
        tokio::select! {
            order = orders.next() => match order? {
                Some(Order::Sample) => orders::say(&serde_json::json!({ "enqueued": ids.load(Relaxed).min(most) }))?,
                Some(_) => {}
                None => return Ok(()),
            },
            done = producers.join_next() => match done {
                Some(done) => done??,
                None => break,
            },
        }
    }
    orders::say(&serde_json::json!({
        "enqueued": ids.load(Relaxed).min(most),
        "warming": warming,
        "began_us": start,
        "ended_us": usage::now(),
        "cpu_us": usage::cpu() - cpu,
        "peak_kb": usage::peak_memory(),
    }))?;
    orders.end().await
}

/// When a task enqueues.
#[derive(Debug, Clone, Copy)]
struct Pace {
    end: Instant,
    next: Instant,
    /// Zero: at once after the last one.
    gap: Duration,
}

impl Pace {
    /// The tasks take turns, evenly.
    fn of(task: usize, tasks: usize, rate: f64, time: Duration) -> Self {
        let now = Instant::now();
        let gap = if rate > 0.0 { Duration::from_secs_f64(tasks as f64 / rate) } else { Duration::ZERO };
        Self { end: now + time, next: now + gap.mul_f64(task as f64 / tasks as f64), gap }
    }
}

async fn produce<P: Produces>(producer: &P, task: usize, ids: &AtomicU64, most: u64, mut pace: Pace) -> Result<()> {
    loop {
        if !pace.gap.is_zero() {
            sleep_until(pace.next.min(pace.end)).await;
            pace.next += pace.gap;
        }
        if Instant::now() >= pace.end {
            return Ok(());
        }
        let id = ids.fetch_add(1, Relaxed);
        if id >= most {
            return Ok(());
        }
        producer.produce(task, Payload::new(id)).await?;
    }
}

/// Enqueues the jobs from 0 to below `jobs`, one by one, from several tasks.
pub(crate) async fn fill<C: Contestant>(queue: &Arc<C>, jobs: u64, tasks: usize) -> Result<()> {
    some(&Arc::new(Queue(Arc::clone(queue))), jobs, tasks).await
}

async fn some<P: Produces>(producer: &Arc<P>, jobs: u64, tasks: usize) -> Result<()> {
    let ids = Arc::new(AtomicU64::new(0));
    let mut producers = JoinSet::new();
    for task in 0..tasks {
        let (producer, ids) = (Arc::clone(producer), Arc::clone(&ids));
        producers.spawn(async move {
            loop {
                let id = ids.fetch_add(1, Relaxed);
                if id >= jobs {
                    return anyhow::Ok(());
                }
                producer.produce(task, Payload::new(id)).await?;
            }
        });
    }
    while let Some(done) = producers.join_next().await {
        done??;
    }
    Ok(())
}
