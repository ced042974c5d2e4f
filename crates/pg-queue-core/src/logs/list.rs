//! Looking at logs.

use std::time::Duration;

use sqlx::PgExecutor;

use super::{LogName, Retention};
use crate::{DatabaseError, Schema, sql};

/// A log, and what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogStatus {
    /// Its name.
    pub name: LogName,
    /// For how long it keeps its messages.
    pub retention: Retention,
    /// What it takes on the disk.
    pub bytes: u64,
    /// In how many segments.
    pub segments: u32,
}

/// All logs of the schema, by name.
///
/// # Errors
/// The migrations are missing or the database failed.
pub async fn list(executor: impl PgExecutor<'_>, schema: &Schema) -> Result<Vec<LogStatus>, DatabaseError> {
    type Row = (String, Option<i64>, Option<i64>, i64, i64);
    let rows: Vec<Row> = sql::query_as(include_str!("list.sql"), schema)
        .fetch_all(executor)
        .await
        .map_err(|error| DatabaseError::new(error, schema))?;
    let read = |(name, age, kept, bytes, segments): Row| {
        let name = LogName::new(name).map_err(|error| DatabaseError::Other(sqlx::Error::Decode(error.into())))?;
        let age = age.map(|millis| Duration::from_millis(millis.unsigned_abs()));
        let retention = Retention { age, bytes: kept.map(i64::unsigned_abs) };
        let segments = u32::try_from(segments).unwrap_or(u32::MAX);
        Ok(LogStatus { name, retention, bytes: bytes.unsigned_abs(), segments })
    };
    rows.into_iter().map(read).collect()
}

/// The names of all logs, in order; without a look at what they take.
///
/// # Errors
/// The migrations are missing or the database failed.
pub async fn names(executor: impl PgExecutor<'_>, schema: &Schema) -> Result<Vec<LogName>, DatabaseError> {
    let names: Vec<String> = sql::query_scalar(include_str!("names.sql"), schema)
        .fetch_all(executor)
        .await
        .map_err(|error| DatabaseError::new(error, schema))?;
    let read = |name| LogName::new(name).map_err(|error| DatabaseError::Other(sqlx::Error::Decode(error.into())));
    names.into_iter().map(read).collect()
}
