//! How workers are to treat a queue.

use std::time::Duration;

use sqlx::PgExecutor;

use crate::{DatabaseError, QueueError, QueueName, QueueTable, Schema, sql, timestamp::micros};

/// How workers are to treat a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueSettings {
    /// Whether nothing is claimed from it.
    pub paused: bool,
    /// How many of its jobs one worker runs at once; `None` is what the worker was built with.
    pub concurrency: Option<u32>,
    /// How long completed jobs are kept; `None` is not at all, unless their kind asks for it.
    pub keep_completed: Option<Duration>,
    /// How long discarded and cancelled jobs are kept. Default: 7 days.
    pub keep_discarded: Duration,
}

/// As many columns as `settings.sql` returns.
type Row = (String, bool, Option<i32>, Option<i64>, i64);

/// The settings of those of `queues` that exist.
///
/// # Errors
/// The migrations are missing or the database failed.
pub async fn settings(
    executor: impl PgExecutor<'_>,
    schema: &Schema,
    queues: &[QueueName],
) -> Result<Vec<(QueueName, QueueSettings)>, DatabaseError> {
    let names: Vec<&str> = queues.iter().map(QueueName::as_str).collect();
    let rows: Vec<Row> = sql::query_as(include_str!("settings.sql"), schema)
        .bind(names)
        .fetch_all(executor)
        .await
        .map_err(|error| DatabaseError::new(error, schema))?;
    let span = |micros: i64| Duration::from_micros(u64::try_from(micros).unwrap_or(0));
    let read = |(name, paused, concurrency, completed, discarded): Row| {
        let queue = queues.iter().find(|queue| queue.as_str() == name)?.clone();
        let concurrency = concurrency.and_then(|jobs| u32::try_from(jobs).ok());
        let keep_completed = completed.map(span);
        Some((queue, QueueSettings { paused, concurrency, keep_completed, keep_discarded: span(discarded) }))
    };
    Ok(rows.into_iter().filter_map(read).collect())
}

/// Stops claims from the queue, or lets them go on. What runs goes on in any case.
///
/// # Errors
/// The queue is missing or the database failed.
pub async fn pause(executor: impl PgExecutor<'_>, table: &QueueTable, paused: bool) -> Result<(), QueueError> {
    let changed = sql::query(include_str!("pause.sql"), table.schema())
        .bind(table.queue().as_str())
        .bind(paused)
        .fetch_optional(executor)
        .await;
    there(changed, table)
}

/// Sets how many jobs of the queue one worker runs at once: 1 to 1,000,000, or what each worker was built with.
///
/// # Errors
/// The queue is missing or the database failed, which it does with a number out of range.
pub async fn limit(
    executor: impl PgExecutor<'_>,
    table: &QueueTable,
    concurrency: Option<u32>,
) -> Result<(), QueueError> {
    let changed = sql::query(include_str!("limit.sql"), table.schema())
        .bind(table.queue().as_str())
        .bind(concurrency.map(|jobs| i32::try_from(jobs).unwrap_or(i32::MAX)))
        .fetch_optional(executor)
        .await;
    there(changed, table)
}

/// Sets for how long finished jobs of the queue are kept, from now on: completed ones (`None` is not at all, unless their
/// kind asks for it), and discarded and cancelled ones.
///
/// # Errors
/// The queue is missing or the database failed.
pub async fn keep(
    executor: impl PgExecutor<'_>,
    table: &QueueTable,
    completed: Option<Duration>,
    discarded: Duration,
) -> Result<(), QueueError> {
    let changed = sql::query(include_str!("keep.sql"), table.schema())
        .bind(table.queue().as_str())
        .bind(completed.map(micros))
        .bind(micros(discarded))
        .fetch_optional(executor)
        .await;
    there(changed, table)
}

fn there<T>(changed: Result<Option<T>, sqlx::Error>, table: &QueueTable) -> Result<(), QueueError> {
    match changed {
        Ok(Some(_)) => Ok(()),
        Ok(None) => Err(QueueError::Missing(table.queue().clone())),
        Err(error) => Err(QueueError::Database(DatabaseError::new(error, table.schema()))),
    }
}
