//! Which jobs were handled, how often, and how long after they were sent.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use serde::Serialize;
use tokio::time::sleep;

use crate::{Payload, usage};

/// One for the process: handlers of most contestants have no state to keep one in.
static LEDGER: OnceLock<Ledger> = OnceLock::new();

/// A slot for each job, which holds how long it took from being sent to its handler, so that one atomic write notes both.
pub(crate) struct Ledger {
    /// Microseconds, plus one; 0 while the job was not handled.
    slots: Vec<AtomicU32>,
    handled: AtomicU64,
    doubled: AtomicU64,
    /// Jobs of numbers that are none of this run.
    strange: AtomicU64,
    /// How long each handler works.
    pause: Duration,
}

/// What every handler awaits: notes the job, after the time that handlers take in this scenario.
pub async fn handle(job: &Payload) {
    if let Some(ledger) = LEDGER.get() {
        if !ledger.pause.is_zero() {
            sleep(ledger.pause).await;
        }
        ledger.note(job);
    }
}

/// The same for handlers that are no futures, which take no time.
pub fn handle_now(job: &Payload) {
    if let Some(ledger) = LEDGER.get() {
        ledger.note(job);
    }
}

/// Makes the ledger of this process, for jobs numbered from 0 to below `jobs`.
pub(crate) fn open(jobs: usize, pause: Duration) -> &'static Ledger {
    LEDGER.get_or_init(|| Ledger::new(jobs, pause))
}

/// How long jobs waited, in milliseconds.
#[derive(Debug, Default, PartialEq, Serialize)]
pub(crate) struct Latencies {
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) max_ms: f64,
}

impl Ledger {
    fn new(jobs: usize, pause: Duration) -> Self {
        let slots = (0..jobs).map(|_| AtomicU32::new(0)).collect();
        Self { slots, handled: 0.into(), doubled: 0.into(), strange: 0.into(), pause }
    }

    /// Notes the job, and answers when that was.
    pub(crate) fn note(&self, job: &Payload) -> u64 {
        let now = usage::now();
        let took = now.saturating_sub(job.sent);
        let took = u32::try_from(took).unwrap_or(u32::MAX).saturating_add(1);
        let slot = usize::try_from(job.id).ok().and_then(|id| self.slots.get(id));
        match slot.map(|slot| slot.swap(took, Relaxed)) {
            Some(0) => self.handled.fetch_add(1, Relaxed),
            Some(_) => self.doubled.fetch_add(1, Relaxed),
            None => self.strange.fetch_add(1, Relaxed),
        };
        now
    }

    /// How many different jobs were handled.
    pub(crate) fn handled(&self) -> u64 {
        self.handled.load(Relaxed)
    }

    /// How often a job was handled that had been before, or that is none of this run.
    pub(crate) fn doubled(&self) -> u64 {
        self.doubled.load(Relaxed) + self.strange.load(Relaxed)
    }

    /// A number that tells which jobs were handled. Those of several processes add up, wrapping, to that of all jobs
    /// exactly if each job was handled by one of them.
    pub(crate) fn checksum(&self) -> u64 {
        let handled = self.slots.iter().enumerate().filter(|(_, slot)| slot.load(Relaxed) > 0);
        handled.fold(0, |sum, (id, _)| sum.wrapping_add(mixed(id as u64)))
    }

    /// How long the jobs waited, without the first `skip` ones.
    pub(crate) fn latencies(&self, skip: usize) -> Latencies {
        let slots = self.slots.get(skip..).unwrap_or_default();
        let mut took: Vec<u32> = slots.iter().map(|slot| slot.load(Relaxed)).filter(|took| *took > 0).collect();
        took.sort_unstable();
        let at = |share: f64| {
            let rank = (took.len() as f64 * share).ceil() as usize;
            took.get(rank.saturating_sub(1)).map_or(0.0, |took| f64::from(took - 1) / 1000.0)
        };
        Latencies { p50_ms: at(0.5), p99_ms: at(0.99), max_ms: at(1.0) }
    }
}

/// What the checksums of all processes add up to when each of the jobs from 0 to below `jobs` was handled by one of them.
#[must_use]
pub fn checksum_of(jobs: u64) -> u64 {
    (0..jobs).map(mixed).fold(0, u64::wrapping_add)
}

/// Spreads the bits of a number, so that sums of few of them are hardly ever the same by chance: the finalizer of
/// SplitMix64 (Steele, Lea and Flood 2014).
fn mixed(id: u64) -> u64 {
    let id = id.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let id = (id ^ (id >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let id = (id ^ (id >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    id ^ (id >> 31)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Latencies, Ledger, checksum_of};
    use crate::{Payload, usage};

    fn job(id: u64, age_us: u64) -> Payload {
        Payload { sent: usage::now() - age_us, ..Payload::new(id) }
    }

    #[test]
    fn jobs_that_come_twice_or_from_elsewhere_are_told_from_the_others() {
        let ledger = Ledger::new(3, Duration::ZERO);
        for id in [0, 2, 0, 7] {
            ledger.note(&job(id, 0));
        }
        assert_eq!((ledger.handled(), ledger.doubled()), (2, 2));
    }

    #[test]
    fn the_checksums_of_processes_add_up_to_that_of_all_jobs() {
        let all = checksum_of(100);
        let (one, other) = (Ledger::new(100, Duration::ZERO), Ledger::new(100, Duration::ZERO));
        for id in 0..100 {
            if id % 3 == 0 { one.note(&job(id, 0)) } else { other.note(&job(id, 0)) };
        }
        assert_eq!(one.checksum().wrapping_add(other.checksum()), all);
        // As many jobs, but one of them in both processes and another in none.
        other.slots[1].store(0, std::sync::atomic::Ordering::Relaxed);
        other.note(&job(0, 0));
        assert_ne!(one.checksum().wrapping_add(other.checksum()), all);
    }

    #[test]
    fn latencies_are_those_of_the_jobs_that_count() {
        let ledger = Ledger::new(110, Duration::ZERO);
        assert_eq!(ledger.latencies(0), Latencies::default());
        for id in 0..10 {
            ledger.note(&job(id, 5_000_000));
        }
        for id in 10..109 {
            ledger.note(&job(id, 2_000));
        }
        ledger.note(&job(109, 900_000));
        let latencies = ledger.latencies(10);
        assert!((2.0..3.0).contains(&latencies.p50_ms), "{latencies:?}");
        assert!((2.0..3.0).contains(&latencies.p99_ms), "{latencies:?}");
        assert!(latencies.max_ms >= 900.0, "{latencies:?}");
    }
}
