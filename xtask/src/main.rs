//! The project's own commands: `cargo xtask --help`.
#![forbid(unsafe_code)]

mod bench;
// It stops processes, and connects them by sockets of Unix.
#[cfg(unix)]
mod chaos;
mod database;
mod demo;
mod interrupt;
mod lifeline;
mod migrate;
mod numbers;
mod postgres;
mod process;
mod report;
mod test;
mod tidy;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

const EXAMPLES: &str = "\
Examples:
  cargo xtask demo                               all of it at work, and a crash in the middle
  cargo xtask chaos                              workers that are killed, stopped and cut off, and what came of it
  cargo xtask test                               all tests, on a private PostgreSQL
  cargo xtask test --pg 14 -- -p pg-queue-core   one crate's tests, on PostgreSQL 14
  cargo xtask bench drain                        how fast it is, beside others
  cargo xtask migrate status                     what the database in DATABASE_URL has and lacks
  cargo xtask migrate print > pg_queue.sql       the tables as plain SQL, for another tool
  cargo xtask tidy                               the rules that no compiler knows";

/// The commands of the pg-queue project.
#[derive(Debug, Parser)]
#[command(name = "xtask", bin_name = "cargo xtask", after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Bench(bench::Args),
    #[cfg(unix)]
    Chaos(chaos::Args),
    /// A worker process of the chaos, which starts it
    #[cfg(unix)]
    #[command(hide = true)]
    ChaosWorker,
    Demo(demo::Args),
    /// A worker process of the demo, which starts it
    #[command(hide = true)]
    DemoWorker,
    Migrate(migrate::Args),
    Test(test::Args),
    Tidy(tidy::Args),
    Postgres(postgres::Args),
}

fn main() -> ExitCode {
    let command = match Cli::try_parse() {
        Ok(cli) => cli.command,
        Err(error) => return report::usage(&error),
    };
    let done = match command {
        Command::Bench(args) => bench::run(&args),
        #[cfg(unix)]
        Command::Chaos(args) => chaos::run(&args),
        #[cfg(unix)]
        Command::ChaosWorker => chaos::run_worker(),
        Command::Demo(args) => demo::run(&args),
        Command::DemoWorker => demo::run_worker(),
        Command::Migrate(args) => migrate::run(args),
        Command::Test(args) => test::run(&args),
        Command::Tidy(args) => tidy::run(&args),
        Command::Postgres(args) => postgres::run(&args),
    };
    done.unwrap_or_else(|error| report::failure(&error))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        super::Cli::command().debug_assert();
    }

    #[test]
    fn help_never_shows_the_database_url() {
        let mut cli = super::Cli::command();
        let migrate = cli.find_subcommand_mut("migrate").expect("there is such a command");
        let help = migrate.render_long_help().to_string();
        assert!(help.contains("[env: DATABASE_URL]"), "{help}");
        assert!(!help.contains("[env: DATABASE_URL="), "{help}");
    }
}
