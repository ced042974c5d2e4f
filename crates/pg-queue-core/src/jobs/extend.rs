//! Lengthening the lease of a hand-driven consumer.

use std::time::Duration;

use sqlx::PgExecutor;

use super::LeaseError;
use crate::{LeaseLost, LeasedJobId, QueueError, QueueTable, sql, timestamp::micros};

/// Makes the lease on a popped job stand for `lease` from now.
///
/// # Errors
/// The lease is lost (also one that ran out and was taken by somebody else), or the database failed.
pub async fn extend(
    executor: impl PgExecutor<'_>,
    table: &QueueTable,
    job: LeasedJobId,
    lease: Duration,
) -> Result<(), LeaseError> {
    let extended: Option<i64> = sql::query_scalar(include_str!("extend.sql"), table)
        .bind(job.id)
        .bind(job.token.0)
        .bind(micros(lease))
        .fetch_optional(executor)
        .await
        .map_err(|error| QueueError::new(error, table))?;
    extended.map(drop).ok_or(LeaseError::Lost(LeaseLost(job)))
}
