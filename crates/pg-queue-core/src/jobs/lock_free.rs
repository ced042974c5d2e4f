//! Locking the jobs that are free to be locked.

use sqlx::PgConnection;

use crate::{JobId, QueueError, QueueTable, sql};

/// Locks those of `jobs` that nobody else has locked, for the transaction of `connection`. Answers which, and waits for nobody.
///
/// # Errors
/// The queue is missing or the database failed.
pub async fn lock_free(
    connection: &mut PgConnection,
    table: &QueueTable,
    jobs: &[JobId],
) -> Result<Vec<JobId>, QueueError> {
    let ids: Vec<i64> = sql::query_scalar(include_str!("lock_free.sql"), table)
        .bind(super::numbers(jobs))
        .fetch_all(connection)
        .await
        .map_err(|error| QueueError::new(error, table))?;
    Ok(ids.into_iter().map(JobId).collect())
}
