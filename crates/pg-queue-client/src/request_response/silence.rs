//! Noticing that responders have gone without a word.
//!
//! Workers declare each other dead. If the last one that answers a kind is killed, nobody is left to do so, and its callers have to
//! see for themselves that it does not beat any more.

use std::{collections::HashMap, time::Duration};

use pg_queue_core::{WorkerId, requests::Server};
use tokio::time::Instant;

/// How many beats a responder may miss, and how often this has to be seen at least: as among workers.
const MISSED_BEATS: u32 = 3;

/// What was not seen for so long is forgotten.
const FORGET_AFTER: Duration = Duration::from_secs(600);

/// What this process has seen of the beats of responders, on its own clock.
#[derive(Debug, Default)]
pub(super) struct Silence {
    seen: HashMap<WorkerId, Seen>,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    beat: i64,
    /// When the answer with this beat had come.
    since: Instant,
    times: u32,
    last: Instant,
}

impl Silence {
    /// Takes what a look has found that was asked for at `asked`, and whose answer came at `came`. Answers whether this
    /// responder has not beaten for three of its intervals.
    pub(super) fn is_silent(&mut self, server: &Server, asked: Instant, came: Instant) -> bool {
        let fresh = Seen { beat: server.beat, since: came, times: 0, last: came };
        let seen = self.seen.entry(server.id).or_insert(fresh);
        if seen.beat != server.beat {
            *seen = fresh;
        }
        seen.last = came;
        seen.times = seen.times.saturating_add(1);
        // Between the first answer and the last question, the shortest time that may have been.
        seen.times >= MISSED_BEATS && asked.saturating_duration_since(seen.since) >= server.beat_interval * MISSED_BEATS
    }

    /// Begins anew: the database was away, and nobody could beat.
    pub(super) fn begin_anew(&mut self) {
        self.seen.clear();
    }

    pub(super) fn forget_old(&mut self, now: Instant) {
        self.seen.retain(|_, seen| now.saturating_duration_since(seen.last) < FORGET_AFTER);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use pg_queue_core::{WorkerId, requests::Server};
    use tokio::time::Instant;

    use super::Silence;

    /// Looks every half second, each of which takes a tenth, at a responder that beats once a second until `until`. Answers after
    /// how many looks it is found silent.
    fn found_silent(until: i64, mut before: impl FnMut(u64, &mut Silence)) -> Option<u64> {
        let (start, mut silence, id) = (Instant::now(), Silence::default(), WorkerId::random());
        (0..40).find(|look| {
            before(*look, &mut silence);
            let beat = (i64::try_from(*look).unwrap() / 2).min(until);
            let asked = start + Duration::from_millis(look * 500);
            let server = Server { id, beat, beat_interval: Duration::from_secs(1) };
            silence.is_silent(&server, asked, asked + Duration::from_millis(100))
        })
    }

    #[test]
    fn who_beats_is_not_silent_and_who_has_missed_three_beats_is() {
        assert_eq!(found_silent(100, |_, _| {}), None);
        // Seen first at the look 8, and three seconds later at 14, whose question was sent before they were over.
        assert_eq!(found_silent(4, |_, _| {}), Some(15));
    }

    #[test]
    fn after_an_outage_everybody_has_time_to_beat_again() {
        let outage = |look, silence: &mut Silence| {
            if look == 14 {
                silence.begin_anew();
            }
        };
        assert_eq!(found_silent(4, outage), Some(21));
    }

    #[test]
    fn two_looks_far_apart_are_not_enough() {
        let (start, mut silence) = (Instant::now(), Silence::default());
        let server = Server { id: WorkerId::random(), beat: 1, beat_interval: Duration::from_secs(1) };
        let silent = [0, 10, 11].map(|second| {
            let at = start + Duration::from_secs(second);
            silence.is_silent(&server, at, at)
        });
        assert_eq!(silent, [false, false, true]);
    }
}
