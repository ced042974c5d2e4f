//! Looking after what nobody else looks after: dead workers' jobs, expired leases, old rows.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use pg_queue_core::{QueueError, QueueTable, WorkerId, cache, history, jobs, replies, workers};
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

use super::{
    Shared,
    heart::Life,
    trouble::{Fails, Trouble},
};

/// How many jobs one rescue takes at once.
const BATCH: u32 = 1000;

/// For so long after a death its jobs are looked for after every beat; later, once a minute, for a claim that the dead
/// worker had sent and that committed late.
const FRESHLY_DEAD: Duration = Duration::from_secs(120);

/// How long removing expired values from the cache may keep the rest waiting.
const CLEANUP_TIMEOUT: Duration = Duration::from_secs(10);

/// Works after every beat of the heart until it is aborted.
pub(super) async fn run<S>(shared: Arc<Shared<S>>, mut life: watch::Receiver<Life>) {
    let mut minutely = Timer::every(Duration::from_secs(60));
    let mut five_minutely = Timer::every(Duration::from_secs(300));
    let mut hourly = Timer::every(Duration::from_secs(3600));
    // The first jobs may have been claimed before the heart was connected at all.
    let mut verified = 0;
    while life.changed().await.is_ok() {
        let Life { in_contact, dead, connects, .. } = life.borrow_and_update().clone();
        if !in_contact {
            continue;
        }
        if verified != connects && verify(&shared).await {
            verified = connects;
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

/// After the connection was lost, the server may be another one, which never heard of the last claims. Drops the handlers
/// of jobs whose leases it does not know. Answers whether all were verified.
async fn verify<S>(shared: &Shared<S>) -> bool {
    let mut verified = true;
    for (number, table) in shared.tables.iter().enumerate() {
        for asked in shared.leases.of(number).chunks(BATCH as usize) {
            match shared.control.run(async |connection| jobs::held(&mut **connection, table, asked).await).await {
                Ok(held) => {
                    let lost = shared.leases.stop_lost(asked, &held);
                    if lost > 0 {
                        tracing::error!(queue = %table.queue(), lost, "handlers are dropped: their leases are lost");
                    }
                }
                Err(error) => {
                    tracing::warn!(queue = %table.queue(), %error, "the leases could not be verified");
                    verified &= error.trouble() == Trouble::Gone;
                }
            }
        }
    }
    verified
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
    // Not through the application's pool: handlers may have used it up.
    let mut connection = shared.control.acquire().await?;
    match timeout(CLEANUP_TIMEOUT, cache::cleanup_expired(&mut connection, schema)).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => {
            connection.close_on_drop();
            tracing::warn!(%error, "the cache could not be cleaned up");
        }
        Err(_) => {
            // What is left is removed next time.
            connection.close_on_drop();
        }
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
