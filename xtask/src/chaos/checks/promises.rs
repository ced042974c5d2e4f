//! Every enqueue that was answered runs to an end, and none that was taken back runs at all.
//!
//! An end is an effect, or a place in the history: completed and kept, discarded after its attempts, or cancelled. A job
//! that is neither there nor waiting has vanished; one that is still waiting or held after all faults were over, and after
//! nothing has finished any more for as long as a rescue and the longest job take together, is stuck. Both are lost.
//!
//! No false alarms: an enqueue whose answer was lost with its connection counts for nothing, neither here nor there. Jobs are
//! told apart by numbers of their own, because an id may be given a second time after a crash if the first one's transaction
//! was not committed.

use std::collections::HashSet;

use super::Evidence;

/// Answered jobs that have not come to an end, and any job that is stuck.
pub(super) fn lost(evidence: &Evidence) -> Vec<String> {
    let done: HashSet<i64> = evidence.effects.iter().map(|effect| effect.number).collect();
    let stuck: HashSet<i64> = evidence.leftovers.iter().map(|(job, _)| *job).collect();
    let describe = |(job, what): &(i64, String)| format!("job {job} is unfinished: {what}");
    let mut lost: Vec<String> = evidence.leftovers.iter().map(describe).collect();
    let mut vanished: Vec<(i64, i64)> = evidence
        .acknowledged
        .iter()
        .map(|(number, job)| (*job, *number))
        .filter(|(job, number)| !done.contains(number) && !evidence.history.contains_key(job) && !stuck.contains(job))
        .collect();
    vanished.sort_unstable();
    lost.extend(vanished.into_iter().map(|(job, number)| {
        let runs = evidence.runs.by_number.get(&number).map_or(0, Vec::len);
        format!("job {job} (number {number}) was enqueued and is nowhere; it was run {runs} times")
    }));
    lost
}

/// Runs of jobs that were enqueued in a transaction which was never told to commit.
pub(super) fn ghosts(evidence: &Evidence) -> Vec<String> {
    let runs = evidence.runs.by_number.iter().filter(|(number, _)| evidence.rolled_back.contains(number));
    let describe = |(number, run): (&i64, &crate::chaos::runs::Run)| {
        format!(
            "job {} (number {number}) was rolled back, and run {} ran it at {}",
            run.job,
            run.id,
            evidence.at(run.begun)
        )
    };
    runs.flat_map(|(number, runs)| runs.iter().map(move |run| (number, run))).map(describe).collect()
}

#[cfg(test)]
mod tests {
    use super::super::story::{JOB, NUMBER, Story};

    #[test]
    fn an_answered_job_without_an_end_is_lost() {
        let story = Story::new().acknowledged();
        assert_eq!(story.clone().findings().lost.len(), 1);
        assert_eq!(story.clone().begun("1.1", 100).findings().lost.len(), 1, "to have run is no end");
        assert_eq!(story.clone().begun("1.1", 100).effect("1.1").findings().lost.len(), 0);
        let mut in_the_history = story.evidence();
        in_the_history.history.insert(JOB, false);
        assert_eq!(in_the_history.judge().lost.len(), 0);
    }

    #[test]
    fn a_job_that_is_stuck_is_lost() {
        let mut evidence = Story::new().acknowledged().begun("1.1", 100).effect("1.1").evidence();
        evidence.leftovers.push((JOB, "held".to_owned()));
        assert_eq!(evidence.judge().lost, [format!("job {JOB} is unfinished: held")]);
        evidence.acknowledged.clear();
        assert_eq!(evidence.judge().lost.len(), 1, "whether its enqueue was answered or not");
    }

    #[test]
    fn an_enqueue_without_an_answer_counts_for_nothing() {
        assert_eq!(Story::new().findings().lost.len(), 0);
        assert_eq!(Story::new().begun("1.1", 100).effect("1.1").findings().ghosts.len(), 0);
    }

    #[test]
    fn what_was_taken_back_must_not_run() {
        let mut evidence = Story::new().begun("1.1", 100).evidence();
        evidence.rolled_back.insert(NUMBER);
        assert_eq!(evidence.judge().ghosts.len(), 1);
        evidence.rolled_back = [NUMBER + 1].into();
        assert_eq!(evidence.judge().ghosts.len(), 0);
    }
}
