//! Messages that have failed too often.

use std::{collections::BTreeMap, time::SystemTime};

use sqlx::{PgExecutor, Postgres, query::QueryScalar};

use super::{GroupName, LogError, LogTable, Position, receive::attributes};
use crate::{sql, timestamp::Timestamp};

/// A message that its group has tried too often, and what to know about it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParkedMessage {
    /// Where it is, or was, in the log.
    pub position: Position,
    /// How often it was tried.
    pub attempts: u16,
    /// When it was sent.
    pub sent_at: SystemTime,
    /// When it was parked.
    pub parked_at: SystemTime,
    /// What went wrong at last.
    pub error: String,
    /// What its publisher said about it.
    pub attributes: BTreeMap<String, String>,
    /// What it says, as JSON.
    pub body: String,
}

/// Up to `most` messages that the group has parked, by position, after this one.
///
/// # Errors
/// The database failed.
pub async fn parked(
    executor: impl PgExecutor<'_>,
    table: &LogTable,
    group: &GroupName,
    after: Option<Position>,
    most: u32,
) -> Result<Vec<ParkedMessage>, LogError> {
    type Row = (i64, i64, i16, Timestamp, Timestamp, Option<String>, Option<String>, String);
    let after = after.unwrap_or(Position { transaction: 0, number: 0 });
    let rows: Vec<Row> = sql::query_as(include_str!("parked.sql"), table.schema())
        .bind(table.log().as_str())
        .bind(group.as_str())
        .bind(after.transaction.to_string())
        .bind(after.number)
        .bind(i64::from(most))
        .fetch_all(executor)
        .await
        .map_err(|error| LogError::new(error, table))?;
    let read = |(transaction, number, attempts, sent, parked, error, said, body): Row| {
        Ok(ParkedMessage {
            position: Position { transaction, number },
            attempts: attempts.unsigned_abs(),
            sent_at: sent.0,
            parked_at: parked.0,
            error: error.unwrap_or_default(),
            attributes: attributes(said)?,
            body,
        })
    };
    rows.into_iter().map(read).collect()
}

/// Lets the group try these parked messages again, as if for the first time; all of them without a list. Answers how many.
///
/// # Errors
/// The database failed.
pub async fn retry_parked(
    executor: impl PgExecutor<'_>,
    table: &LogTable,
    group: &GroupName,
    positions: Option<&[Position]>,
) -> Result<u64, LogError> {
    let query = sql::query_scalar(include_str!("retry_parked.sql"), table.schema());
    count(query, executor, table, group, positions).await
}

/// Throws these parked messages away; all of them without a list. Answers how many.
///
/// # Errors
/// The database failed.
pub async fn discard_parked(
    executor: impl PgExecutor<'_>,
    table: &LogTable,
    group: &GroupName,
    positions: Option<&[Position]>,
) -> Result<u64, LogError> {
    let query = sql::query_scalar(include_str!("discard_parked.sql"), table.schema());
    count(query, executor, table, group, positions).await
}

async fn count(
    query: QueryScalar<'_, Postgres, bool, sqlx::postgres::PgArguments>,
    executor: impl PgExecutor<'_>,
    table: &LogTable,
    group: &GroupName,
    positions: Option<&[Position]>,
) -> Result<u64, LogError> {
    let transactions = positions.map(|all| all.iter().map(|it| it.transaction.to_string()).collect::<Vec<_>>());
    let numbers = positions.map(|all| all.iter().map(|it| it.number).collect::<Vec<_>>());
    let changed = query
        .bind(table.log().as_str().to_owned())
        .bind(group.as_str().to_owned())
        .bind(transactions)
        .bind(numbers)
        .fetch_all(executor)
        .await
        .map_err(|error| LogError::new(error, table))?;
    Ok(changed.len() as u64)
}
