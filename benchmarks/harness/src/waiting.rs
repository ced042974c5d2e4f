//! When all jobs are done, or will not be.

use std::time::Duration;

use anyhow::Result;

use crate::{Contestant, ledger::Ledger, usage};

/// Without progress for so long while handlers have not seen all jobs, it is time to ask what has become of the rest.
const STILL: u64 = 1_000_000;

/// The same where other processes may have had the rest. Not shorter: batches take time, and who counts the jobs after each
/// of them measures counting.
const STILL_OF_SEVERAL: u64 = 50_000;

/// So long after the last job was enqueued it is too late: who is so far behind has not kept up. Less than the runner waits for
/// an answer.
const LONGEST: u64 = 240_000_000;

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
    began: u64,
}

impl Watch {
    pub(crate) fn new(jobs: u64, processes: usize, patience: Duration) -> Self {
        let patience = u64::try_from(patience.as_micros()).unwrap_or(u64::MAX);
        let still = if processes > 1 { STILL_OF_SEVERAL } else { STILL };
        let now = usage::now();
        Self { jobs, still, patience, handled: 0, moved: now, began: now }
    }

    /// Asks the database only when the handlers have nothing to do any more: to count is work for it.
    pub(crate) async fn look<C: Contestant>(&mut self, ledger: &Ledger, queue: &C) -> Result<State> {
        let now = usage::now();
        let handled = ledger.handled();
        if handled != self.handled {
            (self.handled, self.moved) = (handled, now);
        }
        let still = now - self.moved;
        let late = now - self.began >= LONGEST;
        if handled < self.jobs && still < self.still && !late {
            return Ok(State::Working);
        }
        let unfinished = queue.unfinished().await?;
        if unfinished == 0 {
            // What the statement saw was so when it began.
            return Ok(State::Done { since: now });
        }
        Ok(if still < self.patience && !late { State::Working } else { State::Stalled { unfinished } })
    }
}
