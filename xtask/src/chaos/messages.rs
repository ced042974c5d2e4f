//! Durable messages: published beside the jobs, received by groups in the worker processes, and counted at the end.
//!
//! Each member writes down what it has received in the transaction that acknowledges it, so that every message whose publishing was
//! answered must be written down exactly once by each group, whatever happens to the processes and their server.

use std::{
    collections::BTreeSet,
    convert::Infallible,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::Result;
use pg_queue::{
    PgQueue,
    logs::{Batch, LogName, Retention, Start},
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::time::sleep;

/// The groups; every process has a member of each.
const GROUPS: [&str; 2] = ["billing", "shipping"];

/// The pause between two calls, in milliseconds.
const PAUSE: std::ops::Range<u64> = 10..60;

/// The pause of a member after an error.
const AGAIN: Duration = Duration::from_millis(100);

/// Not unique, as that of the effects.
const TABLE: &str = "create table chaos_messages (by text not null, number bigint not null)";

fn log() -> Result<LogName> {
    Ok(LogName::new("chaos")?)
}

/// What the library has answered.
#[derive(Debug, Default)]
pub(super) struct Answers(Mutex<Numbers>);

#[derive(Debug, Default)]
struct Numbers {
    last: i64,
    published: BTreeSet<i64>,
    rolled_back: BTreeSet<i64>,
}

/// What became of the messages.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) published: u64,
    pub(super) lost: Vec<String>,
    pub(super) doubled: Vec<String>,
}

pub(super) async fn create(mgr: &PgQueue) -> Result<()> {
    mgr.logs.create(&log()?, Retention::default()).await?;
    sqlx::raw_sql(TABLE).execute(mgr.pool()).await?;
    for group in GROUPS {
        open(mgr, group, Duration::from_secs(1)).await?;
    }
    Ok(())
}

impl Answers {
    fn numbers(&self) -> MutexGuard<'_, Numbers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn draw(&self, count: usize) -> Vec<i64> {
        let mut numbers = self.numbers();
        (0..count)
            .map(|_| {
                numbers.last += 1;
                numbers.last
            })
            .collect()
    }

    /// Publishes for as long as it is polled.
    pub(super) async fn publish(&self, seed: u64, mgr: &PgQueue) -> Infallible {
        let mut random = StdRng::seed_from_u64(seed ^ 0x6d65_7373_6167_6573);
        loop {
            sleep(Duration::from_millis(random.random_range(PAUSE))).await;
            let (count, way) = (random.random_range(1..20), random.random_range(0..10));
            // Whoever gets no answer does not know whether it was done: such messages may exist, and need not.
            drop(self.some(mgr, count, way).await);
        }
    }

    async fn some(&self, mgr: &PgQueue, count: usize, way: u32) -> Result<()> {
        let log = log()?;
        let numbers = self.draw(count);
        match way {
            0..4 => {
                mgr.logs.publish(&log, &numbers[0]).await?;
                self.numbers().published.insert(numbers[0]);
                return Ok(());
            }
            4..6 => drop(mgr.logs.publish_many(&log, &numbers).await?),
            _ => {
                let mut tx = mgr.pool().begin().await?;
                mgr.logs.publish_on(&mut tx, &log, &numbers).await?;
                if way == 9 {
                    self.numbers().rolled_back.extend(numbers);
                    return Ok(tx.rollback().await?);
                }
                tx.commit().await?;
            }
        }
        self.numbers().published.extend(numbers);
        Ok(())
    }

    /// Compares what was answered with what was written down.
    pub(super) async fn tally(&self, mgr: &PgQueue) -> Result<Tally> {
        let numbers = self.numbers().take();
        let mut tally = Tally { published: numbers.published.len() as u64, ..Tally::default() };
        for group in GROUPS {
            let rows = "select number from chaos_messages where by = $1";
            let rows: Vec<i64> = sqlx::query_scalar(rows).bind(group).fetch_all(mgr.pool()).await?;
            let mut seen = BTreeSet::new();
            for number in rows {
                if !seen.insert(number) {
                    tally.doubled.push(format!("message {number} was received twice by {group}"));
                }
                if numbers.rolled_back.contains(&number) {
                    tally.doubled.push(format!("message {number} was rolled back, and received by {group}"));
                }
            }
            let lost = numbers.published.difference(&seen);
            tally.lost.extend(lost.map(|number| format!("message {number} was never received by {group}")));
        }
        Ok(tally)
    }
}

impl Numbers {
    fn take(&mut self) -> Self {
        std::mem::take(self)
    }
}

/// How much the groups have not done yet: nothing only when there is nothing left.
pub(super) async fn left(mgr: &PgQueue) -> Result<u64> {
    let groups = mgr.logs.groups(&log()?).await?;
    Ok(groups.iter().map(|it| it.batches + it.retrying + it.parked + u64::from(it.unseen_since.is_some())).sum())
}

async fn open(mgr: &PgQueue, group: &str, lease: Duration) -> Result<pg_queue::logs::Group<i64>> {
    let group = mgr.logs.group(&log()?, group).start(Start::Beginning);
    // Processes die all the time, and nothing is to be parked.
    Ok(group.max_attempts(30_000).retry_after(Duration::from_millis(100)).lease(lease).open().await?)
}

/// Is a member of each group, for as long as it is polled.
pub(super) async fn receive(mgr: &PgQueue, lease: Duration) -> Infallible {
    tokio::join!(be_member(mgr, GROUPS[0], lease), be_member(mgr, GROUPS[1], lease)).0
}

async fn be_member(mgr: &PgQueue, group: &'static str, lease: Duration) -> Infallible {
    loop {
        // What was not acknowledged comes again.
        let work = async {
            let mut member = open(mgr, group, lease).await?;
            loop {
                write_down(mgr, group, member.receive(20).await?).await?;
            }
        };
        let ended: Result<Infallible> = work.await;
        if ended.is_err() {
            sleep(AGAIN).await;
        }
    }
}

async fn write_down(mgr: &PgQueue, group: &str, batch: Batch<i64>) -> Result<()> {
    let mut tx = mgr.pool().begin().await?;
    for delivered in batch.messages() {
        let Ok(number) = delivered.message else { continue };
        let row = sqlx::query("insert into chaos_messages values ($1, $2)").bind(group).bind(number);
        row.execute(&mut *tx).await?;
    }
    batch.acknowledge_on(&mut tx).await?;
    Ok(tx.commit().await?)
}
