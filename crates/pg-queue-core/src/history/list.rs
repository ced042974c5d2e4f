//! Looking at finished jobs.

use sqlx::PgExecutor;

use super::{FinishedJob, HistoryFilter};
use crate::{DatabaseError, JobId, QueueName, Schema, sql};

/// Finished jobs that `filter` means, by id from `after` on, up to `limit`.
///
/// # Errors
/// The migrations are missing or the database failed.
pub async fn list(
    executor: impl PgExecutor<'_>,
    schema: &Schema,
    filter: &HistoryFilter,
    after: Option<JobId>,
    limit: u32,
) -> Result<Vec<FinishedJob>, DatabaseError> {
    sql::query_as(include_str!("list.sql"), schema)
        .bind(after.map_or(i64::MIN, JobId::get))
        .bind(filter.queue.as_ref().map(QueueName::as_str))
        .bind(filter.states.as_deref())
        .bind(filter.kinds.as_deref())
        .bind(filter.tags.as_deref())
        .bind(filter.finished_before)
        .bind(i64::from(limit))
        .fetch_all(executor)
        .await
        .map_err(|error| DatabaseError::new(error, schema))
}

/// The ids of finished jobs that `filter` means and their queues, from `after` on, up to `limit`: for what is done to many in
/// steps.
///
/// # Errors
/// The migrations are missing or the database failed.
pub async fn find(
    executor: impl PgExecutor<'_>,
    schema: &Schema,
    filter: &HistoryFilter,
    after: Option<JobId>,
    limit: u32,
) -> Result<Vec<(JobId, String)>, DatabaseError> {
    let found: Vec<(i64, String)> = sql::query_as(include_str!("find.sql"), schema)
        .bind(after.map_or(i64::MIN, JobId::get))
        .bind(filter.queue.as_ref().map(QueueName::as_str))
        .bind(filter.states.as_deref())
        .bind(filter.kinds.as_deref())
        .bind(filter.tags.as_deref())
        .bind(filter.finished_before)
        .bind(i64::from(limit))
        .fetch_all(executor)
        .await
        .map_err(|error| DatabaseError::new(error, schema))?;
    Ok(found.into_iter().map(|(id, queue)| (JobId(id), queue)).collect())
}

/// One finished job; `None` when it is not kept, or has not finished.
///
/// # Errors
/// The migrations are missing or the database failed.
pub async fn get(
    executor: impl PgExecutor<'_>,
    schema: &Schema,
    id: JobId,
) -> Result<Option<FinishedJob>, DatabaseError> {
    sql::query_as(include_str!("get.sql"), schema)
        .bind(id.get())
        .fetch_optional(executor)
        .await
        .map_err(|error| DatabaseError::new(error, schema))
}
