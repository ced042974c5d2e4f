//! Runs pg-queue and its peers side by side: see `cargo xtask bench --help`, which starts this.
#![forbid(unsafe_code)]

mod bench;
mod broker;
mod comparison;
mod contestants;
mod driver;
mod gate;
mod machine;
mod measure;
mod outcome;
mod programs;
mod report;
mod run;
mod scenarios;
mod server;
mod statistics;
mod watch;

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Parser;
use tokio::runtime;

use crate::bench::Options;

/// Measures scenarios.
#[derive(Debug, Parser)]
#[command(name = "bench", after_help = include_str!("../../scenarios.txt"))]
struct Cli {
    /// What to measure: a scenario, or `gate`
    #[arg(value_name = "SCENARIO", required = true)]
    scenarios: Vec<String>,

    /// Who to measure it beside; several by commas
    #[arg(long, value_name = "PEER", value_delimiter = ',')]
    vs: Vec<String>,

    /// About how long one run is to take
    #[arg(long, value_name = "N", value_parser = seconds)]
    seconds: Option<f64>,

    /// How often each of the two is run
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    runs: Option<u32>,

    /// Print each case as an object of JSON in one line of stdout, and all else to stderr
    #[arg(long)]
    json: bool,

    /// A server to use instead of a private one
    #[arg(long, value_name = "URL", env = "DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.1..=86_400.0).contains(&seconds) { Ok(seconds) } else { Err("out of range: 0.1 to 86400".into()) }
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<ExitCode> {
    let options = Options { seconds: cli.seconds, runs: cli.runs.map(|runs| runs as usize), json: cli.json };
    let url = cli.database_url.filter(|url| !url.is_empty());
    let runtime = runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    runtime.block_on(async {
        let work = async {
            match &cli.scenarios[..] {
                [gate] if gate == "gate" => gate::run(options, url.as_deref()).await,
                names if names.iter().any(|name| name == "gate") => bail!("gate decides itself what is measured"),
                names => bench::run(names, &cli.vs, options, url.as_deref()).await,
            }
        };
        tokio::select! {
            done = work => done,
            // Whatever was started ends, and its databases are dropped, on the way out.
            _ = tokio::signal::ctrl_c() => Ok(ExitCode::from(130)),
        }
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        super::Cli::command().debug_assert();
    }
}
