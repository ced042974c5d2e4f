//! Measuring scenarios beside peers, one after the other.

use std::{io::Write, process::ExitCode};

use anyhow::{Context, Result, anyhow};
use pg_queue_embedded::Server;
use serde_json::Value;

use crate::{
    comparison::{self, Comparison, Peer},
    contestants::{self, Contestant, OURS},
    machine::Machine,
    programs::{self, Program},
    report,
    scenarios::{self, Scenario},
    server,
};

/// How it is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    pub(crate) seconds: Option<f64>,
    pub(crate) runs: Option<usize>,
    pub(crate) json: bool,
}

/// All that is needed to measure.
pub(crate) struct Bench {
    server: Server,
    ours: Program,
    pub(crate) machine: Machine,
    options: Options,
}

/// A case that was measured, and the same as JSON.
pub(crate) struct Measured {
    pub(crate) compared: Comparison,
    pub(crate) object: Value,
}

impl Bench {
    pub(crate) async fn new(options: Options, url: Option<&str>) -> Result<Bench> {
        let ours = programs::build(contestants::find(OURS).context("ours is a contestant")?)?;
        let server = server::start(url)?;
        let machine = Machine::look(&server).await?;
        if url.is_some() {
            eprintln!("a given server: its processor time is not measured");
        }
        Ok(Bench { server, ours, machine, options })
    }

    /// Measures all cases of a scenario beside one peer, and prints each as it is done.
    pub(crate) async fn measure(
        &self,
        scenario: &Scenario,
        peer: &Peer,
        seconds: Option<f64>,
    ) -> Result<Vec<Measured>> {
        let mut measured = Vec::new();
        for case in scenario.cases(self.options.seconds.or(seconds)) {
            let runs = self.options.runs.unwrap_or(case.runs);
            let compared = comparison::compare(&self.server, &case, runs, &self.ours, peer).await?;
            let object = report::object(&compared, &self.machine);
            let text = report::text(&compared);
            if self.options.json {
                eprintln!("{text}");
                say(&object.to_string())?;
            } else {
                say(&text)?;
            }
            measured.push(Measured { compared, object });
        }
        Ok(measured)
    }
}

fn say(text: &str) -> Result<()> {
    writeln!(std::io::stdout(), "{text}").context("nobody listens to the results")
}

/// Builds a peer; that it cannot be had is told at once and again beside the results.
pub(crate) fn peer(name: &str) -> Result<Peer> {
    let contestant: &'static Contestant = contestants::find(name)
        .ok_or_else(|| anyhow!("there is no peer {name:?}: see --help for those that there are"))?;
    let program = programs::build(contestant).map_err(|error| format!("skipped: {error:#}"));
    if let Err(reason) = &program {
        eprintln!("{name} is {reason}");
    }
    Ok(Peer { contestant, program })
}

/// What was asked for.
pub(crate) async fn run(names: &[String], vs: &[String], options: Options, url: Option<&str>) -> Result<ExitCode> {
    let find = |name: &String| {
        scenarios::find(name)
            .ok_or_else(|| anyhow!("there is no scenario {name:?}: see --help for those that there are"))
    };
    let scenarios = names.iter().map(find).collect::<Result<Vec<_>>>()?;
    for name in vs {
        contestants::find(name)
            .ok_or_else(|| anyhow!("there is no peer {name:?}: see --help for those that there are"))?;
    }
    let bench = Bench::new(options, url).await?;
    let Machine { date, commit, processors, model, postgres, load, fsync_us } = &bench.machine;
    let fsync = fsync_us.map_or_else(|| "unknown".into(), report::figure);
    eprintln!(
        "{date}, {commit}, PostgreSQL {postgres}, {processors} processors ({model}), load {load}, fsync {fsync} us"
    );
    let mut failures = Vec::new();
    for scenario in scenarios {
        let default = [scenario.peer.to_owned()];
        for name in if vs.is_empty() { &default } else { vs } {
            for measured in bench.measure(scenario, &peer(name)?, None).await? {
                failures.extend(measured.compared.failures());
            }
        }
    }
    for failure in &failures {
        eprintln!("error: {failure}");
    }
    Ok(if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
