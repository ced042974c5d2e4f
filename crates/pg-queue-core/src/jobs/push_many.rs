//! Enqueuing many jobs in one statement.

use serde::Serialize;
use sqlx::PgExecutor;

use super::{
    PushError, PushOptions,
    new_job::{RAW_KIND, to_json},
};
use crate::{
    JobId, QueueError, QueueTable, sql,
    timestamp::{Timestamp, micros},
};

/// Enqueues a job for each payload, in one statement: all or none. Answers the ids in the order of the payloads.
///
/// # Errors
/// The options hold a unique key (it cannot be the same for many), a payload is too long or does not serialize, the
/// queue is missing, or the database failed.
pub async fn push_many<'p, P: Serialize + 'p>(
    executor: impl PgExecutor<'_>,
    table: &QueueTable,
    payloads: impl IntoIterator<Item = &'p P>,
    options: &PushOptions,
) -> Result<Vec<JobId>, PushError> {
    if options.unique_key.is_some() {
        return Err(PushError::InvalidUniqueKey);
    }
    let max_attempts = options.checked_max_attempts()?;
    let payloads = payloads.into_iter().map(to_json).collect::<Result<Vec<_>, _>>()?;
    if payloads.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<i64> = sqlx::query_scalar(sql::in_queue(include_str!("push_many.sql"), table))
        .bind(RAW_KIND)
        .bind(payloads)
        .bind(options.run_at.map(Timestamp))
        .bind(micros(options.delay))
        .bind(i16::from(options.priority.get()))
        .bind(max_attempts)
        .fetch_all(executor)
        .await
        .map_err(|error| QueueError::new(error, table))?;
    Ok(ids.into_iter().map(JobId).collect())
}
