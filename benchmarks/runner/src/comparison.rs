//! Runs of ours and of a peer in turn, and what they come to side by side.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use pg_queue_embedded::Server;
use serde::Serialize;

use crate::{
    contestants::{Contestant, OURS},
    outcome::{Account, Outcome},
    programs::Program,
    run::Side,
    scenarios::{Case, Measure, Producer, Steps},
    statistics::Spread,
};

/// Who is measured beside ours.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) contestant: &'static Contestant,
    /// Or why it cannot be had.
    pub(crate) program: Result<Program, String>,
}

/// All runs of one contestant in a case.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Runs {
    pub(crate) runs: Vec<Outcome>,
    /// Why there are no more of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) trouble: Option<String>,
}

/// A case, measured.
#[derive(Debug, Serialize)]
pub(crate) struct Comparison {
    pub(crate) case: String,
    #[serde(skip)]
    pub(crate) measure: Measure,
    /// A job or a message.
    #[serde(skip)]
    pub(crate) thing: &'static str,
    pub(crate) peer_name: &'static str,
    pub(crate) ours: Runs,
    pub(crate) peer: Runs,
}

/// Runs a case, ours and the peer in turn, each beginning every other time.
pub(crate) async fn compare(
    server: &Server,
    case: &Case,
    runs: usize,
    ours: &Program,
    peer: &Peer,
) -> Result<Comparison> {
    let peer_steps = match &case.ours_as_peer {
        Some(steps) if peer.contestant.name == OURS => steps.clone(),
        _ => limited(&case.ours, peer.contestant.at_most),
    };
    let measure = case.measure;
    let mut compared = Comparison {
        case: case.name.clone(),
        measure,
        thing: case.ours.thing(),
        peer_name: peer.contestant.name,
        ours: Runs::default(),
        peer: Runs { trouble: peer.program.as_ref().err().cloned(), ..Runs::default() },
    };
    for number in 0..runs {
        eprint!("\r{}: run {} of {runs} .. ", case.name, number + 1);
        let ours_side = Side { program: ours, steps: &case.ours, measure };
        let peer_side = peer.program.as_ref().ok().map(|program| Side { program, steps: &peer_steps, measure });
        if number % 2 == 1 {
            compared.peer.add(server, peer_side).await;
        }
        let outcome = ours_side.run(server).await;
        compared.ours.runs.push(outcome.with_context(|| format!("ours failed in {}", case.name))?);
        if number % 2 == 0 {
            compared.peer.add(server, peer_side).await;
        }
    }
    eprintln!();
    Ok(compared)
}

/// The steps for a contestant that would take minutes over all the jobs.
fn limited(steps: &Steps, at_most: Option<u64>) -> Steps {
    let Some(limit) = at_most else { return steps.clone() };
    let producer = match steps.producer {
        Producer::Bulk { jobs } => Producer::Bulk { jobs: jobs.min(limit) },
        producer => producer,
    };
    Steps { preload: steps.preload.min(limit), producer, ..steps.clone() }
}

impl Runs {
    /// One more run of a peer, if it can be had and has not been in trouble.
    async fn add(&mut self, server: &Server, side: Option<Side<'_>>) {
        let Some(side) = side.filter(|_| self.trouble.is_none()) else { return };
        match side.run(server).await {
            Ok(outcome) => {
                if let Some(jobs) = outcome.stalled_at {
                    self.trouble = Some(format!("stalled at {jobs} of {} jobs", outcome.jobs));
                }
                self.runs.push(outcome);
            }
            Err(error) => self.trouble = Some(format!("{error:#}")),
        }
    }

    pub(crate) fn value(&self) -> Option<Spread> {
        Spread::of(self.runs.iter().map(|run| run.value))
    }

    pub(crate) fn account(&self) -> Account {
        self.runs.iter().map(|run| run.account).fold(Account::default(), Account::and)
    }

