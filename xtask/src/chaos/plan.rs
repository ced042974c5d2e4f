//! What is done to whom, and when: decided from a seed before anything begins.

use std::time::Duration;

use rand::{
    RngExt, SeedableRng,
    rngs::StdRng,
    seq::{IndexedRandom, SliceRandom},
};

use super::proxy::Loss;

/// Worker processes.
pub(super) const WORKERS: usize = 6;

/// Whoever is hit leaves at least so many that run, are connected and are not stopped: there is always somebody to rescue
/// and somebody to watch him.
const LEFT: usize = 3;

/// A worker is spared for twice so many beats, and two are at any time, by turns. Somebody who was just hit begins to
/// watch the others anew; were all of them hit within a lease, nobody would notice the first one's death in time, and the
/// library does not promise that.
const TURN: u32 = 6;

/// How long a killed worker is taken to be away. It is replaced at once; this is for its start.
const START: Duration = Duration::from_secs(1);

/// A private server is restarted once in so long.
const PER_RESTART: Duration = Duration::from_secs(60);

/// A stop and a cut last longer than a lease of three beats by this part of a beat: in a shorter one nothing happens. Not
/// much longer, because whoever is stopped or cut in the middle of a transaction keeps its job locked until its end, and
/// nobody can rescue that before.
const BEYOND_LEASE: std::ops::Range<f64> = 0.1..0.8;

/// Faults come one after the other after this part of a beat.
const PAUSE: std::ops::Range<f64> = 0.4..0.7;

/// One thing that is done.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum What {
    /// A worker is killed with SIGKILL, and another process takes its place.
    Kill(usize),
    /// A worker is stopped with SIGSTOP for so long.
    Stop(usize, Duration),
    /// The network between a worker and the server fails for so long, and nobody is told.
    Cut(usize, Duration, Loss),
    /// The server ends connections: all, or every third.
    EndBackends { all: bool },
    /// The server crashes and is started again.
    Restart,
}

/// When it is done.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Step {
    pub(super) at: Duration,
    pub(super) what: What,
}

/// What is drawn from, like cards: so a short run has its share of each as well.
#[derive(Debug, Clone, Copy)]
enum Card {
    Kill,
    Stop,
    Cut,
    EndBackends,
}

const DECK: [Card; 13] = {
    use Card::{Cut, EndBackends, Kill, Stop};
    [Kill, Kill, Kill, Kill, Kill, Kill, Stop, Stop, Stop, Cut, Cut, EndBackends, EndBackends]
};

/// What is done during a run of this length. All is well again at its end.
pub(super) fn steps(seed: u64, length: Duration, beat: Duration, with_restarts: bool) -> Vec<Step> {
    let mut dealer = Dealer::new(seed, length, beat);
    if with_restarts {
        dealer.restarts();
    }
    dealer.faults();
    dealer.steps.sort_by_key(|step| step.at);
    dealer.steps
}

struct Dealer {
    random: StdRng,
    length: Duration,
    beat: Duration,
    /// From when each worker is well.
    well_from: [Duration; WORKERS],
    /// Who is spared, and until when: the first one's second turn, the second one's first.
    spared: [usize; 2],
    turn_ends: Duration,
    deck: Vec<Card>,
    steps: Vec<Step>,
}

impl Dealer {
    fn new(seed: u64, length: Duration, beat: Duration) -> Dealer {
        let mut random = StdRng::seed_from_u64(seed);
        let first = random.random_range(0..WORKERS);
        Dealer {
            spared: [first, (first + 1) % WORKERS],
            random,
            length,
            beat,
            well_from: [Duration::ZERO; WORKERS],
            turn_ends: beat * TURN,
            deck: Vec::new(),
            steps: Vec::new(),
        }
    }

