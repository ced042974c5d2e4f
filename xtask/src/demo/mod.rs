//! `cargo xtask demo`: all four parts of pg-queue on real input, and a crash in the middle.
//!
//! What happens when is in `run.rs`, what a worker process does in `worker.rs`, and how the outcome is counted, from
//! outside and by SQL, in `counts.rs`.

mod built_from;
mod counts;
mod enqueue;
mod index;
mod jobs;
mod language;
mod probes;
mod process;
mod progress;
mod questions;
mod report;
mod run;
mod statistics;
mod tables;
mod tree;
mod worker;

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context, Result};
use pg_queue_embedded::{Database, Server, Settings};

use self::tree::Tree;
pub(crate) use self::worker::run as run_worker;
use crate::{database, interrupt::interrupted};

const NOTES: &str = "\
What it does: every file of a source tree becomes a job; two worker processes run them, and each
effect is committed together with its job's completion. Half-way one worker is killed with SIGKILL
while it holds started jobs; the other one rescues and runs them. Then everything is counted by SQL.

Without DATABASE_URL it starts a private PostgreSQL server, which vanishes with it. With
DATABASE_URL it makes a database on that server and drops it again.

Exit status: 0 when every file was indexed exactly once and jobs were rescued; 1 when a job was
lost, done twice or given up, or when nothing was rescued. An unreadable or a binary file is a
result, not a failure.

Examples:
  cargo xtask demo                    this repository and the crates it was built from
  cargo xtask demo ~/src/linux        another source tree
  cargo xtask demo --json | tail -1   for a program to read";

/// Show it all at work: index a source tree with two workers, and kill one of them half-way
#[derive(Debug, clap::Args)]
#[command(after_help = NOTES)]
pub(crate) struct Args {
    /// The folder to index, without what its .gitignore names [default: this repository and the crates it was built
    /// from]
    dir: Option<PathBuf>,

    /// Print the outcome as one JSON object on the last line of stdout, and all else to stderr
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let tree = match &args.dir {
        Some(dir) => Tree::of(dir)?,
        None => Tree::of_this_repository()?,
    };
    eprintln!("{}", tree.description());
    let server = Server::from_env_or_start(Settings::durable())?;
    database::block_on(on_server(args, &tree, &server))
}

/// Everything that was started ends before its database is dropped, and that before its server stops.
async fn on_server(args: &Args, tree: &Tree, server: &Server) -> Result<ExitCode> {
    let mut interrupted = std::pin::pin!(interrupted()?);
    let whole = async {
        let database = Database::create(server).await.context("no database for the demo")?;
        let outcome = run::run(tree, database.url()).await?;
        drop(database);
        report::print(&outcome, args.json)?;
        Ok(if outcome.failures().is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    };
    tokio::select! {
        done = whole => done,
        () = &mut interrupted => {
            eprintln!("interrupted: the workers are stopped and the database is dropped");
            Ok(ExitCode::from(130))
        }
    }
}
