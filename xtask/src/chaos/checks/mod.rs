//! What is wrong, found from outside: in the logs of the processes, in the tables, and in what the producers were promised.
//!
//! Each check says what it may not hold against the library, and what it cannot see.

mod effects;
mod ends;
mod excuses;
mod overlaps;
mod promises;
mod recovery;
#[cfg(test)]
mod story;

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

pub(super) use self::recovery::Recovery;
use super::{clock::Moment, faults::Fault, log::End, runs::Runs, tables::Effect};

/// For so long a fault may explain what happens after it.
const SHORTLY: Duration = Duration::from_secs(5);

/// All that is known at the end.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    /// When it all began: messages count from there.
    pub(super) began: Moment,
    /// Answered enqueues: the ids of jobs by their numbers.
    pub(super) acknowledged: HashMap<i64, i64>,
    /// Numbers of jobs that were enqueued in transactions which were never told to commit.
    pub(super) rolled_back: HashSet<i64>,
    pub(super) runs: Runs,
    pub(super) effects: Vec<Effect>,
    /// Jobs in the history, and whether they are there as completed.
    pub(super) history: HashMap<i64, bool>,
    /// Jobs that have not finished, with what is known of each.
    pub(super) leftovers: Vec<(i64, String)>,
    pub(super) faults: Vec<Fault>,
}

/// What was found. Everything but the last two lists what must not be.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Findings {
    pub(super) lost: Vec<String>,
    pub(super) overlaps: Vec<String>,
    pub(super) double_effects: Vec<String>,
    /// What was written by a run although a later run had begun.
    pub(super) stale_writes: Vec<String>,
    /// Runs that began after the job's completion was committed.
    pub(super) revived: Vec<String>,
    /// Effects whose commit was answered and that are not there.
    pub(super) undone: Vec<String>,
    /// Runs of jobs whose enqueue was never committed.
    pub(super) ghosts: Vec<String>,
    pub(super) recovery: Recovery,
    /// Runs that began because an earlier one was broken off.
    pub(super) reruns: u64,
}

impl Evidence {
    pub(super) fn judge(&self) -> Findings {
        let (mut stale_writes, revived) = effects::out_of_turn(self);
        stale_writes.extend(ends::unfounded(self));
        Findings {
            lost: promises::lost(self),
            overlaps: overlaps::find(self),
            double_effects: effects::double(self),
            stale_writes,
            revived,
            undone: effects::undone(self),
            ghosts: promises::ghosts(self),
            recovery: recovery::measure(self),
            reruns: self.reruns(),
        }
    }

    /// Not the attempts that follow one that has failed by itself, nor the first ones after an operator has put the job back.
    fn reruns(&self) -> u64 {
        let was_broken_off = |end: Option<End>| matches!(end, None | Some(End::Done | End::Dropped));
        let of_job = |runs: &Vec<super::runs::Run>| {
            let pairs = runs.windows(2);
            let again = pairs.filter(|pair| pair[1].attempt > pair[0].attempt);
            again.filter(|pair| was_broken_off(pair[0].ended.map(|(_, end)| end))).count() as u64
        };
        self.runs.by_number.values().map(of_job).sum()
    }

    /// A moment as seconds from the beginning.
    fn at(&self, moment: Moment) -> String {
        format!("{:.3} s", moment.since(self.began).as_secs_f64())
    }

    /// What was done to a process shortly before a moment.
    fn what_happened_to(&self, process: u32, before: Moment) -> String {
        let mut latest_first = self.faults.iter().rev().filter(|fault| fault.process == process);
        let latest = latest_first.find(|fault| fault.from <= before && fault.until.plus(SHORTLY) >= before);
        latest.map_or(String::new(), |fault| {
            let (from, until) = (self.at(fault.from), self.at(fault.until));
            format!(" (process {process} was {} from {from} to {until})", fault.what)
        })
    }
}
