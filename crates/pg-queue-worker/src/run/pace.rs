//! How quickly a queue's jobs end, and how many of them to claim ahead.

use std::time::Duration;

/// So much work is claimed ahead: several times what a claim takes, so that none of it is waited for, and still no time for
/// which another worker would miss it. A job that takes longer than this is never claimed ahead of a free slot.
const AHEAD: Duration = Duration::from_millis(20);

/// How many jobs are claimed ahead at most, of one queue, and of all queues together: so that of each of many queues there are
/// enough to be worth a claim.
const MOST_OF_ONE: usize = 2000;
pub(super) const MOST_AHEAD: usize = 8000;

/// How many jobs count as much as all that was known before them.
const MEMORY: f64 = 16.0;

/// What a job is taken to need when those that wait for it have lost their patience.
const SLOW: Duration = Duration::from_secs(1);

/// How long a queue's handlers take on average, the last ones most of all.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Pace {
    /// What was counted until now: how many handlers have ended, and how long all of them took.
    ended: u64,
    busy: Duration,
    /// In seconds. `None` before the first one has ended.
    mean: Option<f64>,
}

impl Pace {
    /// Takes what has been counted since the worker's start.
    pub(super) fn learn(&mut self, ended: u64, busy: Duration) {
        let more = ended.saturating_sub(self.ended);
        if more == 0 {
            return;
        }
        let mean = busy.saturating_sub(self.busy).as_secs_f64() / more as f64;
        let weight = more as f64 / (more as f64 + MEMORY);
        self.mean = Some(self.mean.map_or(mean, |before| before + (mean - before) * weight));
        (self.ended, self.busy) = (ended, busy);
    }

    /// Jobs have waited for too long: what was measured does not hold any more.
    pub(super) fn is_too_slow(&mut self) {
        self.mean = Some(self.mean.unwrap_or_default().max(SLOW.as_secs_f64()));
    }

    /// How many jobs to claim ahead when so many run at once.
    pub(super) fn ahead(&self, at_once: usize) -> usize {
        let Some(mean) = self.mean else { return 0 };
        // Cut to what it may be; a mean of nothing gives infinity.
        (AHEAD.as_secs_f64() * at_once as f64 / mean).min(MOST_OF_ONE as f64) as usize
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{MOST_OF_ONE, Pace};

    fn after(jobs: u64, each: Duration) -> Pace {
        let mut pace = Pace::default();
        pace.learn(jobs, each * u32::try_from(jobs).unwrap());
        pace
    }

    #[test]
    fn quick_jobs_are_claimed_ahead_and_slow_ones_are_not() {
        assert_eq!(Pace::default().ahead(1000), 0, "nothing is known");
        assert_eq!(after(10, Duration::from_millis(1)).ahead(4), 80);
        assert_eq!(after(10, Duration::from_millis(1)).ahead(1_000_000), MOST_OF_ONE);
        assert_eq!(after(10, Duration::ZERO).ahead(1), MOST_OF_ONE);
        assert_eq!(after(10, Duration::from_millis(21)).ahead(1), 0);
        assert_eq!(after(10, Duration::from_secs(1)).ahead(10), 0);
    }

    #[test]
    fn what_ended_last_counts_most() {
        let mut pace = after(10_000, Duration::from_micros(10));
        let busy = pace.busy;
        pace.learn(10_016, busy + Duration::from_secs(16));
        assert_eq!(pace.ahead(10), 0, "half a second on average");
        pace.learn(20_016, busy + Duration::from_secs(16) + Duration::from_millis(100));
        assert!(pace.ahead(10) > 100, "{pace:?}");
    }

    #[test]
    fn lost_patience_counts_until_others_have_ended() {
        let mut pace = after(1000, Duration::from_micros(10));
        pace.is_too_slow();
        assert_eq!(pace.ahead(10), 0);
        let busy = pace.busy;
        pace.learn(101_000, busy + Duration::from_secs(1));
        assert!(pace.ahead(10) > 0, "{pace:?}");
    }
}