    /// Not at the beginning, when nothing has happened yet, nor at the end, when hardly anything can go wrong after it.
    fn restarts(&mut self) {
        let count = (self.length.as_secs_f64() / PER_RESTART.as_secs_f64()).round().max(1.0);
        let stretch = self.length.mul_f64(0.75 / count);
        for number in 0..count as u32 {
            let at = self.length / 10 + stretch * number + stretch.mul_f64(self.random.random_range(0.1..0.9));
            self.steps.push(Step { at, what: What::Restart });
        }
    }

    fn faults(&mut self) {
        let mut at = self.beat / 2;
        loop {
            at += self.beat.mul_f64(self.random.random_range(PAUSE));
            if at + self.beat / 4 > self.length {
                return;
            }
            self.take_turns(at);
            if self.deck.is_empty() {
                self.deck = DECK.to_vec();
                self.deck.shuffle(&mut self.random);
            }
            let Some(card) = self.deck.pop() else { return };
            if !self.play(card, at) {
                // Too many are away: it comes as soon as one is back.
                self.deck.push(card);
                let back = self.well_from.iter().filter(|from| **from > at).min();
                at = back.map_or(at, |back| *back - self.beat.mul_f64(PAUSE.start).min(*back));
            }
        }
    }

    /// Answers whether there was somebody to do it to.
    fn play(&mut self, card: Card, at: Duration) -> bool {
        if matches!(card, Card::EndBackends) {
            let all = self.random.random_bool(0.3);
            self.steps.push(Step { at, what: What::EndBackends { all } });
            return true;
        }
        let well: Vec<usize> = (0..WORKERS).filter(|worker| self.well_from[*worker] <= at).collect();
        let targets: Vec<usize> = well.iter().copied().filter(|worker| !self.spared.contains(worker)).collect();
        let Some(&target) = targets.choose(&mut self.random).filter(|_| well.len() > LEFT) else { return false };
        let lasts = self.beat * 3 + self.beat.mul_f64(self.random.random_range(BEYOND_LEASE));
        let loss = if self.random.random_bool(0.5) { Loss::Held } else { Loss::Lost };
        let is_over_in_time = at + lasts <= self.length;
        let (what, away) = match card {
            Card::Stop if is_over_in_time => (What::Stop(target, lasts), lasts),
            Card::Cut if is_over_in_time => (What::Cut(target, lasts, loss), lasts),
            _ => (What::Kill(target), Duration::ZERO),
        };
        self.well_from[target] = at + away + START;
        self.steps.push(Step { at, what });
        true
    }

