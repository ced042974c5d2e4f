//! Receiving a batch.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use sqlx::PgExecutor;

use super::{GroupError, GroupName, LogTable, Position};
use crate::{
    DatabaseError, sql,
    timestamp::{Timestamp, micros},
};

/// A batch in the hands of a member: 64 random bits, which nobody else has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BatchId(pub(crate) i64);

impl BatchId {
    /// Draws a new one.
    #[must_use]
    pub fn random() -> Self {
        Self(rand::random())
    }
}

/// A message that was received from a log.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoggedMessage {
    /// Where it is in the log.
    pub position: Position,
    /// How often the group has tried it, this time included.
    pub attempt: u16,
    /// When the transaction began that published it, on the server's clock.
    pub sent_at: SystemTime,
    /// What its publisher said about it.
    pub attributes: BTreeMap<String, String>,
    /// What it says, as JSON.
    pub body: String,
}

pub(super) fn attributes(json: Option<String>) -> Result<BTreeMap<String, String>, DatabaseError> {
    let Some(json) = json else { return Ok(BTreeMap::new()) };
    let read: BTreeMap<String, serde_json::Value> =
        serde_json::from_str(&json).map_err(|error| DatabaseError::Other(sqlx::Error::Decode(error.into())))?;
    // SQL users may have written something else than texts.
    let text = |value| if let serde_json::Value::String(text) = value { text } else { value.to_string() };
    Ok(read.into_iter().map(|(name, value)| (name, text(value))).collect())
}

/// Deals up to `most` messages to a member of the group, in the order of their positions; none if there are none. They are the
/// member's for `lease`, under `batch`.
///
/// What failed and is to be tried again comes before what is new, and in batches of its own. A message during which members have
/// gone away more than once comes alone.
///
/// # Errors
/// The group or the log is missing, the server was restored from a dump, or the database failed.
pub async fn receive(
    executor: impl PgExecutor<'_>,
    table: &LogTable,
    group: &GroupName,
    most: u32,
    lease: Duration,
    batch: BatchId,
) -> Result<Vec<LoggedMessage>, GroupError> {
    type Row = (i64, i64, i32, Timestamp, Option<String>, String);
    let rows: Vec<Row> = sql::query_as(include_str!("receive.sql"), table.schema())
        .bind(table.log().as_str())
        .bind(group.as_str())
        .bind(i32::try_from(most.max(1)).unwrap_or(i32::MAX))
        .bind(micros(lease))
        .bind(batch.0)
        .fetch_all(executor)
        .await
        .map_err(|error| GroupError::new(error, table, group))?;
    let read = |(transaction, number, attempt, Timestamp(sent_at), said, body): Row| {
        let attributes = attributes(said).map_err(super::LogError::from)?;
        let attempt = u16::try_from(attempt).unwrap_or(u16::MAX);
        Ok(LoggedMessage { position: Position { transaction, number }, attempt, sent_at, attributes, body })
    };
    let mut messages: Vec<LoggedMessage> = rows.into_iter().map(read).collect::<Result<_, GroupError>>()?;
    messages.sort_by_key(|message| message.position);
    Ok(messages)
}
