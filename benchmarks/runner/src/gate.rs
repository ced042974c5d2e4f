//! `gate`: what must be reached, as a table in a file says, and whether it is.

use std::{fs, process::ExitCode};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    bench::{self, Bench, Options},
    contestants, programs, report, scenarios,
};

/// The file, `gate.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    line: Vec<Line>,
}

/// Something that must be reached.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    scenario: String,
    /// Which of the scenario's cases, when it is not called like the scenario.
    case: Option<String>,
    /// Beside whom, when it is not the scenario's own peer.
    vs: Option<String>,
    /// How long, when it is not the scenario's own length.
    seconds: Option<f64>,
    /// What is looked at: one of our metrics, or our figure (`ours`) or, when this is not given, the ratio to the peer.
    metric: Option<String>,
    at_least: Option<f64>,
    at_most: Option<f64>,
}

/// What became of a line.
#[derive(Debug, Clone, PartialEq)]
enum Verdict {
    Reached(f64),
    Short(f64),
    /// The peer could not be had or stalled, so there is nothing to compare with.
    NoPeer(String),
}

impl Line {
    fn case(&self) -> &str {
        self.case.as_deref().unwrap_or(&self.scenario)
    }

    fn peer(&self) -> &str {
        self.vs.as_deref().or_else(|| Some(scenarios::find(&self.scenario)?.peer)).unwrap_or_default()
    }

    /// Whether one measurement serves both.
    fn is_measured_with(&self, other: &Line) -> bool {
        self.scenario == other.scenario && self.peer() == other.peer() && self.seconds == other.seconds
    }

    fn check(&self) -> Result<()> {
        let scenario = scenarios::find(&self.scenario).with_context(|| format!("no scenario {:?}", self.scenario))?;
        let cases = scenario.cases(None);
        ensure!(cases.iter().any(|case| case.name == self.case()), "{} has no case {:?}", self.scenario, self.case());
        ensure!(contestants::find(self.peer()).is_some(), "no peer {:?}", self.peer());
        ensure!(self.at_least.is_some() != self.at_most.is_some(), "{}: either at_least or at_most", self.case());
        Ok(())
    }

    fn judge(&self, object: &Value) -> Result<Verdict> {
        let value = match self.metric.as_deref() {
            Some("ours") => object["ours"].as_f64(),
            Some(metric) => object["metrics"][metric]["median"].as_f64(),
            None => {
                if let Some(trouble) = object["peer_trouble"].as_str() {
                    return Ok(Verdict::NoPeer(trouble.to_owned()));
                }
                object["ratio"].as_f64()
            }
        };
        let Some(value) = value else {
            bail!("{} was measured without {}", self.case(), self.metric.as_deref().unwrap_or("a ratio"));
        };
        let reached = self.at_least.is_none_or(|least| value >= least) && self.at_most.is_none_or(|most| value <= most);
        Ok(if reached { Verdict::Reached(value) } else { Verdict::Short(value) })
    }

    fn describe(&self, verdict: &Verdict) -> String {
        let what = self.metric.clone().unwrap_or_else(|| format!("ratio to {}", self.peer()));
        let (word, limit) = match (self.at_least, self.at_most) {
            (Some(least), _) => ("at least", least),
            (_, most) => ("at most", most.unwrap_or_default()),
        };
        let found = match verdict {
            Verdict::Reached(value) => format!("{}: reached", report::figure(*value)),
            Verdict::Short(value) => format!("{}: FALLS SHORT", report::figure(*value)),
            Verdict::NoPeer(reason) => reason.clone(),
        };
        format!("{:<16} {what}, {word} {}: {found}", self.case(), report::figure(limit))
    }
}

fn parse(text: &str) -> Result<Vec<Line>> {
    let table: Table = toml::from_str(text)?;
    for line in &table.line {
        line.check()?;
    }
    Ok(table.line)
}

