//! What became of one run of a job.

use std::time::Duration;

use pg_queue_core::{DecodeError, JobId, QueueName, from_json, jobs::Progress};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::Event;

/// One run of a job in a test: which job, which attempt, and what became of it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Ran {
    /// Which job.
    pub job: JobId,
    /// The queue that it was in.
    pub queue: QueueName,
    /// The kind under which it was stored.
    pub kind: String,
    /// Which attempt this was; the first is 1.
    pub attempt: u16,
    /// How it ended.
    pub ended: Ended,
    /// How far it said that it had come, each time.
    pub progress: Vec<Progress>,
}

/// How a run of a job ended.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Ended {
    /// The job was completed.
    Completed {
        /// The output that its handler left, if it did.
        output: Option<Value>,
    },
    /// The attempt failed, and the job waits for the next one.
    Retried {
        /// What went wrong.
        error: String,
        /// How long it waits: by its policy, that is more or less by a tenth, or as its handler said.
        delay: Duration,
    },
    /// The job was discarded.
    Discarded {
        /// What went wrong.
        error: String,
    },
    /// The job was cancelled: by its handler, or by somebody while it ran.
    Cancelled {
        /// Why, if that was told.
        reason: Option<String>,
    },
    /// The job was put off by its handler.
    Snoozed {
        /// For how long.
        delay: Duration,
    },
    /// The job was given back, because the worker's handle wanted it to end at once.
    Released,
    /// The end did not count any more: somebody else has the job, or it was deleted while it ran.
    LeaseLost,
}

impl Ended {
    pub(crate) fn of(event: Option<Event>, reason: Option<String>, output: Option<String>) -> Self {
        match event {
            Some(Event::Completed { .. }) => {
                Self::Completed { output: output.and_then(|output| serde_json::from_str(&output).ok()) }
            }
            Some(Event::Expired(_)) => Self::Discarded { error: "nobody waited for the request any longer".to_owned() },
            Some(Event::Retried { error, delay, .. }) => Self::Retried { error, delay },
            Some(Event::Discarded { error, .. }) => Self::Discarded { error },
            Some(Event::Cancelled { .. }) => Self::Cancelled { reason },
            Some(Event::Snoozed { delay, .. }) => Self::Snoozed { delay },
            Some(Event::Released(_)) => Self::Released,
            _ => Self::LeaseLost,
        }
    }
}

impl Ran {
    /// Whether the job was completed.
    #[must_use]
    pub fn is_completed(&self) -> bool {
        matches!(self.ended, Ended::Completed { .. })
    }

    /// Asserts that the job was completed.
    ///
    /// # Panics
    /// It was not; the message says what became of it.
    #[track_caller]
    pub fn assert_completed(&self) -> &Self {
        let Self { job, kind, attempt, ended, .. } = self;
        assert!(self.is_completed(), "job {job} ({kind}) was not completed by attempt {attempt}: {ended:?}");
        self
    }

    /// What went wrong, if the attempt failed.
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        match &self.ended {
            Ended::Retried { error, .. } | Ended::Discarded { error } => Some(error),
            _ => None,
        }
    }

    /// The output that the handler left, as its type; `None` if it left none or has not completed the job.
    ///
    /// # Errors
    /// It is not a `T`.
    pub fn output<T: DeserializeOwned>(&self) -> Result<Option<T>, DecodeError> {
        match &self.ended {
            Ended::Completed { output: Some(output) } => from_json(output.to_string().as_bytes()).map(Some),
            _ => Ok(None),
        }
    }
}
