//! A single connection for administration, with bounded patience and without passwords in its errors.

use std::{io, time::Duration};

use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection, postgres::PgConnectOptions};
use tokio::time::timeout;

use crate::DatabaseError;

/// A host that drops packets would otherwise hold a test for two minutes.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// Reads a URL, of PostgreSQL and nothing else: the parser does not look at the scheme.
pub(crate) fn parse(url: &str) -> Result<PgConnectOptions, sqlx::Error> {
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err(sqlx::Error::Configuration("it does not begin with postgres:// or postgresql://".into()));
    }
    url.parse()
}

/// Who connects to what, without the password.
pub(crate) fn describe(options: &PgConnectOptions) -> String {
    let user = options.get_username();
    let host = options.get_socket().map_or(options.get_host().into(), |socket| socket.to_string_lossy());
    // PostgreSQL's rule: without a name, the database is called like the user.
    let database = options.get_database().unwrap_or(user);
    format!("database {database:?} on {host}:{} as {user:?}", options.get_port())
}

pub(crate) async fn connect(options: &PgConnectOptions) -> Result<PgConnection, DatabaseError> {
    let options = options.clone().disable_statement_logging();
    let connected = match timeout(CONNECT_LIMIT, options.connect()).await {
        Ok(connected) => connected,
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "no answer within 10 s").into()),
    };
    connected.map_err(|source| DatabaseError::Connect { server: describe(&options), source })
}

/// Runs a statement made of words and names of our own, nothing from outside.
pub(crate) async fn run(connection: &mut PgConnection, statement: String) -> Result<(), DatabaseError> {
    match sqlx::raw_sql(AssertSqlSafe(statement.clone())).execute(connection).await {
        Ok(_) => Ok(()),
        Err(source) => Err(DatabaseError::Statement { what: statement, source }),
    }
}

/// Makes a database as a copy of another one, by copying its files: for a database as small as a test's this is several
/// times faster than through the write-ahead log, the default since PostgreSQL 15. Earlier versions have no choice.
pub(crate) async fn create_database(
    connection: &mut PgConnection,
    name: &str,
    template: &str,
) -> Result<(), DatabaseError> {
    let has_choice = connection.server_version_num().is_some_and(|version| version >= 15_00_00);
    let strategy = if has_choice { " strategy file_copy" } else { "" };
    run(connection, format!("create database \"{name}\" template \"{template}\"{strategy}")).await
}
