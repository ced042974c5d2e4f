//! What is measured: a scenario is one case or a few, and a case is what a run consists of.

mod messages;

use std::time::Duration;

use crate::contestants::OURS;

/// What a case is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Measure {
    /// Jobs per second; more is better.
    Rate,
    /// Messages received per second; more is better.
    Received,
    /// The time from before a job is enqueued to its handler, of which 99 % stay below; less is better.
    P99,
    /// What is left of the first rate at the end; more is better.
    Kept,
    /// Transactions per second of a worker that has nothing to do; less is better.
    Transactions,
}

impl Measure {
    pub(crate) fn unit(self) -> &'static str {
        match self {
            Measure::Rate => "jobs/s",
            Measure::Received => "messages/s",
            Measure::P99 => "ms p99",
            Measure::Kept => "of the first rate",
            Measure::Transactions => "transactions/s",
        }
    }

    pub(crate) fn less_is_better(self) -> bool {
        matches!(self, Measure::P99 | Measure::Transactions)
    }

    /// How many times better ours is.
    pub(crate) fn ratio(self, ours: f64, peer: f64) -> Option<f64> {
        let ratio = if self.less_is_better() { peer / ours } else { ours / peer };
        ratio.is_finite().then_some(ratio)
    }
}

/// Who enqueues or publishes while it is measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Producer {
    Nobody,
    /// So many tasks, each awaiting one enqueue after the other; in all so many a second, or as many as they can when
    /// that is zero.
    Tasks {
        tasks: u32,
        rate: f64,
    },
    /// The same with messages that are published, in all at most so many.
    Publishers {
        tasks: u32,
        rate: f64,
        most: Option<u64>,
    },
    /// So many jobs in few calls.
    Bulk {
        jobs: u64,
    },
}

/// Who works or listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Consumer {
    Nobody,
    /// So many processes with a worker each.
    Workers(usize),
    /// One loop that takes and finishes jobs by hand.
    Hand,
    /// So many subscribers, each with a topic of its own, in one process.
    Subscribers(u32),
}

/// What one run consists of.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Steps {
    /// Jobs that are there before it is measured.
    pub(crate) preload: u64,
    /// Jobs beside them that are due next week.
    pub(crate) resting: u64,
    pub(crate) producer: Producer,
    pub(crate) consumer: Consumer,
    /// How long jobs are enqueued or, when nobody does that, how long is looked on.
    pub(crate) time: Duration,
    /// Whether another session holds a snapshot open all the while.
    pub(crate) pinned: bool,
    /// Whether what counts is the rate of enqueuing, though somebody works as well.
    pub(crate) counts_enqueued: bool,
    /// Further parameters of the contestants' programs.
    pub(crate) params: Vec<(&'static str, u64)>,
}

impl Default for Steps {
    fn default() -> Self {
        Steps {
            preload: 0,
            resting: 0,
            producer: Producer::Nobody,
            consumer: Consumer::Nobody,
            time: Duration::ZERO,
            pinned: false,
            counts_enqueued: false,
            params: Vec::new(),
        }
    }
}

impl Steps {
    /// What there is many of.
    pub(crate) fn thing(&self) -> &'static str {
        if matches!(self.producer, Producer::Publishers { .. }) { "message" } else { "job" }
    }
}

/// One line of results.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) measure: Measure,
    pub(crate) ours: Steps,
    /// What ours does instead when it is its own peer: the same without what the scenario is about.
    pub(crate) ours_as_peer: Option<Steps>,
    pub(crate) runs: usize,
}

/// A scenario, and who it is for when no other peer is asked for.
#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) peer: &'static str,
    seconds: f64,
    cases: fn(&Scenario, f64) -> Vec<Case>,
}

impl Scenario {
    /// Its cases, for about so many seconds instead of its usual length.
    pub(crate) fn cases(&self, seconds: Option<f64>) -> Vec<Case> {
        (self.cases)(self, seconds.unwrap_or(self.seconds))
    }

    fn case(&self, measure: Measure, ours: Steps) -> Case {
        Case { name: self.name.to_owned(), measure, ours, ours_as_peer: None, runs: RUNS }
    }
}

/// How often each case is run unless told otherwise.
const RUNS: usize = 5;

/// How many jobs are preloaded for each second that a drain is to take; it takes much less of the fast ones.
const DRAIN: f64 = 20_000.0;