    fn take_turns(&mut self, at: Duration) {
        while self.turn_ends <= at {
            let others = (0..WORKERS).filter(|worker| !self.spared.contains(worker));
            let well: Vec<usize> = others.clone().filter(|worker| self.well_from[*worker] <= at).collect();
            // Somebody of the others is well: see `LEFT`.
            let next = well.choose(&mut self.random).copied();
            let next = next.or_else(|| others.min_by_key(|worker| self.well_from[*worker])).unwrap_or_default();
            self.spared = [self.spared[1], next];
            self.turn_ends += self.beat * TURN;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{START, Step, WORKERS, What, steps};

    const BEAT: Duration = Duration::from_secs(5);
    const LONG: Duration = Duration::from_secs(300);

    fn plans(length: Duration, beat: Duration) -> impl Iterator<Item = Vec<Step>> {
        (0..500).map(move |seed| steps(seed, length, beat, true))
    }

    /// Who is hit, and how long it lasts.
    fn target(what: What) -> Option<(usize, Duration)> {
        match what {
            What::Kill(worker) => Some((worker, Duration::ZERO)),
            What::Stop(worker, lasts) | What::Cut(worker, lasts, _) => Some((worker, lasts)),
            What::EndBackends { .. } | What::Restart => None,
        }
    }

    fn count(steps: &[Step], is_it: fn(What) -> bool) -> usize {
        steps.iter().filter(|step| is_it(step.what)).count()
    }

    #[test]
    fn a_seed_says_it_all() {
        assert_eq!(steps(7, LONG, BEAT, true), steps(7, LONG, BEAT, true));
        assert_ne!(steps(7, LONG, BEAT, true), steps(8, LONG, BEAT, true));
    }

    #[test]
    fn enough_happens_in_five_minutes_and_some_of_everything_in_a_quarter_of_one() {
        for steps in plans(LONG, BEAT) {
            let deaths = count(&steps, |what| matches!(what, What::Kill(_) | What::Stop(..) | What::Restart));
            assert!(deaths >= 60, "{deaths}");
            assert_eq!(count(&steps, |what| what == What::Restart), 5);
            assert!(count(&steps, |what| matches!(what, What::Cut(..))) >= 8);
            let is_hit = |worker| absences(&steps).iter().any(|absence| absence.0 == worker);
            assert!((0..WORKERS).all(is_hit));
        }
        let short = (Duration::from_secs(15), Duration::from_secs(1));
        let given = (0..500).map(|seed| steps(seed, short.0, short.1, false));
        for steps in plans(short.0, short.1).chain(given) {
            for is_it in [
                (|what| matches!(what, What::Kill(_))) as fn(What) -> bool,
                |what| matches!(what, What::Stop(..)),
                |what| matches!(what, What::Cut(..)),
            ] {
                assert!(count(&steps, is_it) >= 1, "{steps:?}");
            }
        }
    }

    #[test]
    fn whatever_is_stopped_or_cut_goes_on_after_its_lease_and_before_the_end() {
        for steps in plans(LONG, BEAT) {
            let ends = steps.iter().filter_map(|step| target(step.what).map(|(_, lasts)| (step.at, lasts)));
            for (at, lasts) in ends.filter(|(_, lasts)| !lasts.is_zero()) {
                assert!(lasts > BEAT * 3 && lasts < BEAT * 4 && at + lasts <= LONG, "{lasts:?} from {at:?}");
            }
        }
    }

    #[test]
    fn nobody_is_hit_while_he_is_away() {
        for steps in plans(LONG, BEAT) {
            let absences = absences(&steps);
            for (number, (worker, from, _)) in absences.iter().enumerate() {
                let mut before = absences[..number].iter().filter(|(other, ..)| other == worker);
                assert!(before.all(|(_, _, until)| until <= from), "{worker} at {from:?}");
            }
        }
    }

    #[test]
    fn a_server_that_is_not_ours_is_not_restarted() {
        assert_eq!(count(&steps(7, LONG, BEAT, false), |what| what == What::Restart), 0);
    }

    /// Who is hit, and from when until when he is of no use to others.
    fn absences(steps: &[Step]) -> Vec<(usize, Duration, Duration)> {
        let absence = |step: &Step| target(step.what).map(|(worker, lasts)| (worker, step.at, step.at + lasts + START));
        steps.iter().filter_map(absence).collect()
    }

    #[test]
    fn there_are_always_workers_left() {
        for steps in plans(LONG, BEAT) {
            let absences = absences(&steps);
            for (_, at, _) in &absences {
                let away = absences.iter().filter(|(_, from, until)| from <= at && at < until).count();
                assert!(away <= 3, "{away} at {at:?}");
            }
        }
    }

    #[test]
    fn every_death_has_a_witness_that_nothing_happens_to_until_it_is_noticed() {
        for steps in plans(LONG, BEAT) {
            let absences = absences(&steps);
            for (victim, at, _) in &absences {
                let noticed = *at + BEAT * 5;
                let has_seen_it_all = |witness: usize| {
                    let mut its = absences.iter().filter(|(worker, ..)| *worker == witness);
                    // It may still be coming back a beat later: nobody is declared dead within three.
                    witness != *victim && its.all(|(_, from, until)| *until <= *at + BEAT || *from >= noticed)
                };
                assert!((0..WORKERS).any(has_seen_it_all), "of {victim} at {at:?}: {steps:?}");
            }
        }
    }
}
