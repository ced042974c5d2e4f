//! Forgetting finished jobs before their time.

use sqlx::PgExecutor;

use crate::{DatabaseError, JobId, Schema, sql};

/// Deletes finished jobs. Answers which were there.
///
/// # Errors
/// The migrations are missing or the database failed.
pub async fn delete(
    executor: impl PgExecutor<'_>,
    schema: &Schema,
    jobs: &[JobId],
) -> Result<Vec<JobId>, DatabaseError> {
    let ids: Vec<i64> = sql::query_scalar(include_str!("delete.sql"), schema)
        .bind(jobs.iter().map(|id| id.get()).collect::<Vec<_>>())
        .fetch_all(executor)
        .await
        .map_err(|error| DatabaseError::new(error, schema))?;
    Ok(ids.into_iter().map(JobId).collect())
}
