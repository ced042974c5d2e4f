//! How far it is, for whoever waits.

use std::{
    cell::RefCell,
    convert::Infallible,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use anyhow::Result;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use sqlx::PgPool;
use tokio::time::sleep;

use super::{
    faults::{Faults, Kind},
    ledger::Ledger,
    tables,
};
use crate::numbers::thousands;

/// How often the jobs are counted that have not finished: the producers heed it.
const LOOK: Duration = Duration::from_millis(200);

/// How often progress is said where no bar can be drawn.
const SAY: Duration = Duration::from_secs(10);

/// Shows how far it is.
pub(super) struct Progress {
    bar: ProgressBar,
    began: Instant,
    ledger: Arc<Ledger>,
    faults: RefCell<String>,
}

impl Progress {
    pub(super) fn begin(length: Duration, ledger: &Arc<Ledger>) -> Result<Progress> {
        // Draws nothing where stderr is no terminal.
        let bar = ProgressBar::with_draw_target(Some(length.as_secs()), ProgressDrawTarget::stderr());
        bar.set_style(ProgressStyle::with_template("[{bar:30}] {pos} of {len} s {msg}")?);
        let faults = RefCell::new("nothing has happened yet".to_owned());
        Ok(Progress { bar, began: Instant::now(), ledger: Arc::clone(ledger), faults })
    }

    /// Takes note of what was done.
    pub(super) fn note(&self, faults: &Faults) {
        self.faults.replace(format!(
            "{} kills, {} stops, {} cuts, {} restarts",
            faults.count(Kind::Killed),
            faults.count(Kind::Stopped),
            faults.count(Kind::Cut),
            faults.restarts
        ));
    }

    /// Counts and shows for as long as it is polled.
    pub(super) async fn run(&self, pool: &PgPool) -> Infallible {
        let mut said = Instant::now();
        loop {
            sleep(LOOK).await;
            // While the server is away, nothing changes.
            if let Ok(unfinished) = tables::unfinished(pool).await {
                self.ledger.backlog.store(unfinished, Relaxed);
            }
            let enqueued = thousands(self.ledger.acknowledged_count() as u64);
            let unfinished = thousands(self.ledger.backlog.load(Relaxed));
            let message = format!("({enqueued} jobs enqueued, {unfinished} unfinished; {})", self.faults.borrow());
            self.bar.set_position(self.began.elapsed().as_secs());
            if self.bar.is_hidden() && said.elapsed() >= SAY {
                said = Instant::now();
                eprintln!("{} s {message}", self.began.elapsed().as_secs());
            }
            self.bar.set_message(message);
        }
    }

    /// Says something that stays, above the bar.
    pub(super) fn say(&self, text: &str) {
        self.bar.suspend(|| eprintln!("{text}"));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
