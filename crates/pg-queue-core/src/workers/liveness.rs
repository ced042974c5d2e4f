//! Who is alive.

use std::time::Duration;

use sqlx::PgExecutor;

use crate::{DatabaseError, QueueName, Schema, WorkerId, sql};

/// What a worker says of itself when it starts.
#[derive(Debug, Clone)]
pub struct Registration {
    /// Its id, new for every process life.
    pub id: WorkerId,
    /// A name for people: host and process.
    pub name: String,
    /// The queues that it claims from.
    pub queues: Vec<QueueName>,
    /// The kinds that it runs.
    pub kinds: Vec<String>,
    /// The time between two of its beats. Whoever misses three of them may declare it dead.
    pub beat_interval: Duration,
}

/// Enters a worker. Must have returned before the worker's first claim.
///
/// # Errors
/// The migrations are missing or the database failed.
pub async fn register(
    executor: impl PgExecutor<'_>,
    schema: &Schema,
    worker: &Registration,
) -> Result<(), DatabaseError> {
    sql::query(include_str!("register.sql"), schema)
        .bind(worker.id.0)
        .bind(&worker.name)
        .bind(worker.queues.iter().map(QueueName::as_str).collect::<Vec<_>>())
        .bind(&worker.kinds)
        .bind(i32::try_from(worker.beat_interval.as_millis()).unwrap_or(i32::MAX).max(1))
        .execute(executor)
        .await
        .map_err(|error| DatabaseError::new(error, schema))?;
    Ok(())
}

/// Beats. `false` means that the worker was declared dead: it must stop its handlers and take a new id.
///
/// # Errors
/// The database failed.
pub async fn beat(executor: impl PgExecutor<'_>, schema: &Schema, worker: WorkerId) -> Result<bool, DatabaseError> {
    let alive = sql::query(include_str!("beat.sql"), schema)
        .bind(worker.0)
        .fetch_optional(executor)
        .await
        .map_err(|error| DatabaseError::new(error, schema))?;
    Ok(alive.is_some())
}

/// A worker as others see it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Observed {
    /// Its id.
    pub id: WorkerId,
    /// How often it has beaten.
    pub beat: i64,
    /// The time between two of its beats.
    pub beat_interval: Duration,
    /// The queues that it claims from.
    pub queues: Vec<String>,
    /// How long it has been dead; `None` while it lives.
    pub dead_for: Option<Duration>,
}

/// As many columns as `observe.sql` returns.
type ObservedRow = (i64, i64, i32, Vec<String>, Option<i64>);

/// All workers, the dead of the last day included.
///
/// # Errors
/// The database failed.
pub async fn observe(executor: impl PgExecutor<'_>, schema: &Schema) -> Result<Vec<Observed>, DatabaseError> {
    let rows: Vec<ObservedRow> = sql::query_as(include_str!("observe.sql"), schema)
        .fetch_all(executor)
        .await
        .map_err(|error| DatabaseError::new(error, schema))?;
    let millis = |millis: i64| Duration::from_millis(u64::try_from(millis).unwrap_or(0));
    Ok(rows
        .into_iter()
        .map(|(id, beat, interval, queues, dead_for)| Observed {
            id: WorkerId(id),
            beat,
            beat_interval: millis(interval.into()),
            queues,
            dead_for: dead_for.map(millis),
        })
        .collect())
}

/// The timeline of the server's log: another one after every failover, the same after a restart.
///
/// # Errors
/// The database failed, or does not tell: a service that hides its log from its users.
pub async fn timeline(executor: impl PgExecutor<'_>, schema: &Schema) -> Result<String, DatabaseError> {
    sql::query_scalar(include_str!("timeline.sql"), schema)
        .fetch_one(executor)
        .await
        .map_err(|error| DatabaseError::new(error, schema))
}

/// Declares a worker dead if it has not beaten since `beat` was read. Answers whether this call did it.
///
/// # Errors
/// The database failed.
pub async fn declare_dead(
    executor: impl PgExecutor<'_>,
    schema: &Schema,
    worker: WorkerId,
    beat: i64,
) -> Result<bool, DatabaseError> {
    let dead = sql::query(include_str!("declare_dead.sql"), schema)
        .bind(worker.0)
        .bind(beat)
        .fetch_optional(executor)
        .await
        .map_err(|error| DatabaseError::new(error, schema))?;
    Ok(dead.is_some())
}

/// Ends a worker's registration: removed, or marked dead when it may still hold jobs, so that others rescue them.
///
/// # Errors
/// The database failed.
pub async fn retire(
    executor: impl PgExecutor<'_>,
    schema: &Schema,
    worker: WorkerId,
    holds_jobs: bool,
) -> Result<(), DatabaseError> {
    sql::query(include_str!("retire.sql"), schema)
        .bind(worker.0)
        .bind(holds_jobs)
        .execute(executor)
        .await
        .map_err(|error| DatabaseError::new(error, schema))?;
    Ok(())
}

/// Forgets workers that have been dead for a day.
///
/// # Errors
/// The database failed.
pub async fn prune(executor: impl PgExecutor<'_>, schema: &Schema) -> Result<(), DatabaseError> {
    sql::query(include_str!("prune.sql"), schema)
        .execute(executor)
        .await
        .map_err(|error| DatabaseError::new(error, schema))?;
    Ok(())
}
