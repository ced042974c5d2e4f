//! Looking whether a queue is there, without failing when it is not.

use sqlx::PgExecutor;

use crate::{DatabaseError, QueueError, QueueTable, sql};

/// Answers `Ok` when the queue exists. Unlike a statement on the missing table, the look does not abort a transaction.
///
/// # Errors
/// The queue or the migrations are missing, or the database failed.
pub async fn exists(executor: impl PgExecutor<'_>, table: &QueueTable) -> Result<(), QueueError> {
    let schema = table.schema();
    let (migrated, exists): (bool, bool) = sql::query_as(include_str!("exists.sql"), schema)
        .bind(format!("\"{schema}\".pg_queue_jobs"))
        .bind(format!("\"{schema}\".\"queue_{}\"", table.queue()))
        .fetch_one(executor)
        .await
        .map_err(|error| DatabaseError::new(error, schema))?;
    match (migrated, exists) {
        (true, true) => Ok(()),
        (true, false) => Err(QueueError::Missing(table.queue().clone())),
        (false, _) => Err(QueueError::Database(DatabaseError::NotMigrated {
            schema: schema.clone(),
            detail: "table pg_queue_jobs is missing".to_owned(),
        })),
    }
}