/// Measures what the table asks for, keeps it, and answers whether all was reached.
pub(crate) async fn run(options: Options, url: Option<&str>) -> Result<ExitCode> {
    let folder = programs::folder();
    let path = folder.join("gate.toml");
    let text = fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
    let lines = parse(&text).with_context(|| format!("{} is wrong", path.display()))?;
    let results = folder.join("results");
    fs::create_dir_all(&results)?;
    let bench = Bench::new(options, url).await?;
    let mut failures = Vec::new();
    let mut said = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        if lines[..at].iter().any(|earlier| earlier.is_measured_with(line)) {
            continue;
        }
        let scenario = scenarios::find(&line.scenario).context("it was checked")?;
        let measured = bench.measure(scenario, &bench::peer(line.peer())?, line.seconds).await?;
        let objects: Vec<&Value> = measured.iter().map(|it| &it.object).collect();
        let length = line.seconds.map(|seconds| format!("-{seconds}s")).unwrap_or_default();
        let file = results.join(format!("{}-vs-{}{length}.jsonl", line.scenario, line.peer()));
        let kept: String = objects.iter().map(|object| format!("{object}\n")).collect();
        fs::write(&file, kept).with_context(|| format!("{} cannot be written", file.display()))?;
        failures.extend(measured.iter().flat_map(|it| it.compared.failures()));
        for line in lines.iter().filter(|other| other.is_measured_with(line)) {
            let object = objects.iter().find(|object| object["case"] == line.case()).context("it was checked")?;
            let verdict = line.judge(object)?;
            let description = line.describe(&verdict);
            if let Verdict::Short(_) = verdict {
                failures.push(description.clone());
            }
            said.push(description);
        }
    }
    eprintln!("\n{}", said.join("\n"));
    for failure in &failures {
        eprintln!("error: {failure}");
    }
    Ok(if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Verdict, parse};

    const LINES: &str = "
        [[line]]
        scenario = 'drain'
        vs = 'graphile_worker'
        at_least = 3.0
        [[line]]
        scenario = 'pickup'
        case = 'pickup-50'
        metric = 'p99_ms'
        at_most = 3.0
        [[line]]
        scenario = 'pickup'
        case = 'pickup-300'
        metric = 'ours'
        at_most = 10.0
    ";

    #[test]
    fn the_table_in_the_repository_is_sound() {
        let lines = parse(include_str!("../../gate.toml")).expect("it is");
        assert!(lines.len() > 10, "{lines:?}");
    }

    #[test]
    fn a_table_that_names_what_does_not_exist_is_refused() {
        for wrong in [
            "[[line]]\nscenario = 'gone'\nat_least = 1.0",
            "[[line]]\nscenario = 'pickup'\nat_least = 1.0",
            "[[line]]\nscenario = 'drain'\nvs = 'gone'\nat_least = 1.0",
            "[[line]]\nscenario = 'drain'",
            "[[line]]\nscenario = 'drain'\nat_least = 1.0\nat_most = 2.0",
            "[[line]]\nscenario = 'drain'\nat_leest = 1.0",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn one_measurement_serves_all_lines_about_it() {
        let lines = parse(LINES).expect("they are sound");
        assert!(!lines[0].is_measured_with(&lines[1]));
        assert!(lines[1].is_measured_with(&lines[2]));
    }

    #[test]
    fn a_line_is_reached_or_falls_short() {
        let lines = parse(LINES).expect("they are sound");
        let judge = |at: usize, object| lines[at].judge(&object).ok();
        assert_eq!(judge(0, json!({ "ratio": 3.0 })), Some(Verdict::Reached(3.0)));
        assert_eq!(judge(0, json!({ "ratio": 2.9 })), Some(Verdict::Short(2.9)));
        assert_eq!(judge(0, json!({})), None);
        assert_eq!(judge(1, json!({ "metrics": { "p99_ms": { "median": 3.5 } } })), Some(Verdict::Short(3.5)));
        assert_eq!(judge(2, json!({ "ours": 9.0, "peer_trouble": "gone" })), Some(Verdict::Reached(9.0)));
    }

    #[test]
    fn without_a_peer_nothing_falls_short() {
        let lines = parse(LINES).expect("they are sound");
        let stalled = json!({ "peer_trouble": "stalled at 3 of 9 jobs", "ratio": null });
        let verdict = lines[0].judge(&stalled).expect("it can be judged");
        assert_eq!(verdict, Verdict::NoPeer("stalled at 3 of 9 jobs".into()));
        assert!(lines[0].describe(&verdict).ends_with("at least 3.00: stalled at 3 of 9 jobs"));
    }
}
