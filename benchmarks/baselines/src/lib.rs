//! What the programs of this crate share: the limits that a queue is measured against, in plain SQL and without one.
#![forbid(unsafe_code)]

use anyhow::Result;
use bench_harness::Payload;
use pg_queue::{PgQueue, QueueName};
use sqlx::{Connection, PgConnection};
use tokio::sync::{Mutex, MutexGuard};

/// What pg-queue inserts of a job that has nothing special.
pub const INSERT: &str = "insert into queue_bench (kind, payload, run_at, priority, max_attempts) \
    values ($1, $2::json, now(), $3, $4) returning id";
/// Its kind.
pub const KIND: &str = "bench_job";
/// Its priority.
pub const PRIORITY: i16 = 5;
/// How often it may be tried.
pub const MAX_ATTEMPTS: i16 = 20;

const PIN: &str = "set enable_seqscan = off; set enable_bitmapscan = off; set enable_sort = off; set enable_hashjoin = off; \
    set enable_mergejoin = off";

/// Makes pg-queue's table, without its trigger.
///
/// # Errors
/// The server cannot be reached.
pub async fn make_queue(url: &str) -> Result<()> {
    let mgr = PgQueue::connect(url).await?;
    mgr.migrate().await?;
    mgr.queue.create(&QueueName::new("bench")?).await?;
    sqlx::query("alter table queue_bench disable trigger pg_queue_wake").execute(mgr.pool()).await?;
    Ok(())
}

/// A connection for each task, so that none ever waits for another's, nor is looked at before it is used, as those of a
/// pool are.
#[derive(Debug)]
pub struct Connections(Vec<Mutex<PgConnection>>);

impl Connections {
    /// Connects so many times.
    ///
    /// # Errors
    /// The server cannot be reached.
    pub async fn open(url: &str, tasks: usize) -> Result<Self> {
        let mut connections = Vec::new();
        for _ in 0..tasks {
            connections.push(Mutex::new(PgConnection::connect(url).await?));
        }
        Ok(Self(connections))
    }

    /// Makes the server walk indexes, whatever it believes of a table that was empty, or full, when it was last analysed.
    ///
    /// # Errors
    /// A connection is lost.
    pub async fn pin_plans(&self) -> Result<()> {
        for connection in &self.0 {
            sqlx::raw_sql(PIN).execute(&mut *connection.lock().await).await?;
        }
        Ok(())
    }

    /// The one of this task.
    pub async fn of(&self, task: usize) -> MutexGuard<'_, PgConnection> {
        self.0[task].lock().await
    }
}

/// The payloads as they are stored.
///
/// # Errors
/// Never, for payloads.
pub fn encoded(jobs: &[Payload]) -> Result<Vec<String>> {
    Ok(jobs.iter().map(serde_json::to_string).collect::<Result<_, _>>()?)
}
