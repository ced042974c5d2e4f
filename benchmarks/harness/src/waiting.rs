//! When all jobs are done, or will not be.

use std::time::Duration;

use anyhow::Result;

use crate::{Contestant, ledger::Ledger, usage};

/// Without progress for so long while handlers have not seen all jobs, it is time to ask what has become of the rest.
const STILL: u64 = 1_000_000;

/// The same where other processes may have had the rest. Not shorter: batches take time, and who counts the jobs after each
/// of them measures counting.
const STILL_OF_SEVERAL: u64 = 50_000;

/// What has become of the jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Not yet, and this is not the moment to ask the database.
    Working,
    /// Nothing is left; since then, at the latest.
    Done { since: u64 },
    /// Jobs are left, and nothing has happened for too long.
    Stalled { unfinished: u64 },
}

/// Looks on while jobs are handled.
#[derive(Debug)]
pub(crate) struct Watch {
    jobs: u64,
    still: u64,
    patience: u64,
    handled: u64,
    moved: u64,
}

impl Watch {
    pub(crate) fn new(jobs: u64, processes: usize, patience: Duration) -> Self {
        let patience = u64::try_from(patience.as_micros()).unwrap_or(u64::MAX);
        let still = if processes > 1 { STILL_OF_SEVERAL } else { STILL };
        Self { jobs, still, patience, handled: 0, moved: usage::now() }
    }

    /// Asks the database only when the handlers have nothing to do any more: to count is work for it.
    pub(crate) async fn look<C: Contestant>(&mut self, ledger: &Ledger, queue: &C) -> Result<State> {
        let now = usage::now();
        let handled = ledger.handled();
        if handled != self.handled {
            (self.handled, self.moved) = (handled, now);
        }
        let still = now - self.moved;
        if handled < self.jobs && still < self.still {
            return Ok(State::Working);
        }
        let unfinished = queue.unfinished().await?;
        if unfinished == 0 {
            // What the statement saw was so when it began.
            return Ok(State::Done { since: now });
        }
        Ok(if still < self.patience { State::Working } else { State::Stalled { unfinished } })
    }
}
