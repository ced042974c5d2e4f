//! A finished job as it stands in the history.

use std::time::SystemTime;

use serde_json::{Map, Value};
use sqlx::{FromRow, Row, postgres::PgRow};

use crate::{
    AttemptError, JobId, Priority, WorkerId,
    errors::{read_errors, read_object},
    timestamp::Timestamp,
};

/// How a job has finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FinishedState {
    /// It was completed.
    Completed,
    /// Its attempts were spent, or its handler gave it up.
    Discarded,
    /// Somebody, or its handler, did not want it any more.
    Cancelled,
}

impl FinishedState {
    /// As it stands in the column `state`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Discarded => "discarded",
            Self::Cancelled => "cancelled",
        }
    }

    fn from_words(state: &str) -> Self {
        match state {
            "completed" => Self::Completed,
            "cancelled" => Self::Cancelled,
            _ => Self::Discarded,
        }
    }
}

/// A finished job that is kept.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct FinishedJob {
    /// Which job.
    pub id: JobId,
    /// How it has finished.
    pub state: FinishedState,
    /// The queue that it was in.
    pub queue: String,
    /// What type of job it is.
    pub kind: String,
    /// Its payload, as JSON.
    pub payload: String,
    /// Which jobs it ran before.
    pub priority: Priority,
    /// How many attempts were begun.
    pub attempt: u16,
    /// How many attempts it had in all.
    pub max_attempts: u16,
    /// When it was due for its last attempt.
    pub run_at: SystemTime,
    /// When it was enqueued.
    pub created_at: SystemTime,
    /// When its last attempt began; `None` when it was cancelled while it waited.
    pub started_at: Option<SystemTime>,
    /// When it finished.
    pub finished_at: SystemTime,
    /// Until when it is kept; then it goes with all of its day.
    pub keep_until: SystemTime,
    /// Who made the last attempt; `None` for a hand-driven consumer.
    pub worker: Option<WorkerId>,
    /// Its unique key, as it was stored.
    pub unique_key: Option<String>,
    /// The words to find it by.
    pub tags: Vec<String>,
    /// What it carried beside its payload.
    pub metadata: Map<String, Value>,
    /// What went wrong in its attempts, the last hundred.
    pub errors: Vec<AttemptError>,
    /// Its result, as JSON, if its handler left one.
    pub output: Option<String>,
}

impl FromRow<'_, PgRow> for FinishedJob {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let number = |at: usize| row.try_get::<i16, _>(at).map(|number| u16::try_from(number).unwrap_or(0));
        let moment = |at: usize| row.try_get::<Timestamp, _>(at).map(|moment| moment.0);
        Ok(Self {
            id: JobId(row.try_get(0)?),
            state: FinishedState::from_words(row.try_get(1)?),
            queue: row.try_get(2)?,
            kind: row.try_get(3)?,
            payload: row.try_get(4)?,
            priority: Priority::from_column(row.try_get(5)?),
            attempt: number(6)?,
            max_attempts: number(7)?,
            run_at: moment(8)?,
            created_at: moment(9)?,
            started_at: row.try_get::<Option<Timestamp>, _>(10)?.map(|moment| moment.0),
            finished_at: moment(11)?,
            keep_until: moment(12)?,
            worker: row.try_get::<Option<i64>, _>(13)?.map(WorkerId),
            unique_key: row.try_get(14)?,
            tags: row.try_get::<Option<_>, _>(15)?.unwrap_or_default(),
            metadata: read_object(row.try_get(16)?),
            errors: read_errors(row.try_get(17)?),
            output: row.try_get(18)?,
        })
    }
}
