//! Removing replies that have arrived.

use sqlx::PgExecutor;

use crate::{DatabaseError, RequestId, Schema, sql};

/// Removes the replies to `requests`: they have arrived.
///
/// # Errors
/// The database failed.
pub async fn forget(
    executor: impl PgExecutor<'_>,
    schema: &Schema,
    requests: &[RequestId],
) -> Result<(), DatabaseError> {
    sql::query(include_str!("forget.sql"), schema)
        .bind(requests.iter().map(|id| id.as_uuid()).collect::<Vec<_>>())
        .execute(executor)
        .await
        .map_err(|error| DatabaseError::new(error, schema))?;
    Ok(())
}
