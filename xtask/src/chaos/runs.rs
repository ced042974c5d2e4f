//! The runs of all handlers, put together from the logs.

use std::collections::BTreeMap;

use super::{
    clock::Moment,
    jobs::Kind,
    log::{Deed, End, Line, RunId},
};

/// One run of a handler.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Run {
    pub(super) id: RunId,
    pub(super) job: i64,
    pub(super) attempt: u16,
    pub(super) kind: Kind,
    pub(super) begun: Moment,
    /// When it was seen at work after that: at every tick, before a commit, and when it was refused.
    pub(super) acts: Vec<Moment>,
    pub(super) committing: Option<Moment>,
    pub(super) committed: Option<Moment>,
    /// `None` if its process was killed first.
    pub(super) ended: Option<(Moment, End)>,
}

/// All runs, and what the workers learnt.
#[derive(Debug, Default)]
pub(super) struct Runs {
    /// By the number of the job, in the order in which they began.
    pub(super) by_number: BTreeMap<i64, Vec<Run>>,
    /// Completions that were refused because the lease was lost.
    pub(super) refused: u64,
    /// Other ends of attempts that were refused.
    pub(super) leases_lost: u64,
    /// Jobs that were taken from dead workers.
    pub(super) rescued: u64,
}

impl Runs {
    /// From the lines of each process.
    pub(super) fn of(logs: impl IntoIterator<Item = Vec<Line>>) -> Runs {
        let mut runs = Runs::default();
        for log in logs {
            runs.add(log);
        }
        for of_job in runs.by_number.values_mut() {
            of_job.sort_by_key(|run| run.begun);
        }
        runs
    }

    /// The log of one process. A run's first line comes before its others.
    fn add(&mut self, log: Vec<Line>) {
        let mut runs: BTreeMap<RunId, (i64, Run)> = BTreeMap::new();
        for Line { at, deed } in log {
            match deed {
                Deed::Begun { run: id, number, job, attempt, kind } => {
                    runs.insert(id, (number, Run::begun(id, job, attempt, kind, at)));
                }
                Deed::Tick(id)
                | Deed::Committing(id)
                | Deed::Committed(id)
                | Deed::Refused(id)
                | Deed::Ended(id, _) => {
                    self.refused += u64::from(matches!(deed, Deed::Refused(_)));
                    if let Some((_, run)) = runs.get_mut(&id) {
                        run.note(at, deed);
                    }
                }
                Deed::LeaseLost(_) => self.leases_lost += 1,
                Deed::Rescued(jobs) => self.rescued += jobs as u64,
            }
        }
        for (number, run) in runs.into_values() {
            self.by_number.entry(number).or_default().push(run);
        }
    }
}

impl Run {
    fn begun(id: RunId, job: i64, attempt: u16, kind: Kind, begun: Moment) -> Run {
        Run { id, job, attempt, kind, begun, acts: Vec::new(), committing: None, committed: None, ended: None }
    }

    fn note(&mut self, at: Moment, deed: Deed) {
        match deed {
            Deed::Tick(_) | Deed::Refused(_) => self.acts.push(at),
            Deed::Committing(_) => {
                self.acts.push(at);
                self.committing = Some(at);
            }
            // When the answer was heard, which may be long after the server has done it.
            Deed::Committed(_) => self.committed = Some(at),
            Deed::Ended(_, end) => self.ended = Some((at, end)),
            Deed::Begun { .. } | Deed::LeaseLost(_) | Deed::Rescued(_) => {}
        }
    }
}