/// All of them, in the order of `scenarios.txt`.
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario { name: "enqueue-1", peer: "raw", seconds: 4.0, cases: |it, time| enqueue(it, 1, time) },
    Scenario { name: "enqueue-16", peer: "raw", seconds: 4.0, cases: |it, time| enqueue(it, 16, time) },
    Scenario { name: "enqueue-64", peer: "raw", seconds: 4.0, cases: |it, time| enqueue(it, 64, time) },
    Scenario { name: "enqueue-many", peer: "raw", seconds: 5.0, cases: enqueue_many },
    Scenario { name: "enqueue-notify", peer: OURS, seconds: 5.0, cases: enqueue_notify },
    Scenario { name: "drain", peer: "bare-loop", seconds: 5.0, cases: drain },
    Scenario { name: "drain-raw", peer: "bare-loop", seconds: 5.0, cases: drain_raw },
    Scenario { name: "drain-1ms", peer: "tokio-loop", seconds: 5.0, cases: drain_1ms },
    Scenario { name: "drain-4x", peer: OURS, seconds: 5.0, cases: drain_4x },
    Scenario { name: "drain-16q", peer: OURS, seconds: 5.0, cases: drain_16q },
    Scenario { name: "pickup", peer: "bare-loop", seconds: 10.0, cases: pickup },
    Scenario { name: "sustained", peer: "bare-loop", seconds: 10.0, cases: sustained },
    Scenario { name: "whole-life", peer: "bare-loop", seconds: 5.0, cases: whole_life },
    Scenario { name: "pinned", peer: "bare-loop", seconds: 1800.0, cases: pinned },
    Scenario { name: "scheduled", peer: OURS, seconds: 5.0, cases: scheduled },
    Scenario { name: "idle", peer: "bare-loop", seconds: 20.0, cases: idle },
    Scenario { name: "publish", peer: "redis", seconds: 5.0, cases: messages::publish },
    Scenario { name: "subscribers", peer: OURS, seconds: 5.0, cases: messages::subscribers },
    Scenario { name: "log", peer: "bare-loop", seconds: 5.0, cases: messages::log },
    Scenario { name: "log-pinned", peer: OURS, seconds: 20.0, cases: messages::log_pinned },
];

/// The scenario of this name.
pub(crate) fn find(name: &str) -> Option<&'static Scenario> {
    SCENARIOS.iter().find(|scenario| scenario.name == name)
}

fn jobs(seconds: f64) -> u64 {
    (seconds * DRAIN).round().max(1.0) as u64
}

