//! Enqueuing one job.

use sqlx::PgConnection;

use super::{NewJob, PushError, PushOutcome};
use crate::{
    JobId, QueueError, QueueTable, RequestId, sql,
    timestamp::{Timestamp, micros},
};

/// How often a unique key may be freed between meeting it and looking for its holder before the call gives up.
const TRIES: u32 = 100;

/// Enqueues a job.
///
/// On a connection with an open transaction the job commits or rolls back with it. A missing queue aborts that
/// transaction: look with [`queues::exists`](crate::queues::exists) first. A duplicate does not.
///
/// # Errors
/// The queue is missing, an option is out of range, or the database failed.
pub async fn push(connection: &mut PgConnection, table: &QueueTable, job: &NewJob) -> Result<PushOutcome, PushError> {
    let options = &job.options;
    let max_attempts = options.checked_max_attempts()?;
    let unique_key = options.checked_unique_key()?;
    for _ in 0..TRIES {
        let id: Option<i64> = sqlx::query_scalar(sql::in_queue(include_str!("push.sql"), table))
            .bind(&job.kind)
            .bind(&job.payload)
            .bind(options.run_at.map(Timestamp))
            .bind(micros(options.delay))
            .bind(i16::from(options.priority.get()))
            .bind(max_attempts)
            .bind(unique_key)
            .bind(job.request_id.map(RequestId::as_uuid))
            .fetch_optional(&mut *connection)
            .await
            .map_err(|error| QueueError::new(error, table))?;
        if let Some(id) = id {
            return Ok(PushOutcome::Enqueued(JobId(id)));
        }
        let id: Option<i64> = sqlx::query_scalar(sql::in_queue(include_str!("find_unique.sql"), table))
            .bind(unique_key)
            .fetch_optional(&mut *connection)
            .await
            .map_err(|error| QueueError::new(error, table))?;
        if let Some(id) = id {
            return Ok(PushOutcome::Duplicate(JobId(id)));
        }
    }
    Err(PushError::Contended(TRIES))
}
