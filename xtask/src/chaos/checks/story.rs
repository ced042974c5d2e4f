//! What might have happened to one job, written by hand.

use crate::chaos::{
    checks::{Evidence, Findings},
    clock::Moment,
    faults::{Fault, Kind},
    log::{Deed, End, Line, RunId},
    runs::Runs,
    tables::Effect,
};

pub(super) const NUMBER: i64 = 7;
pub(super) const JOB: i64 = 70;

/// Runs are named as in the logs, such as `2.1`; moments are milliseconds.
#[derive(Debug, Clone)]
pub(super) struct Story {
    kind: &'static str,
    attempt: u16,
    lines: Vec<Line>,
    faults: Vec<Fault>,
    effects: Vec<Effect>,
    acknowledged: bool,
}

impl Story {
    pub(super) fn new() -> Story {
        Story::of("slow")
    }

    pub(super) fn of(kind: &'static str) -> Story {
        let (lines, faults, effects) = (Vec::new(), Vec::new(), Vec::new());
        Story { kind, attempt: 1, lines, faults, effects, acknowledged: false }
    }

    /// Each run is the next attempt, from this one on.
    pub(super) fn attempt(mut self, attempt: u16) -> Story {
        self.attempt = attempt;
        self
    }

    pub(super) fn begun(self, id: &str, at: u64) -> Story {
        let kind = self.kind.parse().expect("there is such a kind");
        let deed = Deed::Begun { run: run(id), number: NUMBER, job: JOB, attempt: self.attempt, kind };
        let attempt = self.attempt + 1;
        self.line(at, deed).attempt(attempt)
    }

    pub(super) fn tick(self, id: &str, at: u64) -> Story {
        self.line(at, Deed::Tick(run(id)))
    }

    pub(super) fn committing(self, id: &str, at: u64) -> Story {
        self.line(at, Deed::Committing(run(id)))
    }

    pub(super) fn committed(self, id: &str, at: u64) -> Story {
        self.line(at, Deed::Committed(run(id)))
    }

    pub(super) fn refused(self, id: &str, at: u64) -> Story {
        self.line(at, Deed::Refused(run(id)))
    }

    pub(super) fn ended(self, id: &str, at: u64) -> Story {
        self.line(at, Deed::Ended(run(id), End::Failed))
    }

    pub(super) fn done(self, id: &str, at: u64) -> Story {
        self.line(at, Deed::Ended(run(id), End::Done))
    }

    pub(super) fn effect(mut self, id: &str) -> Story {
        self.effects.push(Effect { number: NUMBER, job: JOB, run: run(id), transactional: self.kind != "plain" });
        self
    }

    pub(super) fn killed(self, process: u32, at: u64) -> Story {
        self.fault(Kind::Killed, process, at, at)
    }

    pub(super) fn stopped(self, process: u32, from: u64, until: u64) -> Story {
        self.fault(Kind::Stopped, process, from, until)
    }

    pub(super) fn cut(self, process: u32, from: u64, until: u64) -> Story {
        self.fault(Kind::Cut, process, from, until)
    }

    pub(super) fn acknowledged(mut self) -> Story {
        self.acknowledged = true;
        self
    }

    fn line(mut self, at: u64, deed: Deed) -> Story {
        self.lines.push(Line { at: moment(at), deed });
        self
    }

    fn fault(mut self, what: Kind, process: u32, from: u64, until: u64) -> Story {
        self.faults.push(Fault { what, process, from: moment(from), until: moment(until) });
        self
    }

    pub(super) fn evidence(self) -> Evidence {
        Evidence {
            runs: Runs::of([self.lines]),
            effects: self.effects,
            faults: self.faults,
            acknowledged: self.acknowledged.then_some((NUMBER, JOB)).into_iter().collect(),
            ..Evidence::default()
        }
    }

    pub(super) fn findings(self) -> Findings {
        self.evidence().judge()
    }
}

fn run(id: &str) -> RunId {
    id.parse().expect("two numbers")
}

fn moment(millis: u64) -> Moment {
    Moment(millis * 1_000_000)
}
