//! Looking at unfinished jobs.

use std::time::SystemTime;

use serde_json::{Map, Value};
use sqlx::{FromRow, PgExecutor, Row, postgres::PgRow};

use super::{JobFilter, JobState};
use crate::{
    AttemptError, JobId, Priority, QueueError, QueueTable, WorkerId, errors::read_errors, sql, timestamp::Timestamp,
};

/// An unfinished job as it stands in its queue.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StoredJob {
    /// Which job.
    pub id: JobId,
    /// What it is doing.
    pub state: JobState,
    /// What type of job it is.
    pub kind: String,
    /// Its payload, as JSON.
    pub payload: String,
    /// Which jobs it runs before.
    pub priority: Priority,
    /// How many attempts were begun.
    pub attempt: u16,
    /// How many attempts it has in all.
    pub max_attempts: u16,
    /// When it is due.
    pub run_at: SystemTime,
    /// When it was enqueued.
    pub created_at: SystemTime,
    /// Since when it runs.
    pub started_at: Option<SystemTime>,
    /// Who runs it; `None` while it waits, and for a hand-driven consumer.
    pub worker: Option<WorkerId>,
    /// Whether it runs and is to be cancelled.
    pub cancel_requested: bool,
    /// How far it says that it has come, from 0 to 1.
    pub progress: Option<f32>,
    /// What it says that it is at.
    pub progress_note: Option<String>,
    /// Its unique key, as it is stored: with its kind before it, if it is unique among that.
    pub unique_key: Option<String>,
    /// The words to find it by.
    pub tags: Vec<String>,
    /// What it carries beside its payload.
    pub metadata: Map<String, Value>,
    /// What went wrong in its attempts, the last hundred.
    pub errors: Vec<AttemptError>,
}

impl FromRow<'_, PgRow> for StoredJob {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let number = |at: usize| row.try_get::<i16, _>(at).map(|number| u16::try_from(number).unwrap_or(0));
        Ok(Self {
            id: JobId(row.try_get(0)?),
            state: JobState::from_words(row.try_get(1)?),
            kind: row.try_get(2)?,
            payload: row.try_get(3)?,
            priority: Priority::from_column(row.try_get(4)?),
            attempt: number(5)?,
            max_attempts: number(6)?,
            run_at: row.try_get::<Timestamp, _>(7)?.0,
            created_at: row.try_get::<Timestamp, _>(8)?.0,
            started_at: row.try_get::<Option<Timestamp>, _>(9)?.map(|moment| moment.0),
            worker: row.try_get::<Option<i64>, _>(10)?.map(WorkerId),
            cancel_requested: row.try_get(11)?,
            progress: row.try_get(12)?,
            progress_note: row.try_get(13)?,
            unique_key: row.try_get(14)?,
            tags: row.try_get::<Option<_>, _>(15)?.unwrap_or_default(),
            metadata: crate::errors::read_object(row.try_get(16)?),
            errors: read_errors(row.try_get(17)?),
        })
    }
}

/// Unfinished jobs that `filter` means, by id from `after` on, up to `limit`.
///
/// # Errors
/// The queue is missing or the database failed.
pub async fn list(
    executor: impl PgExecutor<'_>,
    table: &QueueTable,
    filter: &JobFilter,
    after: Option<JobId>,
    limit: u32,
) -> Result<Vec<StoredJob>, QueueError> {
    sql::query_as(include_str!("list.sql"), table)
        .bind(after.map_or(i64::MIN, JobId::get))
        .bind(filter.kinds.as_deref())
        .bind(filter.tags.as_deref())
        .bind(filter.states.as_deref())
        .bind(filter.created_before)
        .bind(i64::from(limit))
        .fetch_all(executor)
        .await
        .map_err(|error| QueueError::new(error, table))
}

/// The ids of unfinished jobs that `filter` means, from `after` on, up to `limit`: for what is done to many in steps.
///
/// # Errors
/// The queue is missing or the database failed.
pub async fn find(
    executor: impl PgExecutor<'_>,
    table: &QueueTable,
    filter: &JobFilter,
    after: Option<JobId>,
    limit: u32,
) -> Result<Vec<JobId>, QueueError> {
    let ids: Vec<i64> = sql::query_scalar(include_str!("find.sql"), table)
        .bind(after.map_or(i64::MIN, JobId::get))
        .bind(filter.kinds.as_deref())
        .bind(filter.tags.as_deref())
        .bind(filter.states.as_deref())
        .bind(filter.created_before)
        .bind(i64::from(limit))
        .fetch_all(executor)
        .await
        .map_err(|error| QueueError::new(error, table))?;
    Ok(ids.into_iter().map(JobId).collect())
}

/// One unfinished job; `None` when it is not in the queue.
///
/// # Errors
/// The queue is missing or the database failed.
pub async fn get(
    executor: impl PgExecutor<'_>,
    table: &QueueTable,
    id: JobId,
) -> Result<Option<StoredJob>, QueueError> {
    sql::query_as(include_str!("get.sql"), table)
        .bind(id.get())
        .fetch_optional(executor)
        .await
        .map_err(|error| QueueError::new(error, table))
}
