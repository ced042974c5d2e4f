//! Somebody who cancels jobs and tries others again, without knowing much about them.

use std::{convert::Infallible, sync::Arc, time::Duration};

use anyhow::Result;
use pg_queue::{CancelOutcome, FinishedState, HistoryFilter, JobFilter, JobState, PgQueue, RetryOutcome};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::time::sleep;

use super::ledger::Ledger;

/// The pause between two interventions, in milliseconds.
const PAUSE: std::ops::Range<u64> = 20..150;

/// How many finished jobs are looked at, and tried again, at once.
const PAGE: u32 = 5;

/// What the operator did.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Interventions {
    pub(super) cancelled: u64,
    pub(super) retried: u64,
}

pub(super) struct Operator {
    mgr: PgQueue,
    ledger: Arc<Ledger>,
    random: StdRng,
    pub(super) done: Interventions,
}

impl Operator {
    pub(super) fn new(seed: u64, mgr: &PgQueue, ledger: &Arc<Ledger>) -> Operator {
        let random = StdRng::seed_from_u64(seed ^ 0x006f_7065_7261_7465);
        Operator { mgr: mgr.clone(), ledger: Arc::clone(ledger), random, done: Interventions::default() }
    }

    /// Intervenes for as long as it is polled.
    pub(super) async fn run(&mut self) -> Infallible {
        loop {
            let pause = self.random.random_range(PAUSE);
            sleep(Duration::from_millis(pause)).await;
            let done = match self.random.random_range(0..10) {
                0..6 => self.cancel().await,
                6..8 => self.hasten().await,
                _ => self.try_again().await,
            };
            // What had no answer may have been done or not, and either is fine.
            drop(done);
        }
    }

    /// Cancels a job, whether it waits or runs or has finished.
    async fn cancel(&mut self) -> Result<()> {
        let Some((job, queue)) = self.ledger.one_of_the_latest(self.random.random_range(0..usize::MAX)) else {
            return Ok(());
        };
        let outcome = self.mgr.queue.cancel(&queue, job).await?;
        self.done.cancelled += u64::from(matches!(outcome, CancelOutcome::Cancelled | CancelOutcome::Cancelling));
        Ok(())
    }

    /// Wants the jobs that wait for their time to run now.
    async fn hasten(&mut self) -> Result<()> {
        let Some((_, queue)) = self.ledger.one_of_the_latest(self.random.random_range(0..usize::MAX)) else {
            return Ok(());
        };
        self.mgr.queue.retry_all(&queue, &JobFilter::default().state(JobState::Scheduled)).await?;
        Ok(())
    }

    /// Tries jobs again that were discarded or cancelled. Not one that was completed: it would rightly do its work twice.
    async fn try_again(&mut self) -> Result<()> {
        let filter = HistoryFilter::default().state(FinishedState::Discarded).state(FinishedState::Cancelled);
        let after = self.ledger.one_of_the_latest(self.random.random_range(0..usize::MAX)).map(|(job, _)| job);
        for past in self.mgr.history.jobs(&filter, after, PAGE).await? {
            let retried = self.mgr.history.retry(past.id).await?;
            self.done.retried += u64::from(retried == RetryOutcome::Retried);
        }
        Ok(())
    }
}