fn time(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

fn enqueue(scenario: &Scenario, tasks: u32, seconds: f64) -> Vec<Case> {
    let producer = Producer::Tasks { tasks, rate: 0.0 };
    vec![scenario.case(Measure::Rate, Steps { producer, time: time(seconds), ..Steps::default() })]
}

fn enqueue_many(scenario: &Scenario, seconds: f64) -> Vec<Case> {
    let producer = Producer::Bulk { jobs: jobs(seconds) };
    vec![scenario.case(Measure::Rate, Steps { producer, ..Steps::default() })]
}

fn enqueue_notify(scenario: &Scenario, seconds: f64) -> Vec<Case> {
    let ours = Steps {
        producer: Producer::Tasks { tasks: 16, rate: 0.0 },
        consumer: Consumer::Workers(1),
        time: time(seconds),
        counts_enqueued: true,
        ..Steps::default()
    };
    let without_trigger = Steps { params: vec![("trigger", 0)], ..ours.clone() };
    vec![Case { ours_as_peer: Some(without_trigger), ..scenario.case(Measure::Rate, ours) }]
}

fn draining(seconds: f64) -> Steps {
    let consumer = Consumer::Workers(1);
    Steps { preload: jobs(seconds), consumer, ..Steps::default() }
}

fn drain(scenario: &Scenario, seconds: f64) -> Vec<Case> {
    vec![scenario.case(Measure::Rate, draining(seconds))]
}

fn drain_raw(scenario: &Scenario, seconds: f64) -> Vec<Case> {
    let ours = Steps { consumer: Consumer::Hand, params: vec![("batch", 500)], ..draining(seconds) };
    vec![scenario.case(Measure::Rate, ours)]
}

fn drain_1ms(scenario: &Scenario, seconds: f64) -> Vec<Case> {
    // A timer of tokio takes up to twice the millisecond, so half of this is what can be had.
    [4, 64, 256]
        .into_iter()
        .map(|concurrency: u32| {
            let preload = (seconds * f64::from(concurrency) * 500.0).min(100_000.0) as u64;
            let params = vec![("concurrency", u64::from(concurrency)), ("handler_us", 1000)];
            let ours = Steps { preload, consumer: Consumer::Workers(1), params, ..Steps::default() };
            Case { name: format!("{}-{concurrency}", scenario.name), ..scenario.case(Measure::Rate, ours) }
        })
        .collect()
}

fn drain_4x(scenario: &Scenario, seconds: f64) -> Vec<Case> {
    let ours = Steps { consumer: Consumer::Workers(4), ..draining(seconds) };
    vec![Case { ours_as_peer: Some(draining(seconds)), ..scenario.case(Measure::Rate, ours) }]
}

fn drain_16q(scenario: &Scenario, seconds: f64) -> Vec<Case> {
    let ours = Steps { params: vec![("queues", 16)], ..draining(seconds) };
    vec![Case { ours_as_peer: Some(draining(seconds)), ..scenario.case(Measure::Rate, ours) }]
}

fn pickup(scenario: &Scenario, seconds: f64) -> Vec<Case> {
    [(50, 1), (300, 4), (3000, 16)]
        .into_iter()
        .map(|(rate, tasks)| {
            let ours = live(Producer::Tasks { tasks, rate: f64::from(rate) }, seconds);
            Case { name: format!("{}-{rate}", scenario.name), ..scenario.case(Measure::P99, ours) }
        })
        .collect()
}

fn live(producer: Producer, seconds: f64) -> Steps {
    let consumer = Consumer::Workers(1);
    Steps { producer, consumer, time: time(seconds), ..Steps::default() }
}

fn sustained(scenario: &Scenario, seconds: f64) -> Vec<Case> {
    let unpaced = live(Producer::Tasks { tasks: 16, rate: 0.0 }, seconds);
    let paced = live(Producer::Tasks { tasks: 16, rate: 2000.0 }, seconds);
    vec![
        scenario.case(Measure::Rate, unpaced),
        Case { name: format!("{}-2000", scenario.name), ..scenario.case(Measure::P99, paced) },
    ]
}

fn whole_life(scenario: &Scenario, seconds: f64) -> Vec<Case> {
    vec![scenario.case(Measure::Rate, live(Producer::Bulk { jobs: jobs(seconds) }, 0.0))]
}

fn pinned(scenario: &Scenario, seconds: f64) -> Vec<Case> {
    let ours = Steps { pinned: true, ..live(Producer::Tasks { tasks: 16, rate: 2000.0 }, seconds) };
    vec![Case { runs: 1, ..scenario.case(Measure::Kept, ours) }]
}

fn scheduled(scenario: &Scenario, seconds: f64) -> Vec<Case> {
    let ours = Steps { resting: 1_000_000, ..draining(seconds) };
    vec![Case { ours_as_peer: Some(draining(seconds)), ..scenario.case(Measure::Rate, ours) }]
}

fn idle(scenario: &Scenario, seconds: f64) -> Vec<Case> {
    let consumer = Consumer::Workers(1);
    let ours = Steps { consumer, time: time(seconds), ..Steps::default() };
    vec![Case { runs: 3, ..scenario.case(Measure::Transactions, ours) }]
}

#[cfg(test)]
mod tests {
    use super::{Measure, SCENARIOS, Steps};
    use crate::contestants::{self, CONTESTANTS};

    #[test]
    fn every_scenario_has_cases_that_can_be_run() {
        for scenario in SCENARIOS {
            assert!(contestants::find(scenario.peer).is_some(), "{}", scenario.name);
            for case in scenario.cases(None) {
                assert_ne!(case.ours, Steps::default(), "{}", case.name);
                assert!(case.runs > 0 && case.name.starts_with(scenario.name));
            }
        }
    }

    #[test]
    fn the_list_that_users_see_has_all_and_no_more() {
        let list = include_str!("../../scenarios.txt");
        let names = |title: &str| -> Vec<&str> {
            let part = list.split(title).nth(1).expect("there is such a title");
            let lines = part.lines().skip(1).take_while(|line| line.starts_with("  "));
            lines.filter(|line| !line.starts_with("   ")).filter_map(|line| line.split_whitespace().next()).collect()
        };
        let scenarios: Vec<&str> = SCENARIOS.iter().map(|it| it.name).chain(["gate"]).collect();
        assert_eq!(names("Scenarios"), scenarios);
        let contestants: Vec<&str> = CONTESTANTS.iter().map(|it| it.name).collect();
        assert_eq!(names("Peers"), contestants);
    }

    #[test]
    fn a_ratio_above_one_is_in_our_favour() {
        assert_eq!(Measure::Rate.ratio(300.0, 100.0), Some(3.0));
        assert_eq!(Measure::P99.ratio(2.0, 8.0), Some(4.0));
        assert_eq!(Measure::Rate.ratio(1.0, 0.0), None);
    }
}
