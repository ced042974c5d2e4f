//! How soon an idle worker begins a job: measured on jobs that come one at a time, because in a backlog a job waits for
//! the others, whatever the queue.

use std::time::Duration;

use anyhow::{Result, ensure};
use pg_queue::{Job, PgQueue};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::jobs::Probe;

pub(super) const COUNT: i64 = 100;

/// Longer than a worker goes on looking after a job, so that it has to be woken for the next one.
const PAUSE: Duration = Duration::from_millis(40);

const LIMIT: Duration = Duration::from_secs(30);

/// Pickup times in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pickup {
    pub(super) p50: f64,
    pub(super) p99: f64,
}

/// Enqueues the probes and waits for the last.
pub(super) async fn measure(mgr: &PgQueue) -> Result<Pickup> {
    let mut beat = interval(PAUSE);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for _ in 0..COUNT {
        beat.tick().await;
        Probe.enqueue(mgr).await?;
    }
    let deadline = Instant::now() + LIMIT;
    loop {
        let seen: i64 = sqlx::query_scalar("select count(*) from demo_probes").fetch_one(mgr.pool()).await?;
        if seen >= COUNT {
            break;
        }
        ensure!(Instant::now() < deadline, "{seen} of {COUNT} probes were run within {LIMIT:?}");
        sleep(PAUSE).await;
    }
    let percentiles = "select percentile_disc(array[0.5, 0.99]) within group (order by pickup_ms) from demo_probes";
    let found: Vec<f64> = sqlx::query_scalar(percentiles).fetch_one(mgr.pool()).await?;
    let [p50, p99] = found[..] else { anyhow::bail!("two percentiles were asked for: {found:?}") };
    Ok(Pickup { p50, p99 })
}
