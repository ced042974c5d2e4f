//! `cargo xtask bench`: builds and starts the runner in `benchmarks`, a workspace of its own, which does the rest.

mod list;

use std::{
    fs,
    path::Path,
    process::{Command, ExitCode},
};

use anyhow::{Context, Result};
use clap::builder::PossibleValuesParser;

use crate::workspace;

const NOTES: &str = "\
Runs of ours and of the peer alternate, each in a fresh database, on a private PostgreSQL with
durable settings on a real disk: a folder in the target directory or, where the server's account
does not get there, where temporary files are. TMPDIR chooses another one. With DATABASE_URL it is
that server, and each run makes a database there and drops it.

For each side it prints the median, the least and the most, what a job costs the server and the
worker, and its write-ahead log; and it checks that every job was done exactly once.

Exit status: 0 when all is well; 1 when jobs were left, lost or done twice, or a line of the gate
falls short; 2 when the arguments are wrong. A peer that stalls is told of, and one that cannot be
built here is skipped with its reason.

Examples:
  cargo xtask bench drain                                beside a bare loop in plain SQL
  cargo xtask bench drain --vs graphile_worker --json    for a program to read
  cargo xtask bench enqueue-16 pickup --vs awa,sqlxmq    two scenarios beside two peers
  cargo xtask bench drain --seconds 5 --runs 1           a quick look
  cargo xtask bench gate                                 all that must be reached
";

/// Measure how fast it is, beside other queues
#[derive(Debug, clap::Args)]
#[command(after_help = format!("{NOTES}\n{}", list::TEXT))]
pub(crate) struct Args {
    /// What to measure: see below
    #[arg(value_name = "SCENARIO", required = true, hide_possible_values = true)]
    #[arg(value_parser = PossibleValuesParser::new(list::scenarios()))]
    scenarios: Vec<String>,

    /// Who to measure it beside, several by commas: see below [default: depends on the scenario]
    #[arg(long, value_name = "PEER", value_delimiter = ',', hide_possible_values = true)]
    #[arg(value_parser = PossibleValuesParser::new(list::peers()))]
    vs: Vec<String>,

    /// About how long one run is to take, if it is a slow one [default: depends on the scenario]
    #[arg(long, value_name = "N", value_parser = seconds)]
    seconds: Option<f64>,

    /// How often each of the two is run [default: 5; 3 for idle, 1 for pinned]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    runs: Option<u32>,

    /// Print each case as one JSON object in a line of stdout, and all else to stderr
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

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let root = workspace::root()?;
    let mut cargo = workspace::cargo();
    // A folder, not a manifest: so that settings of cargo beside that are found.
    cargo.current_dir(root.join("benchmarks")).args(["run", "--release", "--quiet", "--bin", "bench", "--"]);
    cargo.args(args.for_the_runner());
    if let Some(url) = args.database_url.as_ref().filter(|url| !url.is_empty()) {
        cargo.env("DATABASE_URL", url);
    } else if std::env::var_os("TMPDIR").is_none() {
        data_beside_the_build(&mut cargo, &root);
    }
    // What cargo tells us is about this package, and makes it build once more what looks at it.
    let told = std::env::vars_os().map(|(name, _)| name);
    for name in
        told.filter(|name| ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|of| name.to_string_lossy().starts_with(of)))
    {
        cargo.env_remove(name);
    }
    let status = cargo.status().context("cargo could not be started")?;
    // Ended by a signal, it has none.
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}

impl Args {
    /// All but the URL, which is not for everybody to read, as arguments are.
    fn for_the_runner(&self) -> Vec<String> {
        let mut arguments = self.scenarios.clone();
        arguments.extend((!self.vs.is_empty()).then(|| format!("--vs={}", self.vs.join(","))));
        arguments.extend(self.seconds.map(|seconds| format!("--seconds={seconds}")));
        arguments.extend(self.runs.map(|runs| format!("--runs={runs}")));
        arguments.extend(self.json.then(|| "--json".to_owned()));
        arguments
    }
}

/// The private server makes its data where temporary files are, which is in memory on many machines; the target directory
/// is on a disk. Where it is not open to the server's account, the server finds another place by itself.
fn data_beside_the_build(cargo: &mut Command, root: &Path) {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), Into::into);
    let folder = root.join(target).join("bench");
    if fs::create_dir_all(&folder).is_ok() && open_to_all(&folder).is_ok() {
        cargo.env("TMPDIR", folder);
    }
}

/// As root, the server runs as another account.
#[cfg(unix)]
fn open_to_all(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o1777))
}

#[cfg(not(unix))]
fn open_to_all(_folder: &Path) -> std::io::Result<()> {
    Ok(())
}
