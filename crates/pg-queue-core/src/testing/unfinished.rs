//! Looking at the jobs of a type, wherever they wait.

use sqlx::{FromRow, PgExecutor, Row, postgres::PgRow};

use crate::{DatabaseError, QueueName, Schema, jobs::StoredJob, sql};

/// An unfinished job and the queue that it is in.
#[derive(Debug, Clone)]
pub struct QueuedJob {
    /// The job.
    pub job: StoredJob,
    /// Its queue.
    pub queue: QueueName,
}

impl FromRow<'_, PgRow> for QueuedJob {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let queue: &str = row.try_get(18)?;
        let queue = QueueName::new(queue).map_err(|error| sqlx::Error::Decode(error.into()))?;
        Ok(Self { job: StoredJob::from_row(row)?, queue })
    }
}

/// All unfinished jobs of these kinds, in every queue, by id.
///
/// # Errors
/// The migrations are missing or the database failed.
pub async fn unfinished(
    executor: impl PgExecutor<'_>,
    schema: &Schema,
    kinds: &[&str],
) -> Result<Vec<QueuedJob>, DatabaseError> {
    sql::query_as(include_str!("unfinished.sql"), schema)
        .bind(kinds)
        .fetch_all(executor)
        .await
        .map_err(|error| DatabaseError::new(error, schema))
}

/// How many unfinished jobs there are of each other kind.
///
/// # Errors
/// The migrations are missing or the database failed.
pub async fn other_kinds(
    executor: impl PgExecutor<'_>,
    schema: &Schema,
    kinds: &[&str],
) -> Result<Vec<(String, u64)>, DatabaseError> {
    let counts: Vec<(String, i64)> = sql::query_as(include_str!("kinds.sql"), schema)
        .bind(kinds)
        .fetch_all(executor)
        .await
        .map_err(|error| DatabaseError::new(error, schema))?;
    Ok(counts.into_iter().map(|(kind, count)| (kind, count.unsigned_abs())).collect())
}
