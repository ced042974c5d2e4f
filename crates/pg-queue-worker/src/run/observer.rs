//! Judging by one's own clock who has stopped beating.

use std::{collections::HashMap, time::Duration};

use pg_queue_core::WorkerId;

use super::clock::Moment;

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

/// A worker that counts as alive, as a look finds it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sign {
    pub(super) worker: WorkerId,
    pub(super) beat: i64,
    /// The time between two of its beats, as it has said itself.
    pub(super) interval: Duration,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    beat: i64,
    since: Moment,
    /// How often this beat was seen. Time alone is not enough: an observer that slept has not watched.
    times: u32,
}

impl Observer {
    /// An observer that looks about every `interval`, from `now` on.
    pub(super) fn new(interval: Duration, now: Moment) -> Self {
        Self { interval, looked: now, seen: HashMap::new() }
    }

    /// Begins to watch anew: after a failover, because the new server may lack a beat that the old one has answered shortly
    /// before. Whoever went on counting from the beat before it would count longer than the one who sent it.
    pub(super) fn begin_anew(&mut self) {
        self.seen.clear();
    }

    /// Takes what a look at `now` has found, and answers whose beat has stood still for three of its intervals, with that
    /// beat.
    pub(super) fn silent(&mut self, now: Moment, signs: impl IntoIterator<Item = Sign>) -> Vec<(WorkerId, i64)> {
        if now.since(self.looked) > self.interval * 2 {
            // This process has slept, or was cut off: it begins to watch anew.
            self.seen.clear();
        }
        self.looked = now;
        let mut silent = Vec::new();
        let mut seen = HashMap::new();
        for Sign { worker, beat, interval } in signs {
            let fresh = Seen { beat, since: now, times: 0 };
            let mut known = self.seen.get(&worker).copied().filter(|known| known.beat == beat).unwrap_or(fresh);
            known.times += 1;
            if known.times >= MISSED_BEATS && now.since(known.since) >= interval * MISSED_BEATS {
                silent.push((worker, beat));
            }
            seen.insert(worker, known);
        }
        self.seen = seen;
        silent
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::clock;

    const INTERVAL: Duration = Duration::from_secs(5);

    /// An observer that looks every five seconds at one worker, whose beats are those of `beats`; answers at which of the
    /// looks it was found silent.
    fn found_silent(beats: &[i64], mut before: impl FnMut(usize, &mut Observer, &mut Moment)) -> Vec<usize> {
        let mut now = clock::now();
        let mut observer = Observer::new(INTERVAL, now);
        let worker = WorkerId::random();
        let mut found = Vec::new();
        for (look, &beat) in beats.iter().enumerate() {
            before(look, &mut observer, &mut now);
            let silent = observer.silent(now, [Sign { worker, beat, interval: INTERVAL }]);
            assert!(silent.iter().all(|silent| *silent == (worker, beat)));
            if !silent.is_empty() {
                found.push(look);
            }
            now = now + INTERVAL;
        }
        found
    }

    #[test]
    fn whoever_misses_three_beats_is_silent() {
        assert_eq!(found_silent(&[7, 7, 7, 7, 7], |_, _, _| {}), [3, 4]);
        assert_eq!(found_silent(&[7, 8, 8, 8, 8], |_, _, _| {}), [4]);
        assert!(found_silent(&[7, 7, 7, 8, 8, 8, 9], |_, _, _| {}).is_empty());
    }

    /// A beat that counts backwards is another beat too: a failover took some back.
    #[test]
    fn any_other_beat_is_a_sign_of_life() {
        assert!(found_silent(&[7, 7, 7, 5, 5, 5, 4], |_, _, _| {}).is_empty());
    }

    #[test]
    fn an_observer_that_slept_begins_to_watch_anew() {
        let slept = |look, _: &mut Observer, now: &mut Moment| {
            if look == 2 {
                *now = *now + INTERVAL * 2;
            }
        };
        assert_eq!(found_silent(&[7, 7, 7, 7, 7, 7], slept), [5]);
    }

    #[test]
    fn an_observer_that_may_look_at_another_server_begins_to_watch_anew() {
        let failover = |look, observer: &mut Observer, _: &mut Moment| {
            if look == 2 {
                observer.begin_anew();
            }
        };
        assert_eq!(found_silent(&[7, 7, 7, 7, 7, 7], failover), [5]);
    }

    #[test]
    fn looking_often_does_not_make_anybody_die_sooner() {
        let hasty = |_, _: &mut Observer, now: &mut Moment| *now = *now + Duration::from_millis(100);
        assert_eq!(found_silent(&[7; 4], hasty), [3]);
        let mut now = clock::now();
        let mut observer = Observer::new(INTERVAL, now);
        let sign = Sign { worker: WorkerId::random(), beat: 7, interval: INTERVAL };
        for _ in 0..150 {
            assert!(observer.silent(now, [sign]).is_empty());
            now = now + Duration::from_millis(100);
        }
        assert_eq!(observer.silent(now, [sign]).len(), 1);
    }

    /// Each goes by the interval that it has registered with, not by the observer's own.
    #[test]
    fn a_worker_with_a_slower_heart_is_given_more_time() {
        let mut now = clock::now();
        let mut observer = Observer::new(INTERVAL, now);
        let slow = Sign { worker: WorkerId::random(), beat: 1, interval: INTERVAL * 4 };
        for _ in 0..12 {
            assert!(observer.silent(now, [slow]).is_empty());
            now = now + INTERVAL;
        }
        assert_eq!(observer.silent(now, [slow]), [(slow.worker, 1)]);
    }
}
