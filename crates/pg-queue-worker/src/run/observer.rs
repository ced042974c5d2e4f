//! Judging by one's own clock who has stopped beating.

use std::{collections::HashMap, time::Duration};

use pg_queue_core::{WorkerId, workers::Observed};

use super::clock::{self, Moment};

/// How many beats a worker may miss.
const MISSED_BEATS: u32 = 3;

/// What this process has seen of the others.
///
/// Only what it has seen itself counts, on its own clock: no clock is compared with another one, so a clock that steps,
/// or an outage that silences everybody, makes nobody look dead.
#[derive(Debug)]
pub(super) struct Observer {
    interval: Duration,
    looked: Moment,
    seen: HashMap<WorkerId, Seen>,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    beat: i64,
    since: Moment,
    /// How often this beat was seen. Time alone is not enough: an observer that slept has not watched.
    times: u32,
}

impl Observer {
    /// An observer that looks about every `interval`.
    pub(super) fn new(interval: Duration) -> Self {
        Self { interval, looked: clock::now(), seen: HashMap::new() }
    }

    /// Begins to watch anew: after a failover, because the new server may lack a beat that the old one has answered shortly
    /// before. Whoever went on counting from the beat before it would count longer than the one who sent it.
    pub(super) fn begin_anew(&mut self) {
        self.seen.clear();
    }

    /// Takes a look and answers whose beat has stood still for three of its intervals, with that beat.
    pub(super) fn silent(&mut self, workers: &[Observed], me: WorkerId) -> Vec<(WorkerId, i64)> {
        if self.looked.elapsed() > self.interval * 2 {
            // This process has slept, or was cut off: it begins to watch anew.
            self.seen.clear();
        }
        self.looked = clock::now();
        let mut silent = Vec::new();
        let mut seen = HashMap::new();
        for worker in workers.iter().filter(|worker| worker.dead_for.is_none() && worker.id != me) {
            let fresh = Seen { beat: worker.beat, since: self.looked, times: 0 };
            let mut known =
                self.seen.get(&worker.id).copied().filter(|known| known.beat == worker.beat).unwrap_or(fresh);
            known.times += 1;
            if known.times >= MISSED_BEATS && known.since.elapsed() >= worker.beat_interval * MISSED_BEATS {
                silent.push((worker.id, known.beat));
            }
            seen.insert(worker.id, known);
        }
        self.seen = seen;
        silent
    }
}
