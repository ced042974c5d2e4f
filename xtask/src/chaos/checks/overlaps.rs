//! No job has two live leases at once: seen as two runs of it at work at the same time.
//!
//! The lease itself is one column of one row and cannot be there twice. What can go wrong is that a handler is at work
//! whose lease has passed to another one, so this looks at the handlers: a run is at work from its beginning until it was
//! last seen (by a tick, a commit, a refusal). It is wrong if that reaches beyond the beginning of another run of the job.
//!
//! No false alarms: all processes note the time of one clock, before they do something; the end of a run is not counted
//! as work, as it may be noted late; what cannot be helped after a stop is excused, at the beginning of a run as well as
//! later, since a claim may have been answered just before the stop (see `excuses.rs`); and jobs that block their thread
//! are left out, because nobody can stop a thread.
//!
//! Not seen: a handler that goes on for less than a tick, or that only waits for the database.

use super::Evidence;
use crate::chaos::{clock::Moment, jobs::Kind, runs::Run};

pub(super) fn find(evidence: &Evidence) -> Vec<String> {
    let mut overlaps = Vec::new();
    let candidates = evidence.runs.by_number.iter().filter(|(_, runs)| runs.len() > 1);
    for (number, runs) in candidates {
        let mut at_work: Vec<(Moment, Moment, &Run)> =
            runs.iter().filter(|run| run.kind != Kind::Stubborn).filter_map(|run| work(evidence, run)).collect();
        at_work.sort_by_key(|(from, until, _)| (*from, *until));
        // The one that was seen last, among those that began before.
        let mut latest: Option<(Moment, &Run)> = None;
        for (from, until, run) in at_work {
            if let Some((seen, other)) = latest.filter(|(seen, _)| *seen > from) {
                overlaps.push(describe(evidence, *number, (other, seen), (run, from)));
            }
            if latest.is_none_or(|(seen, _)| until > seen) {
                latest = Some((until, run));
            }
        }
    }
    overlaps
}

/// From when until when a run was seen at work, by what counts.
fn work<'r>(evidence: &Evidence, run: &'r Run) -> Option<(Moment, Moment, &'r Run)> {
    let seen = [run.begun].into_iter().chain(run.acts.iter().copied());
    let mut counts = seen.filter(|at| !evidence.excuses(run.id.process, *at));
    let first = counts.next()?;
    Some((first, counts.next_back().unwrap_or(first), run))
}

fn describe(evidence: &Evidence, number: i64, (one, seen): (&Run, Moment), (other, from): (&Run, Moment)) -> String {
    format!(
        "job {} (number {number}, {}): run {} was at work at {}{}, {:.0} ms after run {} had begun{}",
        one.job,
        one.kind,
        one.id,
        evidence.at(seen),
        evidence.what_happened_to(one.id.process, seen),
        seen.since(from).as_secs_f64() * 1000.0,
        other.id,
        evidence.what_happened_to(other.id.process, from),
    )
}

#[cfg(test)]
mod tests {
    use super::super::story::Story;

    #[test]
    fn a_run_that_is_at_work_after_another_one_has_begun_is_an_overlap() {
        let story = Story::new().begun("1.1", 100).tick("1.1", 200).begun("2.1", 300).tick("1.1", 301).tick("2.1", 350);
        assert_eq!(story.clone().findings().overlaps.len(), 1);
        assert!(story.clone().findings().overlaps[0].contains("run 1.1 was at work at 0.301 s, 1 ms after run 2.1"));
        // Also if the other one is over long before.
        let story = Story::new().begun("1.1", 100).begun("2.1", 300).tick("2.1", 350).tick("1.1", 9000);
        assert_eq!(story.findings().overlaps.len(), 1);
    }

    #[test]
    fn a_commit_and_a_refusal_are_work_too() {
        let story = Story::new().begun("1.1", 100).begun("2.1", 300);
        assert_eq!(story.clone().committing("1.1", 400).findings().overlaps.len(), 1);
        assert_eq!(story.clone().refused("1.1", 400).findings().overlaps.len(), 1);
        assert_eq!(story.ended("1.1", 400).findings().overlaps.len(), 0, "its end is not");
    }

    #[test]
    fn one_after_the_other_is_no_overlap() {
        let story =
            Story::new().begun("1.1", 100).tick("1.1", 200).begun("2.1", 201).tick("2.1", 250).begun("1.2", 300);
        assert_eq!(story.findings().overlaps.len(), 0);
    }

    #[test]
    fn who_was_stopped_needs_a_moment() {
        let story = Story::new().begun("1.1", 100).tick("1.1", 200).stopped(1, 250, 20_000).begun("2.1", 17_000);
        let story = story.tick("2.1", 22_000);
        assert_eq!(story.clone().tick("1.1", 20_400).findings().overlaps.len(), 0);
        assert_eq!(story.clone().tick("1.1", 20_501).findings().overlaps.len(), 1, "but not longer");
        // The claim was answered before the stop, the handler begins after it.
        let late = story.begun("1.9", 20_050).tick("1.9", 20_080);
        assert_eq!(late.findings().overlaps.len(), 0);
    }

    #[test]
    fn who_was_cut_off_has_a_clock() {
        let story = Story::new().begun("1.1", 100).cut(1, 250, 20_000).begun("2.1", 17_000);
        assert_eq!(story.clone().tick("1.1", 14_000).findings().overlaps.len(), 0, "it has stopped in time");
        assert_eq!(story.tick("1.1", 17_001).findings().overlaps.len(), 1);
    }

    #[test]
    fn nobody_can_stop_a_thread() {
        let story = Story::of("stubborn").begun("1.1", 100).begun("2.1", 300).refused("1.1", 400);
        assert_eq!(story.findings().overlaps.len(), 0);
    }
}
