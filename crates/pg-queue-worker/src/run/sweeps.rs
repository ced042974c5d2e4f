//! How far a worker has claimed in a queue, and when it looks behind itself.

use std::time::Duration;

use pg_queue_core::jobs::{ClaimedJob, Floors, Reach};
use tokio::time::Instant;

/// What turns up below the floors of a busy queue is looked for so often.
const PERIOD: Duration = Duration::from_secs(1);

/// A sweep is followed by so many times as long without one: sweeps have a tenth of the time.
const REST: u32 = 9;

/// What took longer than this was not walking, but waiting for somebody's lock, or for the network.
const LONGEST: Duration = Duration::from_secs(5);

/// A sweep that takes longer than this is made beside the claims, so that they do not wait for it.
const QUICK: Duration = Duration::from_millis(10);

/// The floors of a queue, and its sweeps.
#[derive(Debug)]
pub(super) struct Sweeps {
    floors: Floors,
    /// When the last one ended, and how long it took.
    ended: Option<Instant>,
    took: Duration,
    /// A claim came back short: what else is due can only be below the floors. Or others have just taken it.
    wanted: bool,
    /// How many have found nothing below the floors, one after the other.
    vain: u32,
}

impl Sweeps {
    pub(super) fn new() -> Self {
        Self { floors: Floors::default(), ended: None, took: Duration::ZERO, wanted: false, vain: 0 }
    }

    pub(super) fn floors(&self) -> Floors {
        self.floors
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.ended.is_none_or(|ended| now >= ended + self.rest())
    }

    /// When it will be, if a claim has come back short.
    pub(super) fn wanted_at(&self) -> Option<Instant> {
        self.ended.filter(|_| self.wanted).map(|ended| ended + self.rest())
    }

    /// How long after the last one. Where several workers empty a queue, their claims come back short all the time, and nothing is
    /// below their floors: each that finds nothing doubles the rest.
    fn rest(&self) -> Duration {
        let rest = self.took * REST;
        if self.wanted && self.are_quick() {
            rest.saturating_mul(1 << self.vain.min(10)).min(PERIOD)
        } else {
            rest.max(PERIOD)
        }
    }

    /// Whether it takes the place of a claim, because it takes no longer than one.
    pub(super) fn are_quick(&self) -> bool {
        self.took <= QUICK
    }

    /// A claim of at most `limit` jobs is back.
    pub(super) fn learn(&mut self, reach: Reach<'_>, limit: u32, jobs: &[ClaimedJob]) {
        self.floors.learn(reach, limit, jobs);
        let full = u32::try_from(jobs.len()).is_ok_and(|count| count >= limit);
        self.wanted = !full && matches!(reach, Reach::Above(_));
        if let Reach::Sweep(floors) = reach {
            self.vain = if floors.are_above_any(jobs) { 0 } else { self.vain.saturating_add(1) };
        }
    }

    /// A sweep has ended that began at `began`.
    pub(super) fn swept(&mut self, began: Instant) {
        let now = Instant::now();
        (self.ended, self.took) = (Some(now), (now - began).min(LONGEST));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use pg_queue_core::jobs::Reach;
    use tokio::time::Instant;

    use super::{PERIOD, Sweeps};

    fn swept(took: Duration) -> (Sweeps, Instant) {
        let now = Instant::now();
        (Sweeps { ended: Some(now), took, ..Sweeps::new() }, now)
    }

    #[test]
    fn the_first_claim_is_a_sweep() {
        assert!(Sweeps::new().is_due(Instant::now()));
    }

    #[test]
    fn a_busy_queue_is_swept_every_second() {
        let (sweeps, ended) = swept(Duration::from_millis(1));
        assert!(!sweeps.is_due(ended + PERIOD / 2));
        assert!(sweeps.is_due(ended + PERIOD));
    }

    #[test]
    fn sweeps_that_find_nothing_become_rarer() {
        let (mut sweeps, ended) = swept(Duration::from_millis(1));
        let floors = sweeps.floors();
        for rest in [9, 18, 36, 72, 144, 288, 576, 1000, 1000] {
            sweeps.learn(Reach::Above(&floors), 10, &[]);
            assert_eq!(sweeps.wanted_at(), Some(ended + Duration::from_millis(rest)));
            sweeps.learn(Reach::Sweep(&floors), 10, &[]);
        }
    }

    #[test]
    fn a_short_claim_brings_the_next_sweep_and_sweeps_take_no_more_than_a_tenth_of_the_time() {
        for (took, rest) in [(1, 9), (20, 1000), (3000, 27_000)] {
            let (mut sweeps, ended) = swept(Duration::from_millis(took));
            let (floors, rest) = (sweeps.floors(), Duration::from_millis(rest));
            sweeps.learn(Reach::Above(&floors), 10, &[]);
            assert!(!sweeps.is_due(ended + rest - Duration::from_millis(1)));
            assert!(sweeps.is_due(ended + rest));
            assert_eq!(sweeps.wanted_at(), Some(ended + rest));
            sweeps.learn(Reach::Sweep(&floors), 10, &[]);
            assert_eq!(sweeps.wanted_at(), None, "there is nothing below the floors");
        }
    }
}
