//! `cargo xtask migrate`: brings a database up to date, or says what it lacks.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use anyhow::{Context, Result};
use clap::Subcommand;
use pg_queue::{
    Schema,
    migrations::{self, MigrateError, Migration, Status},
};
use sqlx::{Connection, PgConnection};

use crate::database;

const EXAMPLES: &str = "\
Examples:
  DATABASE_URL=postgres://user:password@host/database cargo xtask migrate
  cargo xtask migrate --schema jobs status
  cargo xtask migrate print | psql --single-transaction database

A URL in DATABASE_URL stays out of the shell's history and the list of processes.";

/// Bring a database up to date: apply pg-queue's migrations that it lacks
///
/// All that are missing are applied in one transaction. Running it again does nothing.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The database, such as postgres://user:password@host:5432/database
    #[arg(long, global = true, value_name = "URL", env = "DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,

    /// The schema that holds pg-queue's tables; it is made if it is missing
    #[arg(long, global = true, value_name = "NAME", default_value_t)]
    schema: Schema,

    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum Action {
    /// List which migrations the database has; exit status 1 when some are pending
    Status,
    /// Write all migrations as plain SQL, for another tool; needs no database
    Print,
}

pub(crate) fn run(args: Args) -> Result<ExitCode> {
    let Args { database_url, schema, action } = args;
    if let Some(Action::Print) = action {
        return print(&migrations::script(&schema));
    }
    database::block_on(async {
        let mut connection = database::connect(database_url.as_deref()).await?;
        let done = match action {
            Some(_) => show_status(&mut connection, &schema).await,
            None => apply(&mut connection, &schema).await.map(|report| (report, Ok(()))),
        };
        // The work is done or failed by now; a farewell that does not arrive changes neither.
        let _ = connection.close().await;
        let (report, verdict) = done?;
        print!("{report}");
        verdict?;
        println!("schema \"{schema}\" is up to date");
        Ok(ExitCode::SUCCESS)
    })
}

async fn apply(connection: &mut PgConnection, schema: &Schema) -> Result<String> {
    let applied = migrations::run(connection, schema).await.map_err(explain)?;
    if applied.is_empty() {
        return Ok("nothing to do\n".to_owned());
    }
    Ok(applied.iter().map(|it| format!("applied  {}\n", label(it))).collect())
}

/// What there is, and whether this version of the library can work with it.
async fn show_status(connection: &mut PgConnection, schema: &Schema) -> Result<(String, Result<(), MigrateError>)> {
    let status = migrations::status(connection, schema).await.map_err(explain)?;
    Ok((listing(&status), status.check(schema)))
}

fn listing(status: &Status) -> String {
    let applied = status.applied.iter().map(|it| format!("applied  {}\n", label(it)));
    let pending = status.pending.iter().map(|it| format!("pending  {}\n", label(it)));
    let newer = status.newer.iter().map(|(version, name, breaking)| {
        let breaking = if *breaking { "  breaking" } else { "" };
        format!("newer    {version:04}_{name}{breaking}\n")
    });
    applied.chain(pending).chain(newer).collect()
}

fn label(migration: &Migration) -> String {
    format!("{:04}_{}", migration.version, migration.name)
}

/// The one refusal that a user meets who did everything right, and can do nothing about without its reason.
fn explain(error: MigrateError) -> anyhow::Error {
    let error = anyhow::Error::from(error);
    let is_denied = error.chain().any(|cause| {
        let cause = cause.downcast_ref::<sqlx::Error>();
        let database = cause.and_then(sqlx::Error::as_database_error);
        database.is_some_and(|it| it.code().as_deref() == Some("42501"))
    });
    if is_denied {
        error.context(
            "the user may not do that: migrate as the owner of the database, or let the owner \
             `grant create on schema .. to ..` (or `on database`, if the schema is to be made)",
        )
    } else {
        error
    }
}

fn print(script: &str) -> Result<ExitCode> {
    match io::stdout().write_all(script.as_bytes()) {
        // `| head` has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        written => {
            written.context("the script could not be written")?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

#[cfg(test)]
mod tests {
    use pg_queue::{Schema, migrations::MIGRATIONS};
    use pg_queue_embedded::{Database, shared};
    use sqlx::{Connection, PgConnection};

    use super::{apply, show_status};

    #[tokio::test]
    async fn migrating_twice_applies_all_and_then_nothing() -> anyhow::Result<()> {
        let database = Database::create(shared()).await?;
        let mut connection = PgConnection::connect(database.url()).await?;
        let schema = Schema::new("work")?;

        let (listing, verdict) = show_status(&mut connection, &schema).await?;
        assert_eq!(listing.lines().filter(|line| line.starts_with("pending  ")).count(), MIGRATIONS.len());
        assert!(verdict.is_err(), "pending migrations are a failure");

        let report = apply(&mut connection, &schema).await?;
        assert_eq!(report.lines().filter(|line| line.starts_with("applied  ")).count(), MIGRATIONS.len());
        assert_eq!(apply(&mut connection, &schema).await?, "nothing to do\n");

        sqlx::query("insert into work.pg_queue_migrations values (9999, 'later', 'x', false)")
            .execute(&mut connection)
            .await?;
        let (listing, verdict) = show_status(&mut connection, &schema).await?;
        assert!(listing.contains("applied  0001_") && listing.contains("newer    9999_later\n"), "{listing}");
        assert!(verdict.is_ok(), "a newer migration is no failure unless it is marked as breaking");
        Ok(())
    }

    #[tokio::test]
    async fn a_user_without_rights_learns_which_ones_are_missing() -> anyhow::Result<()> {
        let database = Database::create(shared()).await?;
        let mut connection = PgConnection::connect(database.url()).await?;
        sqlx::raw_sql("revoke create on schema public from public; set role pg_monitor")
            .execute(&mut connection)
            .await?;

        let error = apply(&mut connection, &Schema::default()).await.expect_err("it may not create tables");
        assert!(error.to_string().contains("grant create on schema"), "{error:#}");
        Ok(())
    }
}
