//! Looking which schedules have a time that has come.

use std::time::SystemTime;

use sqlx::PgExecutor;

use super::stored_schedule::read_missed;
use crate::{DatabaseError, Missed, QueueName, Schema, sql, timestamp::Timestamp};

/// A schedule one of whose times has come.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DueSchedule {
    /// What it is called.
    pub name: String,
    /// Where its jobs go.
    pub queue: QueueName,
    /// When: a cron expression.
    pub expression: String,
    /// The IANA name of the zone whose clock is meant.
    pub timezone: String,
    /// What becomes of times that were missed.
    pub missed: Missed,
    /// The time that has come.
    pub next_at: SystemTime,
    /// The database's now.
    pub now: SystemTime,
}

/// As many columns as `due.sql` returns.
type Row = (String, String, String, String, String, Option<i32>, Timestamp, Timestamp);

/// The schedules one of whose times has come, the longest due first: those that make jobs of `kinds` into `queues`, `None`
/// being any. One whose queue has no queue's name, which only a hand can have written, is left out.
///
/// # Errors
/// The migrations are missing or the database failed.
pub async fn due(
    executor: impl PgExecutor<'_>,
    schema: &Schema,
    kinds: Option<&[String]>,
    queues: Option<&[QueueName]>,
) -> Result<Vec<DueSchedule>, DatabaseError> {
    let queues: Option<Vec<&str>> = queues.map(|queues| queues.iter().map(QueueName::as_str).collect());
    let rows: Vec<Row> = sql::query_as(include_str!("due.sql"), schema)
        .bind(kinds)
        .bind(queues)
        .fetch_all(executor)
        .await
        .map_err(|error| DatabaseError::new(error, schema))?;
    let read = |(name, queue, expression, timezone, missed, catch_up, next_at, now): Row| {
        let queue = QueueName::new(queue).ok()?;
        let missed = read_missed(&missed, catch_up);
        Some(DueSchedule { name, queue, expression, timezone, missed, next_at: next_at.0, now: now.0 })
    };
    Ok(rows.into_iter().filter_map(read).collect())
}
