//! `cargo xtask chaos`: real workers under real faults, and an oracle that says whether what the library promises held.
//!
//! What is done to whom is decided in `plan.rs` and done in `faults.rs`; what the jobs do is in `jobs.rs`, how they come
//! about in `producers.rs`; what must not be, and how it is found, is in `checks`.

mod checks;
mod clock;
mod faults;
mod fleet;
mod jobs;
mod ledger;
mod log;
mod messages;
mod operator;
mod orders;
mod plan;
mod producers;
mod progress;
mod proxy;
mod report;
mod run;
mod runs;
mod sabotage;
mod tables;
mod worker;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{self, ExitCode},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use pg_queue_embedded::{Database, Server, Settings as ServerSettings};

pub(crate) use self::worker::run as run_worker;
use self::{run::Settings, sabotage::Safeguard};
use crate::{database, interrupt::interrupted};

const NOTES: &str = "\
What it does: six worker processes run jobs of all kinds while they are killed with SIGKILL, stopped
with SIGSTOP for longer than their leases, cut off from the server and deprived of connections, and
while the server itself crashes and comes back. At the end every enqueue that was answered must have
come to an end, no job may have been at work twice at the same time, what was committed with a job's
completion must be there exactly once, and no worker whose lease had passed on may have written
anything. Durable messages must reach each of two groups exactly once. All of that is found from outside: in logs that the handlers write, and by SQL.

Without DATABASE_URL it starts a private PostgreSQL server, which vanishes with it. With
DATABASE_URL it makes a database on that server and drops it again, and never restarts the server.

After the given time it waits until all jobs have ended, for a minute or two with the default
heartbeat. A seed decides what is done and when; how the processes take turns, it cannot decide.

Exit status: 0 when all is well; 1 when something was not, which is said in a line each; 2 when the
arguments are wrong.

Examples:
  cargo xtask chaos                                 a minute of it
  cargo xtask chaos --seconds 300 --json | tail -1  for a program to read
  cargo xtask chaos --seconds 20 --heartbeat 1      in a hurry: a lease is 3 s instead of 15 s
  cargo xtask chaos --seed 17 --logs /tmp/17        the same again, and what the handlers noted
  cargo xtask chaos --heartbeat 1 --without fence   as if writes showed no lease: it has to fail";

/// Put workers through all that can happen to them, and check that no job is lost or run twice at once
#[derive(Debug, clap::Args)]
#[command(after_help = NOTES)]
pub(crate) struct Args {
    /// For how long jobs are enqueued and faults happen
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u64).range(5..=86_400))]
    seconds: u64,

    /// What decides which faults happen when [default: drawn, and said]
    #[arg(long, value_name = "S")]
    seed: Option<u64>,

    /// Seconds between the heartbeats of a worker; its lease is three times as long
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=60))]
    heartbeat: u64,

    /// Print the outcome as one JSON object on the last line of stdout, and all else to stderr
    #[arg(long)]
    json: bool,

    /// Leave what the handlers noted and the library said in this folder, which must be empty
    #[arg(long, value_name = "DIR")]
    logs: Option<PathBuf>,

    /// Build another program that lacks this safeguard, and run that
    #[arg(long, value_name = "SAFEGUARD")]
    without: Option<Safeguard>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let seed = args.seed.unwrap_or_else(|| rand::random::<u32>().into());
    if let Some(safeguard) = args.without {
        sabotage::become_one_without(safeguard, &args.again(seed)?)?;
    }
    let settings =
        Settings { seed, length: Duration::from_secs(args.seconds), beat: Duration::from_secs(args.heartbeat) };
    if let Some(safeguard) = sabotage::left_out()? {
        eprintln!("without the safeguard {safeguard:?}: this run has to fail");
    }
    eprintln!("seed {seed}: {} s of faults, with a heartbeat of {} s", args.seconds, args.heartbeat);
    let logs = Logs::new(args.logs.as_deref())?;
    // The workers need ninety; a server has a hundred by default.
    let server = Server::from_env_or_start(ServerSettings::durable().with("max_connections", "200"))?;
    if !server.is_private() {
        eprintln!("the server that DATABASE_URL names is not restarted");
    }
    database::block_on(on_server(args, settings, &Arc::new(server), &logs.folder))
}

impl Args {
    /// The arguments for a program that does the same.
    fn again(&self, seed: u64) -> Result<Vec<String>> {
        let mut arguments: Vec<String> = [("seconds", self.seconds), ("heartbeat", self.heartbeat), ("seed", seed)]
            .map(|(name, value)| format!("--{name}={value}"))
            .into();
        if let Some(logs) = &self.logs {
            arguments.push(format!("--logs={}", logs.to_str().context("the folder for the logs has no name of text")?));
        }
        arguments.extend(self.json.then(|| "--json".to_owned()));
        Ok(arguments)
    }
}

/// Everything that was started ends before its database is dropped, and that before its server stops.
async fn on_server(args: &Args, settings: Settings, server: &Arc<Server>, folder: &Path) -> Result<ExitCode> {
    let mut interrupted = std::pin::pin!(interrupted()?);
    let whole = async {
        let database = Database::create(server).await.context("no database for the workers")?;
        let outcome = run::run(settings, server, &database, folder).await?;
        drop(database);
        report::print(&outcome, &settings, args.json)?;
        Ok(if outcome.violations(&settings).is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    };
    tokio::select! {
        done = whole => done,
        () = &mut interrupted => {
            eprintln!("interrupted: the workers are killed and the database is dropped");
            Ok(ExitCode::from(130))
        }
    }
}

/// The folder of the logs, deleted at the end unless somebody wants it.
#[derive(Debug)]
struct Logs {
    folder: PathBuf,
    is_wanted: bool,
}

impl Logs {
    fn new(wanted: Option<&Path>) -> Result<Logs> {
        let own = || env::temp_dir().join(format!("pgq-chaos-{}", process::id()));
        let logs = Logs { folder: wanted.map_or_else(own, Path::to_path_buf), is_wanted: wanted.is_some() };
        let folder = logs.folder.display();
        if !logs.is_wanted {
            // Of a process that had our number and was killed.
            let _ = fs::remove_dir_all(&logs.folder);
        }
        fs::create_dir_all(&logs.folder).with_context(|| format!("no folder {folder} for the logs"))?;
        ensure!(logs.folder.read_dir()?.next().is_none(), "{folder} is not empty: give the logs a folder of their own");
        Ok(logs)
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        if !self.is_wanted {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}
