//! What is committed together with a job's completion is there exactly once, and only by the run whose turn it was.
//!
//! The effects are read by SQL after the end, from a table without constraints: each row was committed, and says by which
//! run. When it was committed is not known to the millisecond, and need not be. A run that has completed its job in
//! its transaction has locked the job's row; until the commit nobody can claim the job, and then it is gone. So the run
//! whose effect is there must be the last one that begins, whatever the clocks say. If another one has begun later, then
//! either the job had been given to that before the commit, which is a stale write, or the job came back after its
//! completion. Which of the two is told by when the run was about to commit; both must not be.
//!
//! No false alarms: the beginning of a run within the moment that is allowed after a stop does not count, as it may be that
//! of an older claim (see `excuses.rs`). What is not transactional may be there twice, and is not looked at. No job is tried
//! again by the operator after it was completed.
//!
//! Not seen: a stale write whose rightful run was killed between its claim and its first line.

use std::collections::{HashMap, HashSet};

use super::Evidence;
use crate::chaos::{log::RunId, runs::Run};

/// Jobs with more than one effect. By the number of the job and not by its id: an enqueue that was done twice is found, too.
pub(super) fn double(evidence: &Evidence) -> Vec<String> {
    let mut by_number: HashMap<i64, Vec<String>> = HashMap::new();
    for effect in evidence.effects.iter().filter(|effect| effect.transactional) {
        by_number.entry(effect.number).or_default().push(format!("run {} of job {}", effect.run, effect.job));
    }
    let mut double: Vec<(i64, Vec<String>)> = by_number.into_iter().filter(|(_, runs)| runs.len() > 1).collect();
    double.sort_unstable();
    let describe = |(number, runs): (i64, Vec<String>)| format!("number {number}: effects by {}", runs.join(" and "));
    double.into_iter().map(describe).collect()
}

/// Stale writes, and runs after the job was completed.
pub(super) fn out_of_turn(evidence: &Evidence) -> (Vec<String>, Vec<String>) {
    let (mut stale, mut revived) = (Vec::new(), Vec::new());
    for effect in evidence.effects.iter().filter(|effect| effect.transactional) {
        let runs = evidence.runs.by_number.get(&effect.number).map(Vec::as_slice).unwrap_or_default();
        let Some(writer) = runs.iter().find(|run| run.id == effect.run) else {
            stale.push(format!("number {}: an effect by run {}, which has never begun", effect.number, effect.run));
            continue;
        };
        let is_later = |run: &&Run| run.begun > writer.begun && !evidence.excuses(run.id.process, run.begun);
        let Some(later) = runs.iter().find(is_later) else { continue };
        let commit = writer.committing.or(writer.ended.map(|(at, _)| at));
        let is_stale = commit.is_none_or(|commit| later.begun < commit);
        let text = format!(
            "job {} (number {}, {}): the effect of run {}, which began at {}{}{}, is there; run {} began at {}",
            writer.job,
            effect.number,
            writer.kind,
            writer.id,
            evidence.at(writer.begun),
            commit.map(|commit| format!(" and was about to commit at {}", evidence.at(commit))).unwrap_or_default(),
            evidence.what_happened_to(writer.id.process, commit.unwrap_or(writer.begun)),
            later.id,
            evidence.at(later.begun),
        );
        (if is_stale { &mut stale } else { &mut revived }).push(text);
    }
    (stale, revived)
}

/// Effects whose commit was answered and that are not there: what a server has answered must survive its crash.
pub(super) fn undone(evidence: &Evidence) -> Vec<String> {
    let there: HashSet<RunId> = evidence.effects.iter().map(|effect| effect.run).collect();
    let committed = evidence.runs.by_number.values().flatten().filter_map(|run| Some((run, run.committed?)));
    let describe = |(run, at): (&Run, _)| {
        format!("job {}: the effect of run {}, whose commit was answered at {}", run.job, run.id, evidence.at(at))
    };
    committed.filter(|(run, _)| !there.contains(&run.id)).map(describe).collect()
}

#[cfg(test)]
mod tests {
    use super::super::story::Story;

    #[test]
    fn one_effect_by_the_last_run_is_as_it_should_be() {
        let story = Story::new().begun("1.1", 100).ended("1.1", 200).begun("2.1", 300).committing("2.1", 400);
        let findings = story.effect("2.1").committed("2.1", 410).findings();
        assert_eq!((findings.double_effects.len(), findings.stale_writes.len(), findings.revived.len()), (0, 0, 0));
        assert_eq!(findings.undone.len(), 0);
    }

    #[test]
    fn two_effects_of_a_job_are_one_too_many() {
        let story = Story::new().begun("1.1", 100).committing("1.1", 110).effect("1.1").begun("2.1", 300);
        assert_eq!(story.effect("2.1").findings().double_effects.len(), 1);
        let plain = Story::of("plain").begun("1.1", 100).effect("1.1").begun("2.1", 300).effect("2.1").findings();
        assert_eq!((plain.double_effects.len(), plain.revived.len()), (0, 0), "that was to be expected");
    }

    #[test]
    fn an_effect_after_the_job_had_passed_on_is_a_stale_write() {
        let story = Story::new().begun("1.1", 100).stopped(1, 150, 20_000).begun("2.1", 17_000);
        let findings = story.committing("1.1", 20_010).effect("1.1").findings();
        assert_eq!((findings.stale_writes.len(), findings.revived.len()), (1, 0));
        assert!(findings.stale_writes[0].contains("process 1 was stopped from 0.150 s to 20.000 s"), "{findings:?}");
        // Also if it was killed before it could say that it is about to commit.
        let story = Story::new().begun("1.1", 100).begun("2.1", 17_000).effect("1.1");
        assert_eq!(story.findings().stale_writes.len(), 1);
    }

    #[test]
    fn a_run_after_the_completion_is_found() {
        let story = Story::new().begun("1.1", 100).committing("1.1", 110).effect("1.1").begun("2.1", 300);
        let findings = story.findings();
        assert_eq!((findings.stale_writes.len(), findings.revived.len()), (0, 1));
    }

    #[test]
    fn an_older_claim_whose_handler_begins_after_a_stop_is_none() {
        let story = Story::new().stopped(1, 50, 20_000).begun("2.1", 17_000).committing("2.1", 17_010).effect("2.1");
        let findings = story.begun("1.1", 20_010).refused("1.1", 20_020).findings();
        assert_eq!((findings.stale_writes.len(), findings.revived.len(), findings.overlaps.len()), (0, 0, 0));
    }

    #[test]
    fn a_commit_that_was_answered_is_there() {
        let story = Story::new().begun("1.1", 100).committing("1.1", 110).committed("1.1", 120);
        assert_eq!(story.clone().findings().undone.len(), 1);
        assert_eq!(story.effect("1.1").findings().undone.len(), 0);
        let unanswered = Story::new().begun("1.1", 100).committing("1.1", 110).ended("1.1", 120).findings();
        assert_eq!(unanswered.undone.len(), 0, "it may have happened or not");
    }
}
