//! Ending attempts that have not completed their jobs.

use std::time::Duration;

use sqlx::PgExecutor;

use super::{Acknowledged, Became};
use crate::{LeasedJobId, QueueError, QueueTable, sql, timestamp::micros};

/// The longest error that is kept, in bytes.
pub const MAX_ERROR_BYTES: usize = 4096;

/// How an attempt ends that has not completed its job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ending {
    /// It failed: the job is tried again after this time or, after its last attempt, discarded.
    Retry(Duration),
    /// It failed for good: the job is discarded.
    Discard,
    /// The job is not wanted any more.
    Cancel,
    /// The job goes back as if it had not been claimed: to its place, or to wait for this time.
    Release(Option<Duration>),
}

/// An attempt that has ended.
#[derive(Debug, Clone)]
pub struct EndedAttempt {
    /// The job.
    pub id: LeasedJobId,
    /// How it ends.
    pub ending: Ending,
    /// What went wrong. Kept with the job: cut to 4096 bytes.
    pub error: Option<String>,
    /// How long it took. `None`: since its claim.
    pub took: Option<Duration>,
}

/// Ends attempts. A job that somebody wants cancelled is cancelled, whatever its attempt ends as. Jobs that are missing from
/// the answer have lost their lease or are locked: [`held`](super::held) tells which.
///
/// # Errors
/// The queue is missing or the database failed.
pub async fn end(
    executor: impl PgExecutor<'_>,
    table: &QueueTable,
    attempts: &[EndedAttempt],
) -> Result<Acknowledged, QueueError> {
    let jobs: Vec<LeasedJobId> = attempts.iter().map(|attempt| attempt.id).collect();
    let (ids, tokens) = super::split(&jobs);
    let millis = |took: Duration| i64::try_from(took.as_millis()).unwrap_or(i64::MAX);
    let (endings, delays): (Vec<&str>, Vec<Option<i64>>) = attempts.iter().map(|it| it.ending.words()).unzip();
    let rows: Vec<(i64, i64, String)> = sql::query_as(include_str!("end.sql"), table)
        .bind(ids)
        .bind(tokens)
        .bind(endings)
        .bind(delays)
        .bind(attempts.iter().map(|attempt| attempt.error.as_deref().map(printable)).collect::<Vec<_>>())
        .bind(attempts.iter().map(|attempt| attempt.took.map(millis)).collect::<Vec<_>>())
        .fetch_all(executor)
        .await
        .map_err(|error| QueueError::new(error, table))?;
    Ok(Acknowledged::new(rows.into_iter().map(|(id, token, ending)| ((id, token), became(&ending)))))
}

impl Ending {
    fn words(self) -> (&'static str, Option<i64>) {
        match self {
            Self::Retry(after) => ("retry", Some(micros(after))),
            Self::Discard => ("discard", None),
            Self::Cancel => ("cancel", None),
            Self::Release(after) => ("release", after.map(micros)),
        }
    }
}

fn became(ending: &str) -> Became {
    match ending {
        "retry" => Became::Retried,
        "release" => Became::Released,
        "cancel" => Became::Cancelled,
        _ => Became::Discarded,
    }
}

/// What the database can hold of an error: no NUL, and no more than the limit.
pub(super) fn printable(error: &str) -> String {
    let cut = &error[..error.floor_char_boundary(MAX_ERROR_BYTES)];
    let mut printable = cut.replace('\0', "\u{fffd}");
    // Again, because what replaces a NUL is longer.
    printable.truncate(printable.floor_char_boundary(MAX_ERROR_BYTES));
    printable
}
