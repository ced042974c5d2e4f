//! A batch is done, or takes longer.

use std::time::Duration;

use sqlx::PgExecutor;

use super::{BatchId, GroupError, GroupName, LogTable, Position};
use crate::{sql, timestamp::micros};

/// A message of a batch that was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedMessage {
    /// Which one.
    pub position: Position,
    /// What went wrong. Without NULs, which the database does not take: they are left out.
    pub error: String,
}

/// A batch is done, but for the messages in `failed`: those are tried again later, or parked if they have failed too often.
///
/// In a transaction it is done when that commits: with what a member writes in the same one, each message has its effect exactly
/// once.
///
/// # Errors
/// The batch is lost, in which case nothing has changed and the transaction is to be rolled back; or the database failed.
pub async fn acknowledge(
    executor: impl PgExecutor<'_>,
    table: &LogTable,
    group: &GroupName,
    batch: BatchId,
    failed: &[FailedMessage],
) -> Result<(), GroupError> {
    let transactions: Vec<String> = failed.iter().map(|failed| failed.position.transaction.to_string()).collect();
    let numbers: Vec<i64> = failed.iter().map(|failed| failed.position.number).collect();
    let errors: Vec<String> = failed.iter().map(|failed| failed.error.replace('\0', "")).collect();
    let done: bool = sql::query_scalar(include_str!("acknowledge.sql"), table.schema())
        .bind(table.log().as_str())
        .bind(group.as_str())
        .bind(batch.0)
        .bind(transactions)
        .bind(numbers)
        .bind(errors)
        .fetch_one(executor)
        .await
        .map_err(|error| GroupError::new(error, table, group))?;
    if done { Ok(()) } else { Err(GroupError::Lost) }
}

/// The member keeps its batch until `lease` from now.
///
/// # Errors
/// The batch is lost, or the database failed.
pub async fn extend(
    executor: impl PgExecutor<'_>,
    table: &LogTable,
    group: &GroupName,
    batch: BatchId,
    lease: Duration,
) -> Result<(), GroupError> {
    let kept: Option<bool> = sql::query_scalar(include_str!("extend.sql"), table.schema())
        .bind(table.log().as_str())
        .bind(group.as_str())
        .bind(batch.0)
        .bind(micros(lease))
        .fetch_optional(executor)
        .await
        .map_err(|error| GroupError::new(error, table, group))?;
    kept.map(drop).ok_or(GroupError::Lost)
}
