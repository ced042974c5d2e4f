//! How long it takes until a job runs again that a fault has broken off.
//!
//! For each run that was at work when its process was killed, stopped or cut off: the time from then until the next run of
//! the job begins. If none begins, then the job had an end: it was completed after all (by a commit that was on its way),
//! discarded or cancelled. The next run is one with a higher attempt: a job that an operator has tried again starts from the
//! first one, and how long he took is not ours.
//!
//! Whoever has claimed the job by then may be hit as well, before his handler begins. The attempt that he has spent shows it:
//! then the time is that of so many recoveries, and is divided among them.

use std::time::Duration;

use super::Evidence;
use crate::chaos::{faults::Fault, runs::Run};

/// How long it took, the shortest first, and what it was.
#[derive(Debug, Default, PartialEq)]
pub(in crate::chaos) struct Recovery(Vec<(Duration, String)>);

impl Recovery {
    pub(in crate::chaos) fn count(&self) -> usize {
        self.0.len()
    }

    pub(in crate::chaos) fn median(&self) -> Option<Duration> {
        self.0.get(self.0.len().saturating_sub(1) / 2).map(|(time, _)| *time)
    }

    pub(in crate::chaos) fn longest(&self) -> Option<Duration> {
        self.0.last().map(|(time, _)| *time)
    }

    /// What took longest.
    pub(in crate::chaos) fn slowest(&self) -> &str {
        self.0.last().map_or("", |(_, what)| what)
    }

    /// Those that took longer than this, each in a line.
    pub(in crate::chaos) fn longer_than(&self, limit: Duration) -> Vec<String> {
        self.0.iter().rev().take_while(|(time, _)| *time > limit).map(|(_, what)| what.clone()).collect()
    }
}

pub(super) fn measure(evidence: &Evidence) -> Recovery {
    let of_job = |runs: &Vec<Run>| {
        let broken = runs.iter().flat_map(|run| evidence.faults.iter().map(move |fault| (run, fault)));
        let broken = broken.filter(|(run, fault)| is_broken_by(run, fault));
        broken.filter_map(|(run, fault)| again(evidence, runs, run, fault)).collect::<Vec<_>>()
    };
    let mut times: Vec<(Duration, String)> = evidence.runs.by_number.values().flat_map(of_job).collect();
    times.sort_unstable();
    Recovery(times)
}

fn is_broken_by(run: &Run, fault: &Fault) -> bool {
    let is_at_work = run.begun <= fault.from && run.ended.is_none_or(|(at, _)| at >= fault.from);
    run.id.process == fault.process && is_at_work
}

fn again(evidence: &Evidence, runs: &[Run], broken: &Run, fault: &Fault) -> Option<(Duration, String)> {
    let next = runs.iter().find(|run| run.begun > fault.from && run.attempt > broken.attempt)?;
    let recoveries = u32::from(next.attempt - broken.attempt);
    let time = next.begun.since(fault.from) / recoveries;
    let what = format!(
        "job {} ({}): run {} was broken off at {}, when process {} was {} (until {}); run {} began {:.3} s \
         later, as attempt {} after {}",
        broken.job,
        broken.kind,
        broken.id,
        evidence.at(fault.from),
        fault.process,
        fault.what,
        evidence.at(fault.until),
        next.id,
        next.begun.since(fault.from).as_secs_f64(),
        next.attempt,
        broken.attempt,
    );
    Some((time, what))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::story::Story;

    fn times(story: Story) -> Vec<u64> {
        let times = story.findings().recovery.0;
        times.iter().map(|(time, _)| u64::try_from(time.as_millis()).expect("they are short")).collect()
    }

    #[test]
    fn it_is_the_time_from_the_fault_to_the_next_run() {
        let begun = Story::new().begun("1.1", 100);
        assert_eq!(times(begun.clone().killed(1, 1000).begun("2.1", 18_000)), [17_000]);
        assert_eq!(times(begun.clone().cut(1, 1000, 17_000).begun("2.1", 18_000).begun("2.2", 30_000)), [17_000]);
        assert_eq!(times(begun.stopped(1, 1000, 17_000).ended("1.1", 17_100).begun("1.2", 17_900)), [16_900]);
    }

    #[test]
    fn what_was_not_broken_off_needs_no_recovery() {
        let killed = Story::new().begun("1.1", 100).ended("1.1", 900).killed(1, 1000).begun("2.1", 18_000);
        assert_eq!(times(killed), [0; 0], "it had ended");
        let other = Story::new().begun("1.1", 100).killed(2, 1000).begun("3.1", 18_000);
        assert_eq!(times(other), [0; 0], "it was another process");
        let completed = Story::new().begun("1.1", 100).killed(1, 1000).effect("1.1");
        assert_eq!(times(completed), [0; 0], "it had committed");
    }

    #[test]
    fn who_was_hit_before_his_handler_began_had_a_recovery_of_his_own() {
        let story = Story::new().begun("1.1", 100).killed(1, 1000).attempt(3).begun("3.1", 31_000);
        assert_eq!(times(story), [15_000]);
    }

    #[test]
    fn what_an_operator_tries_again_is_not_counted() {
        let story = Story::new().begun("1.1", 100).killed(1, 1000).attempt(1).begun("2.1", 60_000);
        assert_eq!(times(story), [0; 0]);
    }

    #[test]
    fn the_median_and_the_longest_are_told() {
        let story = Story::new().begun("1.1", 100).killed(1, 1000).begun("2.1", 17_000).killed(2, 18_000);
        let recovery = story.begun("3.1", 30_000).killed(3, 31_000).begun("4.1", 45_000).findings().recovery;
        assert_eq!(recovery.count(), 3);
        assert_eq!(recovery.median(), Some(Duration::from_secs(14)));
        assert_eq!(recovery.longest(), Some(Duration::from_secs(16)));
        assert_eq!(recovery.longer_than(Duration::from_secs(15)).len(), 1);
        assert_eq!(super::Recovery::default().median(), None);
    }
}
