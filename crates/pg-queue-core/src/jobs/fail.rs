//! Ending attempts that failed.

use std::time::Duration;

use sqlx::PgExecutor;

use super::Acknowledged;
use crate::{LeasedJobId, QueueError, QueueTable, sql, timestamp::micros};

/// The longest error that is kept, in bytes.
pub const MAX_ERROR_BYTES: usize = 4096;

/// An attempt that failed.
#[derive(Debug, Clone)]
pub struct FailedAttempt {
    /// The job.
    pub id: LeasedJobId,
    /// What went wrong. Kept with the job: cut to 4096 bytes.
    pub error: String,
    /// How long the job waits for its next attempt.
    pub delay: Duration,
    /// Whether the job is discarded even if it has attempts left.
    pub discard: bool,
}

/// Ends failed attempts: each job is tried again after its delay, or discarded into the history after its last attempt.
/// Jobs that are missing from the answer have lost their lease or are locked: [`held`](super::held) tells which.
///
/// # Errors
/// The queue is missing or the database failed.
pub async fn fail(
    executor: impl PgExecutor<'_>,
    table: &QueueTable,
    attempts: &[FailedAttempt],
) -> Result<Acknowledged, QueueError> {
    let jobs: Vec<LeasedJobId> = attempts.iter().map(|attempt| attempt.id).collect();
    let (ids, tokens) = super::split(&jobs);
    let rows: Vec<(i64, i64, bool)> = sqlx::query_as(sql::in_queue(include_str!("fail.sql"), table))
        .bind(ids)
        .bind(tokens)
        .bind(attempts.iter().map(|attempt| printable(&attempt.error)).collect::<Vec<_>>())
        .bind(attempts.iter().map(|attempt| micros(attempt.delay)).collect::<Vec<_>>())
        .bind(attempts.iter().map(|attempt| attempt.discard).collect::<Vec<_>>())
        .fetch_all(executor)
        .await
        .map_err(|error| QueueError::new(error, table))?;
    let mut ended = Acknowledged::default();
    for (id, token, discarded) in rows {
        ended.add((id, token), discarded);
    }
    Ok(ended)
}

/// What the database can hold of an error: no NUL, and no more than the limit.
pub(super) fn printable(error: &str) -> String {
    let cut = &error[..error.floor_char_boundary(MAX_ERROR_BYTES)];
    let mut printable = cut.replace('\0', "\u{fffd}");
    // Again, because what replaces a NUL is longer.
    printable.truncate(printable.floor_char_boundary(MAX_ERROR_BYTES));
    printable
}
