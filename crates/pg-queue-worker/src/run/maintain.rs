//! Looking after what nobody else looks after: dead workers' jobs, expired leases, old rows.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use pg_queue_core::{QueueError, QueueTable, WorkerId, history, jobs, replies, workers};
use tokio::{sync::watch, time::Instant};

use super::{Shared, heart::Life};

/// How many jobs one rescue takes at once.
const BATCH: u32 = 1000;

/// For so long after a death its jobs are looked for after every beat; later, once a minute, for a claim that the dead
/// worker had sent and that committed late.
const FRESHLY_DEAD: Duration = Duration::from_secs(120);

/// Works after every beat of the heart until it is aborted.
pub(super) async fn run<S>(shared: Arc<Shared<S>>, mut life: watch::Receiver<Life>) {
    let mut minutely = Timer::every(Duration::from_secs(60));
    let mut five_minutely = Timer::every(Duration::from_secs(300));
    let mut hourly = Timer::every(Duration::from_secs(3600));
    while life.changed().await.is_ok() {
        let Life { in_contact, dead, .. } = life.borrow_and_update().clone();
        if !in_contact {
            continue;
        }
        let minute = minutely.is_due();
        let fresh = |age: Option<Duration>| minute || age.is_some_and(|age| age < FRESHLY_DEAD);
        let suspects = dead.iter().filter(|worker| fresh(worker.dead_for));
        for table in &shared.tables {
            let queue = table.queue().as_str();
            let ids: Vec<WorkerId> = suspects
                .clone()
                .filter(|worker| worker.queues.iter().any(|theirs| theirs == queue))
                .map(|worker| worker.id)
                .collect();
            if !ids.is_empty() {
                report(rescue(&shared, table, &ids).await);
            }
            if minute {
                report(expired(&shared, table).await);
            }
        }
        if five_minutely.is_due() {
            report(clear_away(&shared).await);
        }
        if hourly.is_due() {
            report(keep_history(&shared).await);
        }
    }
}

async fn rescue<S>(shared: &Shared<S>, table: &QueueTable, dead: &[WorkerId]) -> Result<(), QueueError> {
    loop {
        let rescued =
            shared.control.run(async |connection| jobs::rescue(&mut **connection, table, dead, BATCH).await).await?;
        if rescued.is_empty() {
            return Ok(());
        }
        tracing::warn!(queue = %table.queue(), jobs = rescued.len(), "rescued jobs of dead workers");
        shared.counters.rescued.fetch_add(rescued.len() as u64, Relaxed);
        shared.look.notify_one();
    }
}

async fn expired<S>(shared: &Shared<S>, table: &QueueTable) -> Result<(), QueueError> {
    let discarded =
        shared.control.run(async |connection| jobs::discard_expired(&mut **connection, table).await).await?;
    if !discarded.is_empty() {
        tracing::warn!(queue = %table.queue(), jobs = discarded.len(), "discarded jobs whose last lease ran out");
    }
    Ok(())
}

async fn clear_away<S>(shared: &Shared<S>) -> Result<(), QueueError> {
    let schema = shared.queue.schema();
    shared.control.run(async |connection| replies::prune(&mut **connection, schema).await).await?;
    if let Err(error) = shared.queue.cache.cleanup_expired().await {
        tracing::warn!(%error, "the cache could not be cleaned up");
    }
    Ok(())
}

async fn keep_history<S>(shared: &Shared<S>) -> Result<(), QueueError> {
    let schema = shared.queue.schema();
    shared.control.run(async |connection| history::maintain(&mut **connection, schema).await).await?;
    Ok(shared.control.run(async |connection| workers::prune(&mut **connection, schema).await).await?)
}

/// What fails here is done again after a later beat.
fn report(done: Result<(), QueueError>) {
    if let Err(error) = done {
        tracing::warn!(%error, "maintenance failed");
    }
}

/// Due at once, and then once per period.
struct Timer {
    period: Duration,
    last: Option<Instant>,
}

impl Timer {
    fn every(period: Duration) -> Self {
        Self { period, last: None }
    }

    fn is_due(&mut self) -> bool {
        let due = self.last.is_none_or(|last| last.elapsed() >= self.period);
        if due {
            self.last = Some(Instant::now());
        }
        due
    }
}
