//! Enqueuing one job.

use sqlx::PgConnection;

use super::{Commit, NewJob, PushError, PushOutcome, push_unique::push_unique, row::Row};
use crate::{JobId, QueueError, QueueTable, sql};

/// Enqueues a job.
///
/// On a connection with an open transaction the job commits or rolls back with it. A missing queue aborts that
/// transaction: look with [`queues::exists`](crate::queues::exists) first. A duplicate does not, in READ COMMITTED.
///
/// # Errors
/// The queue is missing, an option is out of range, or the database failed.
pub async fn push(connection: &mut PgConnection, table: &QueueTable, job: &NewJob) -> Result<PushOutcome, PushError> {
    push_and_commit(connection, table, job, Commit::AsSet).await
}

/// The same, committed in a way of its own; a job that has a unique key is committed as ever.
///
/// # Errors
/// Those of [`push`].
pub async fn push_and_commit(
    connection: &mut PgConnection,
    table: &QueueTable,
    job: &NewJob,
    commit: Commit,
) -> Result<PushOutcome, PushError> {
    let row = Row::new(job)?;
    if row.key.is_some() {
        let outcomes = push_unique(connection, table, &[row], &[0]).await?;
        return Ok(outcomes[0].1);
    }
    if row.is_plain() && commit == Commit::AsSet {
        let id: i64 = sql::query_scalar(include_str!("push_plain.sql"), table)
            .bind(row.kind)
            .bind(row.payload)
            .bind(row.priority)
            .bind(row.max_attempts)
            .fetch_one(connection)
            .await
            .map_err(|error| QueueError::new(error, table))?;
        return Ok(PushOutcome::Enqueued(JobId(id)));
    }
    let id: i64 = sql::query_scalar(include_str!("push.sql"), table)
        .bind(row.kind)
        .bind(row.payload)
        .bind(row.run_at)
        .bind(row.delay)
        .bind(row.priority)
        .bind(row.max_attempts)
        .bind(row.timeout_ms)
        .bind(row.tags)
        .bind(row.metadata)
        .bind(row.request_id)
        .bind(commit == Commit::LoseOnCrash)
        .fetch_one(connection)
        .await
        .map_err(|error| QueueError::new(error, table))?;
    Ok(PushOutcome::Enqueued(JobId(id)))
}
