//! `cargo xtask test`: all tests on one server, and how many there were.

use std::{
    env,
    ffi::{OsStr, OsString},
    path::PathBuf,
    process::{Command, ExitCode},
};

use anyhow::{Context, Result};
use pg_queue_embedded::{Server, Settings};

use crate::{database, postgres, workspace};

mod count;
mod executables;
mod pooled;

use count::Count;

const NOTES: &str = "\
Without DATABASE_URL a private server is started for the run, from the machine's own programs.
With it, that server is used: every test makes a database there and drops it. The templates that
they copy, databases named pgq_template_*, stay for the next run.

Examples:
  cargo xtask test -- -p pg-queue-core         the tests of one crate
  cargo xtask test -- -- --nocapture rescue    tests named `rescue`, with their output
  cargo xtask test --pg 14                     on PostgreSQL 14, fetched if it is missing
  cargo xtask test --pooled                    the tests of client and worker, through PgBouncer

On a machine without cargo, or as a user who cannot write here, from a copy in a folder DIR:
  cargo test --workspace --no-run 2>&1 | grep -o '[^(]*/deps/[^)]*' | xargs cp -t DIR
  cp target/debug/xtask \"$(rustc --print target-libdir)\"/libstd-*.so DIR
  DIR/xtask test --executables DIR";

/// Where the tests look for their server.
const SERVER: &str = "PG_QUEUE_TEST_SERVER";

/// Tells the tests of client and worker to start a pooler and go through it.
const POOLER: &str = "PG_QUEUE_TEST_POOLER";

/// Run all tests on one PostgreSQL server, and say how many ran
#[derive(Debug, clap::Args)]
#[command(after_help = NOTES)]
pub(crate) struct Args {
    /// Test on this major version of PostgreSQL, fetched by `cargo xtask postgres`
    #[arg(long, value_name = "MAJOR", value_parser = postgres::major())]
    pg: Option<u32>,

    /// Let client and worker go through a PgBouncer that hands out connections by transaction
    #[arg(long, conflicts_with = "executables")]
    pooled: bool,

    /// Run the test executables in this folder instead of building them
    #[arg(long, value_name = "DIR")]
    executables: Option<PathBuf>,

    /// Passed to `cargo test`, or to every executable
    #[arg(last = true, value_name = "ARGS")]
    rest: Vec<OsString>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let bin_dir = args.pg.map(postgres::ensure).transpose()?;
    let settings = Settings::for_tests().with("max_connections", "300");
    let server = match &bin_dir {
        // Asked for by name, so it wins over a server in the environment.
        Some(folder) => Server::start(settings.bin_dir(folder)),
        None => Server::from_env_or_start(settings),
    }?;
    match server.bin_dir() {
        Some(folder) => eprintln!("tests run on a private server from {}", folder.display()),
        // Found out here once, and not by every test on its own.
        None => database::block_on(database::connect(Some(&server.admin_url()))).map(drop)?,
    }

    let prepare = |command: &mut Command| {
        command.env(SERVER, server.admin_url());
        if args.pooled {
            command.env(POOLER, "1");
        }
        if let Some(folder) = &bin_dir {
            // For the tests that start servers of their own.
            command.env("PG_BIN", folder).env_remove("DATABASE_URL");
        }
    };
    let mut count = Count::default();
    let success = match &args.executables {
        Some(folder) => executables::run(folder, &args.rest, prepare, &mut count)?,
        None => {
            let mut command = workspace::cargo();
            let rest = if args.pooled { pooled::arguments(&args.rest) } else { args.rest.clone() };
            command.arg("test").args(cargo_arguments(&rest));
            prepare(&mut command);
            count.run(&mut command).context("cargo could not be started")?.success()
        }
    };
    if !success && count.failed == 0 {
        eprintln!("the run failed, although no test did: the reason is above");
    }
    println!("{} passed, {} failed", count.passed, count.failed);
    Ok(if success { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// All packages unless some are chosen, and all of their tests: without the second, cargo stops after the first test
/// executable that fails, and the count would be of a part.
fn cargo_arguments(rest: &[OsString]) -> Vec<OsString> {
    let ours = rest.split(|arg| arg == "--").next().unwrap_or_default();
    let given = |names: &[&str]| ours.iter().any(|arg| names.iter().any(|name| is_option(arg, name)));
    let mut arguments = Vec::new();
    if !given(&["-p", "--package", "--workspace", "--all", "--manifest-path"]) {
        arguments.push("--workspace".into());
    }
    if !given(&["--no-fail-fast", "--doc", "--no-run"]) {
        arguments.push("--no-fail-fast".into());
    }
    arguments.extend_from_slice(rest);
    arguments
}

/// Whether an argument is this option, alone or with its value.
fn is_option(arg: &OsStr, name: &str) -> bool {
    let value = arg.as_encoded_bytes().strip_prefix(name.as_bytes());
    value.is_some_and(|value| value.is_empty() || value.starts_with(b"=") || !name.starts_with("--"))
}

/// The current value with a folder before it, for a variable that lists folders.
fn with_folder(name: &str, folder: &std::path::Path) -> OsString {
    let others = env::var_os(name).unwrap_or_default();
    let folders = std::iter::once(folder.to_path_buf()).chain(env::split_paths(&others));
    env::join_paths(folders).unwrap_or(others)
}

#[cfg(test)]
mod tests {
    use super::cargo_arguments;

    fn arguments(rest: &[&str]) -> String {
        let rest: Vec<_> = rest.iter().map(Into::into).collect();
        let all = cargo_arguments(&rest);
        all.join(" ".as_ref()).into_string().expect("it was UTF-8")
    }

    #[test]
    fn all_packages_are_tested_unless_some_are_chosen() {
        assert_eq!(arguments(&[]), "--workspace --no-fail-fast");
        assert_eq!(arguments(&["--", "-p"]), "--workspace --no-fail-fast -- -p", "that is for the tests");
        assert_eq!(arguments(&["--all-features"]), "--workspace --no-fail-fast --all-features");
        assert_eq!(arguments(&["-p", "a"]), "--no-fail-fast -p a");
        assert_eq!(arguments(&["-pa"]), "--no-fail-fast -pa");
        assert_eq!(arguments(&["--package=a", "--no-fail-fast"]), "--package=a --no-fail-fast");
    }
}
