//! What is stored as JSON beside a job: its errors and its metadata.

use std::time::{Duration, SystemTime};

use serde::Deserialize;
use serde_json::{Map, Value};

/// What went wrong in one attempt at a job.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AttemptError {
    /// When it was noted, on the database's clock.
    pub at: SystemTime,
    /// Which attempt; the first is 1. 0 for a job that was cancelled before its first one.
    pub attempt: u16,
    /// What went wrong.
    pub error: String,
    /// The worker that made the attempt, as logs show it; `None` for a hand-driven consumer.
    pub worker: Option<String>,
    /// How long the attempt took, if it began at all.
    pub took: Option<Duration>,
}

/// As `pg_queue_add_error` writes it.
#[derive(Deserialize)]
struct Stored {
    at: String,
    attempt: u16,
    error: String,
    worker: Option<String>,
    /// Below zero if the clock was put back meanwhile.
    duration_ms: Option<i64>,
}

/// Reads a job's errors. One that somebody has written by hand, in another form, is left out.
pub(crate) fn read_errors(json: Option<&str>) -> Vec<AttemptError> {
    let stored: Vec<Value> = json.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
    let read = |value| {
        let Stored { at, attempt, error, worker, duration_ms } = serde_json::from_value(value).ok()?;
        let at = at.parse::<jiff::Timestamp>().ok()?.into();
        let took = duration_ms.map(|millis| Duration::from_millis(u64::try_from(millis).unwrap_or(0)));
        Some(AttemptError { at, attempt, error, worker, took })
    };
    stored.into_iter().filter_map(read).collect()
}

/// Reads a job's metadata; what is no object is none.
pub(crate) fn read_object(json: Option<&str>) -> Map<String, Value> {
    json.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default()
}