    /// The medians and spreads of all that was measured.
    pub(crate) fn metrics(&self) -> BTreeMap<String, Spread> {
        let names: BTreeSet<&String> = self.runs.iter().flat_map(|run| run.metrics.keys()).collect();
        let spread = |name: &String| Spread::of(self.runs.iter().filter_map(|run| run.metrics.get(name).copied()));
        names.into_iter().filter_map(|name| Some((name.clone(), spread(name)?))).collect()
    }
}

impl Comparison {
    /// How many times better ours is; `None` when the peer has nothing to compare with.
    pub(crate) fn ratio(&self) -> Option<f64> {
        if self.peer.trouble.is_some() {
            return None;
        }
        self.measure.ratio(self.ours.value()?.median, self.peer.value()?.median)
    }

    /// What makes the whole a failure: anything with ours, and a peer's jobs that were done twice or never. A peer that
    /// stalls or cannot be had is only told of.
    pub(crate) fn failures(&self) -> Vec<String> {
        let mut failures = Vec::new();
        let mut note = |name: &str, account: Account| {
            let Account { unfinished, doubled, lost } = account;
            failures.push(format!(
                "{}: {name} left {unfinished} {}s unfinished, did {doubled} twice, lost {lost}",
                self.case, self.thing
            ));
        };
        let ours = self.ours.account();
        if !ours.is_clean() {
            note("ours", ours);
        }
        let peer = self.peer.account();
        if peer.doubled + peer.lost > 0 {
            note(self.peer_name, peer);
        }
        failures
    }
}

#[cfg(test)]
mod tests {
    use super::{Comparison, Runs, limited};
    use crate::{
        outcome::{Account, Outcome},
        scenarios::{Measure, Producer, Steps},
    };

    fn runs(values: &[f64]) -> Runs {
        let runs = values.iter().map(|value| Outcome { value: *value, ..Outcome::default() });
        Runs { runs: runs.collect(), trouble: None }
    }

    fn comparison(ours: Runs, peer: Runs) -> Comparison {
        Comparison { case: "drain".into(), measure: Measure::Rate, thing: "job", peer_name: "raw", ours, peer }
    }

    #[test]
    fn the_ratio_is_that_of_the_medians() {
        assert_eq!(comparison(runs(&[9.0, 30.0, 31.0]), runs(&[10.0, 20.0, 1.0])).ratio(), Some(3.0));
    }

    #[test]
    fn a_peer_that_stalls_has_no_ratio_and_is_no_failure() {
        let mut peer = runs(&[10.0]);
        peer.trouble = Some("stalled at 5 of 9 jobs".into());
        peer.runs[0].account.unfinished = 4;
        let compared = comparison(runs(&[30.0]), peer);
        assert_eq!((compared.ratio(), compared.failures().len()), (None, 0));
    }

    #[test]
    fn jobs_that_are_unfinished_doubled_or_lost_fail_the_whole() {
        for account in [
            Account { unfinished: 1, ..Account::default() },
            Account { doubled: 1, ..Account::default() },
            Account { lost: 1, ..Account::default() },
        ] {
            let mut ours = runs(&[1.0, 2.0]);
            ours.runs[1].account = account;
            assert_eq!(comparison(ours, runs(&[1.0])).failures().len(), 1, "{account:?}");
        }
        let mut peer = runs(&[1.0]);
        peer.runs[0].account.doubled = 2;
        let failures = comparison(runs(&[1.0]), peer).failures();
        assert_eq!(failures, ["drain: raw left 0 jobs unfinished, did 2 twice, lost 0"]);
    }

    #[test]
    fn slow_contestants_get_fewer_jobs() {
        let steps = Steps { preload: 100, producer: Producer::Bulk { jobs: 5 }, ..Steps::default() };
        assert_eq!(limited(&steps, Some(10)), Steps { preload: 10, ..steps.clone() });
        assert_eq!(limited(&steps, None), steps);
    }
}
