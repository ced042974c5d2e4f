//! An end is written by whoever has the job, and not by somebody who has had it: for the ends that leave no effect in the
//! transaction that writes them.
//!
//! A job that is in no table any more was completed. Whoever completed it has said so at the end of its handler, before it
//! was told to the database; and nobody can have begun a later run, since that would have made the completion a stale
//! one. So the last run of a job that is gone must have ended well. And a job whose effect was committed with its completion
//! cannot be in the history as discarded or cancelled.
//!
//! No false alarms: jobs that are in the history or not finished have another end, and what is transactional is judged by
//! its effects. A run that began within the moment that is allowed after a stop may be the last one, or not.
//!
//! Not seen: a stale failure that puts a job back, unless its rightful run is at work longer (see `overlaps.rs`).

use std::collections::HashSet;

use super::Evidence;
use crate::chaos::{jobs::Kind, log::End, runs::Run};

pub(super) fn unfounded(evidence: &Evidence) -> Vec<String> {
    let mut unfounded = Vec::new();
    let stuck: HashSet<i64> = evidence.leftovers.iter().map(|(job, _)| *job).collect();
    let is_gone = |job: &i64| !evidence.history.contains_key(job) && !stuck.contains(job);
    for (number, runs) in &evidence.runs.by_number {
        let counts = |run: &Run| !evidence.excuses(run.id.process, run.begun);
        let last = runs.iter().rposition(counts).unwrap_or(0);
        // With those after it: one that began just after a stop may have had the job rightfully.
        let lasts = &runs[last..];
        let Some(last) = lasts.first().filter(|run| run.kind == Kind::Plain && is_gone(&run.job)) else { continue };
        if !lasts.iter().any(|run| run.ended.is_some_and(|(_, end)| end == End::Done)) {
            unfounded.push(format!(
                "job {} (number {number}, {}) was completed, but not by its last run {}, which began at {}{}",
                last.job,
                last.kind,
                last.id,
                evidence.at(last.begun),
                evidence.what_happened_to(last.id.process, last.begun),
            ));
        }
    }
    for effect in evidence.effects.iter().filter(|effect| effect.transactional) {
        if evidence.history.get(&effect.job) == Some(&false) {
            unfounded.push(format!(
                "job {} (number {}) was completed by run {}, and is in the history as discarded or cancelled",
                effect.job, effect.number, effect.run
            ));
        }
    }
    unfounded
}

#[cfg(test)]
mod tests {
    use super::super::story::{JOB, Story};

    #[test]
    fn a_plain_job_is_completed_by_its_last_run() {
        let story = Story::of("plain").begun("1.1", 100).effect("1.1").begun("2.1", 17_000).effect("2.1");
        assert_eq!(story.clone().done("2.1", 17_010).findings().stale_writes.len(), 0);
        assert_eq!(story.clone().done("1.1", 17_005).findings().stale_writes.len(), 1, "that was a stale one");
        assert_eq!(story.clone().ended("2.1", 17_010).findings().stale_writes.len(), 1);
        let awake = story.clone().ended("2.1", 17_010).stopped(3, 17_020, 30_000).begun("3.1", 30_100);
        assert_eq!(awake.clone().done("3.1", 30_110).findings().stale_writes.len(), 0);
        assert_eq!(awake.ended("3.1", 30_110).findings().stale_writes.len(), 1);
        let mut unfinished = story.clone().evidence();
        unfinished.leftovers.push((JOB, "waiting".to_owned()));
        assert_eq!(unfinished.judge().stale_writes.len(), 0);
        let mut cancelled = story.evidence();
        cancelled.history.insert(JOB, false);
        assert_eq!(cancelled.judge().stale_writes.len(), 0);
    }

    #[test]
    fn a_job_has_one_end() {
        let mut evidence = Story::new().begun("1.1", 100).committing("1.1", 110).effect("1.1").evidence();
        evidence.history.insert(JOB, true);
        assert_eq!(evidence.judge().stale_writes.len(), 0, "it was kept");
        evidence.history.insert(JOB, false);
        assert_eq!(evidence.judge().stale_writes.len(), 1);
    }
}
