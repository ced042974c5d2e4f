//! Looking after what nobody else looks after: dead workers' jobs, expired leases, old rows.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use pg_queue_core::{
    LeasedJobId, QueueError, QueueTable, WorkerId,
    cache::{self, CacheTable},
    history, jobs, logs, replies, requests, topics, workers,
};
use sqlx::PgConnection;
use tokio::{sync::watch, time::Instant};

use super::{
    Shared,
    heart::Life,
    signals,
    trouble::{Fails, Trouble},
};
use crate::Event;

/// How many jobs one rescue takes at once, and everything else that is done in steps.
const BATCH: u32 = 1000;

/// How many statements may put a queue's jobs aside after one beat, and how many may take them back. What is left is left to
/// the next one: jobs may come as quickly as they are put aside, and there is more to look after.
const PARKING: usize = 100;

/// For so long after a death its jobs are looked for after every beat; later, once a minute, for a claim that the dead
/// worker had sent and that committed late.
const FRESHLY_DEAD: Duration = Duration::from_secs(120);

const DAY: Duration = Duration::from_secs(24 * 3600);

/// How long removing expired values from the cache may keep the rest waiting.
const CLEANUP_TIMEOUT: Duration = Duration::from_secs(10);

/// Works after every beat of the heart, and when leases are to be verified, until it is aborted.
pub(super) async fn run<S>(shared: Arc<Shared<S>>, mut life: watch::Receiver<Life>) {
    let mut minutely = Timer::every(Duration::from_secs(60));
    let mut five_minutely = Timer::every(Duration::from_secs(300));
    let mut hourly = Timer::every(Duration::from_secs(3600));
    loop {
        tokio::select! {
            changed = life.changed() => if changed.is_err() { return },
            () = shared.verify.notified() => {
                verify(&shared).await;
                continue;
            }
        }
        let Life { in_contact, dead, .. } = life.borrow_and_update().clone();
        if !in_contact {
            continue;
        }
        verify(&shared).await;
        signals::refresh(&shared).await;
        let minute = minutely.is_due();
        let fresh = |age: Option<Duration>| minute || age.is_some_and(|age| age < FRESHLY_DEAD);
        let suspects = dead.iter().filter(|worker| fresh(worker.dead_for));
        for lane in &shared.lanes {
            let queue = lane.queue().as_str();
            let ids: Vec<WorkerId> = suspects
                .clone()
                .filter(|worker| worker.queues.iter().any(|theirs| theirs == queue))
                .map(|worker| worker.id)
                .collect();
            if !ids.is_empty() {
                report(rescue(&shared, &lane.table, &ids).await);
            }
            report(park(&shared, &lane.table).await);
            if minute {
                report(expired(&shared, &lane.table).await);
            }
            if shared.registry.responds_to(lane.queue()) {
                report(late(&shared, &lane.table).await);
            }
        }
        if minute {
            rotate_logs(&shared).await;
        }
        if five_minutely.is_due() {
            report(clear_away(&shared).await);
        }
        if hourly.is_due() {
            report(keep_history(&shared).await);
        }
    }
}

/// Asks the database about the leases of all running handlers. Drops those whose lease is gone: after the connection was lost
/// the server may be another one, which never heard of the last claims. Asks those to end whose jobs somebody wants cancelled,
/// in case the notification was lost.
pub(super) async fn verify<S>(shared: &Shared<S>) {
    for lane in 0..shared.lanes.len() {
        for asked in shared.leases.running(lane).chunks(BATCH as usize) {
            verify_some(shared, lane, asked).await;
        }
    }
}

/// The same for some handlers of one queue.
pub(super) async fn verify_some<S>(shared: &Shared<S>, lane: usize, asked: &[LeasedJobId]) {
    let (queue, table) = (shared.lanes[lane].queue(), &shared.lanes[lane].table);
    match shared.control.run(async |connection| jobs::held(connection, table, asked).await).await {
        Ok(held) => {
            let lost = shared.leases.verify(asked, &held);
            if lost > 0 {
                tracing::error!(%queue, lost, "handlers are dropped: their leases are lost");
            }
        }
        // A queue that is gone has no leases to verify; what failed otherwise is asked again after the next beat.
        Err(error) if error.trouble() == Trouble::Gone => {}
        Err(error) => tracing::warn!(%queue, %error, "the leases could not be verified"),
    }
}

/// Takes jobs that no live worker can run out of the claims' way, and puts back those that this worker can.
async fn park<S>(shared: &Shared<S>, table: &QueueTable) -> Result<(), QueueError> {
    let kinds = &shared.kinds;
    let back = unpark(shared, table).await?;
    let mut aside = 0;
    for _ in 0..PARKING {
        let park = async |connection: &mut PgConnection| jobs::park(connection, table, kinds, BATCH).await;
        let parked = shared.control.run(park).await?;
        aside += parked;
        if parked == 0 {
            break;
        }
    }
    if back > 0 || aside > 0 {
        tracing::info!(queue = %table.queue(), parked = aside, unparked = back, "jobs of kinds that nobody ran, or that are run again");
    }
    Ok(())
}

