//! Waiting for claimed jobs that another transaction has locked.

use sqlx::PgConnection;

use crate::{LeasedJobId, QueueError, QueueTable, sql};

/// Waits until nobody else has these jobs locked, and locks those whose lease stands for the transaction of `connection`. For
/// what [`complete`](super::complete) and its like skipped.
///
/// # Errors
/// The queue is missing or the database failed.
pub async fn lock(connection: &mut PgConnection, table: &QueueTable, jobs: &[LeasedJobId]) -> Result<(), QueueError> {
    let (ids, tokens) = super::split(jobs);
    sql::query(include_str!("lock.sql"), table)
        .bind(ids)
        .bind(tokens)
        .execute(connection)
        .await
        .map_err(|error| QueueError::new(error, table))?;
    Ok(())
}
