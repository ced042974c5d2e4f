//! Making, dropping and rotating logs.

use sqlx::PgExecutor;

use super::{LogError, LogName, LogTable, Retention};
use crate::{DatabaseError, sql};

/// Makes the log, or sets for how long an existing one keeps its messages. The same as `select pg_queue_create_log('name')`.
///
/// # Errors
/// A table of that name exists and is not ours, a retention of nothing, the migrations are missing, or a lock was not free
/// within 5 s.
pub async fn create(executor: impl PgExecutor<'_>, table: &LogTable, retention: Retention) -> Result<(), LogDdlError> {
    let millis = |age: std::time::Duration| i64::try_from(age.as_millis()).unwrap_or(i64::MAX / 1_000_000);
    sql::query(include_str!("create.sql"), table.schema())
        .bind(table.log().as_str())
        .bind(retention.age.map(millis))
        .bind(retention.bytes.map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX)))
        .execute(executor)
        .await
        .map_err(|error| LogDdlError::new(error, table))?;
    Ok(())
}

/// Drops the log with its messages, its groups and what they have parked. Answers whether there was one.
///
/// # Errors
/// A lock was not free within 5 s, or the database failed.
pub async fn drop(executor: impl PgExecutor<'_>, table: &LogTable) -> Result<bool, LogDdlError> {
    sql::query_scalar(include_str!("drop.sql"), table.schema())
        .bind(table.log().as_str())
        .fetch_one(executor)
        .await
        .map_err(|error| LogDdlError::new(error, table))
}

/// Whether there is such a log.
///
/// # Errors
/// The database failed.
pub async fn exists(executor: impl PgExecutor<'_>, table: &LogTable) -> Result<bool, LogError> {
    sql::query_scalar(include_str!("exists.sql"), table.schema())
        .bind(table.log().as_str())
        .fetch_one(executor)
        .await
        .map_err(|error| LogError::new(error, table))
}

/// Opens a new segment of the log and drops old ones, where it is time. Answers how many were dropped. A transaction that has
/// the log open holds dropping up, until the next call.
///
/// # Errors
/// The database failed.
pub async fn rotate(executor: impl PgExecutor<'_>, table: &LogTable) -> Result<u32, LogError> {
    let dropped: i32 = sql::query_scalar(include_str!("rotate.sql"), table.schema())
        .bind(table.log().as_str())
        .fetch_one(executor)
        .await
        .map_err(|error| LogError::new(error, table))?;
    Ok(dropped.unsigned_abs())
}

/// Why a log was not made or not dropped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogDdlError {
    /// The name breaks the rule.
    #[error(transparent)]
    InvalidName(#[from] super::InvalidLogName),
    /// A table with the log's table name exists and is not pg-queue's.
    #[error("{0}")]
    NotOurs(String),
    /// A retention of nothing.
    #[error("{0}")]
    InvalidRetention(String),
    /// Another transaction holds a lock on the tables; trying again helps when that one ends.
    #[error("log \"{0}\" is locked by another transaction, and was not free within 5 s: try again")]
    Locked(LogName),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl LogDdlError {
    fn new(error: sqlx::Error, table: &LogTable) -> Self {
        if let sqlx::Error::Database(inner) = &error {
            let ours = inner.table() == Some(&format!("log_{}", table.log()));
            match inner.code().as_deref() {
                Some("42P07") if ours => return Self::NotOurs(inner.message().to_owned()),
                Some("22023") => return Self::InvalidRetention(inner.message().to_owned()),
                Some("55P03") => return Self::Locked(table.log().clone()),
                _ => {}
            }
        }
        Self::Database(DatabaseError::new(error, table.schema()))
    }
}