/// Puts back what was parked and this worker can run. Answers how many jobs.
pub(super) async fn unpark<S>(shared: &Shared<S>, table: &QueueTable) -> Result<usize, QueueError> {
    let mut back = 0;
    for _ in 0..PARKING {
        let unpark =
            async |connection: &mut PgConnection| jobs::unpark(connection, table, Some(&shared.kinds), BATCH).await;
        let unparked = shared.control.run(unpark).await?;
        back += unparked;
        if unparked == 0 {
            break;
        }
        shared.look.notify_one();
    }
    Ok(back)
}

pub(super) async fn rescue<S>(shared: &Shared<S>, table: &QueueTable, dead: &[WorkerId]) -> Result<(), QueueError> {
    #[cfg(pg_queue_sabotage)]
    if pg_queue_core::sabotage::is_out(pg_queue_core::sabotage::Safeguard::Rescue) {
        return Ok(());
    }
    loop {
        let rescued = shared.control.run(async |connection| jobs::rescue(connection, table, dead, BATCH).await).await?;
        if rescued.is_empty() {
            return Ok(());
        }
        tracing::warn!(queue = %table.queue(), jobs = rescued.len(), "rescued jobs of dead workers");
        shared.counters.rescued.fetch_add(rescued.len() as u64, Relaxed);
        shared
            .teller
            .tell(|| Event::Rescued { queue: table.queue().clone(), jobs: rescued.iter().map(|job| job.id).collect() });
        shared.look.notify_one();
    }
}

pub(super) async fn expired<S>(shared: &Shared<S>, table: &QueueTable) -> Result<(), QueueError> {
    loop {
        let discard = async |connection: &mut PgConnection| jobs::discard_expired(connection, table, BATCH).await;
        let discarded = shared.control.run(discard).await?;
        if discarded.is_empty() {
            return Ok(());
        }
        tracing::warn!(queue = %table.queue(), jobs = discarded.len(), "discarded jobs whose last lease ran out");
    }
}

/// Removes what the callers of processes that are gone have left: requests that are too late, and replies that nobody fetched.
async fn late<S>(shared: &Shared<S>, table: &QueueTable) -> Result<(), QueueError> {
    let pruned = shared.control.run(async |connection| requests::prune(connection, table).await).await?;
    if pruned > 0 {
        tracing::warn!(queue = %table.queue(), requests = pruned, "removed requests that nobody took and nobody waits for");
    }
    Ok(shared.control.run(async |connection| replies::prune(connection, table.schema()).await).await?)
}

async fn clear_away<S>(shared: &Shared<S>) -> Result<(), QueueError> {
    let schema = shared.queue.schema();
    shared.control.run(async |connection| replies::prune(connection, schema).await).await?;
    let forget = async |connection: &mut PgConnection| jobs::prune_unique_keys(connection, schema, BATCH).await;
    while shared.control.run(forget).await? > 0 {}
    while shared.control.run(async |connection| topics::prune(connection, schema).await).await? > 0 {}
    // Not through the application's pool: handlers may have used it up. What is left then is removed next time.
    let until = Instant::now() + CLEANUP_TIMEOUT;
    for table in [CacheTable::unlogged(schema), CacheTable::durable(schema)] {
        for pages in shared.control.run(async |connection| cache::parts(connection, &table).await).await? {
            if Instant::now() > until {
                return Ok(());
            }
            shared.control.run(async |connection| cache::cleanup_part(connection, &table, pages).await).await?;
        }
    }
    for pages in shared.control.run(async |connection| cache::parts_of_limits(connection, schema).await).await? {
        if Instant::now() > until {
            return Ok(());
        }
        shared.control.run(async |connection| cache::cleanup_limits(connection, schema, pages).await).await?;
    }
    while shared.control.run(async |connection| cache::prune_locks(connection, schema, BATCH).await).await? > 0 {}
    Ok(())
}

async fn keep_history<S>(shared: &Shared<S>) -> Result<(), QueueError> {
    let schema = shared.queue.schema();
    let longest = shared.lanes.iter().map(|lane| lane.longest_keep()).max().unwrap_or_default();
    // A day more, so that there is always one ahead.
    let longest = longest.max(shared.registry.longest_keep()) + DAY;
    shared.control.run(async |connection| history::maintain(connection, schema, longest).await).await?;
    Ok(shared.control.run(async |connection| workers::prune(connection, schema).await).await?)
}

/// Drops what logs need not keep any more.
async fn rotate_logs<S>(shared: &Shared<S>) {
    let schema = shared.queue.schema();
    let names = match shared.control.run(async |connection| logs::names(connection, schema).await).await {
        Ok(names) => names,
        Err(error) => return report(Err(error.into())),
    };
    for log in names {
        let table = log.table(schema);
        match shared.control.run(async |connection| logs::rotate(connection, &table).await).await {
            Ok(0) => {}
            Ok(dropped) => tracing::info!(%log, dropped, "old segments were dropped"),
            Err(error) => tracing::warn!(%log, %error, "a log was not rotated"),
        }
    }
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
