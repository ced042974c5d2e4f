//! Keeping the history's partitions.

use std::time::Duration;

use sqlx::PgExecutor;

use crate::{DatabaseError, Schema, sql, timestamp::micros};

/// How long discarded and cancelled jobs are kept, unless their queue says otherwise, and a day.
const LEAST: Duration = Duration::from_secs(8 * 24 * 3600);

/// Makes the history's partitions for what is kept for up to `longest` from now on (a week is covered in any case), and drops
/// those that have served their time.
///
/// # Errors
/// The database failed, or a lock was not free within 2 s.
pub async fn maintain(executor: impl PgExecutor<'_>, schema: &Schema, longest: Duration) -> Result<(), DatabaseError> {
    sql::query(include_str!("maintain.sql"), schema)
        .bind(micros(longest.max(LEAST)))
        .execute(executor)
        .await
        .map_err(|error| DatabaseError::new(error, schema))?;
    Ok(())
}
