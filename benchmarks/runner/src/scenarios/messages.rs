//! Messages to whoever is subscribed.

use super::{Case, Consumer, Measure, Producer, Scenario, Steps, jobs, live, time};

/// How many subscribers a process has that has many.
const MANY: u32 = 1000;

/// A run that is to have so many messages has them long before.
const LONGEST: f64 = 120.0;

fn steps(producer: Producer, subscribers: u32, seconds: f64) -> Steps {
    Steps { producer, consumer: Consumer::Subscribers(subscribers), time: time(seconds), ..Steps::default() }
}

/// One subscriber, and tasks that publish as fast as they can; and one that seldom does.
pub(super) fn publish(scenario: &Scenario, seconds: f64) -> Vec<Case> {
    let case = |name: &str, measure, tasks, rate| {
        let ours = steps(Producer::Publishers { tasks, rate, most: None }, 1, seconds);
        Case { name: format!("{}-{name}", scenario.name), ..scenario.case(measure, ours) }
    };
    vec![
        case("1", Measure::Received, 1, 0.0),
        case("16", Measure::Received, 16, 0.0),
        case("latency", Measure::P99, 1, 50.0),
    ]
}

/// As many messages for many subscribers as for one.
pub(super) fn subscribers(scenario: &Scenario, seconds: f64) -> Vec<Case> {
    let of = |count| steps(Producer::Publishers { tasks: 16, rate: 0.0, most: Some(jobs(seconds)) }, count, LONGEST);
    vec![Case { ours_as_peer: Some(of(1)), ..scenario.case(Measure::Received, of(MANY)) }]
}

/// Durable messages, published 1,000 a call beside a group that receives them; a peer has jobs instead.
pub(super) fn log(scenario: &Scenario, seconds: f64) -> Vec<Case> {
    vec![scenario.case(Measure::Rate, of_a_log(Producer::Bulk { jobs: jobs(seconds) }, 0.0))]
}

/// Durable messages from tasks that each await one, while a snapshot is held, beside the same without.
pub(super) fn log_pinned(scenario: &Scenario, seconds: f64) -> Vec<Case> {
    let without = of_a_log(Producer::Tasks { tasks: 64, rate: 0.0 }, seconds);
    let ours = Steps { pinned: true, ..without.clone() };
    vec![Case { ours_as_peer: Some(without), runs: 3, ..scenario.case(Measure::Rate, ours) }]
}

fn of_a_log(producer: Producer, seconds: f64) -> Steps {
    Steps { params: vec![("log", 1)], ..live(producer, seconds) }
}
