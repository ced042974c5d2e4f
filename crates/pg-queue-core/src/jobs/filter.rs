//! Which jobs an operator means.

use std::time::SystemTime;

use crate::timestamp::clamped_database_micros;

/// Which unfinished jobs of a queue are meant. Everything that is given must hold; nothing given means all.
///
/// ```
/// use pg_queue_core::{JobFilter, JobState};
///
/// let stuck = JobFilter::default().kind("send_email").tag("tenant-17").state(JobState::Scheduled);
/// # let _ = stuck;
/// ```
#[derive(Debug, Clone, Default)]
pub struct JobFilter {
    pub(super) kinds: Option<Vec<String>>,
    pub(super) tags: Option<Vec<String>>,
    pub(super) states: Option<Vec<&'static str>>,
    pub(super) created_before: Option<i64>,
}

impl JobFilter {
    /// Of this kind, or of another one that is given.
    #[must_use]
    pub fn kind(mut self, kind: impl Into<String>) -> Self {
        self.kinds.get_or_insert_default().push(kind.into());
        self
    }

    /// With this tag, and with all others that are given.
    #[must_use]
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tags.get_or_insert_default().push(tag.into());
        self
    }

    /// In this state, or in another one that is given.
    #[must_use]
    pub fn state(mut self, state: JobState) -> Self {
        self.states.get_or_insert_default().push(state.as_str());
        self
    }

    /// Enqueued before this moment, on the database's clock.
    #[must_use]
    pub fn created_before(mut self, moment: SystemTime) -> Self {
        self.created_before = Some(clamped_database_micros(moment));
        self
    }
}

/// What an unfinished job is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum JobState {
    /// It waits for its time to come, or for its next attempt.
    Scheduled,
    /// It is due, and waits for a worker.
    Waiting,
    /// It is due, and no live worker runs its kind.
    Parked,
    /// It runs.
    Running,
}

impl JobState {
    /// As it stands in statistics: `scheduled`, `waiting`, `parked` or `running`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Waiting => "waiting",
            Self::Parked => "parked",
            Self::Running => "running",
        }
    }

    pub(super) fn from_words(state: &str) -> Self {
        match state {
            "scheduled" => Self::Scheduled,
            "parked" => Self::Parked,
            "running" => Self::Running,
            _ => Self::Waiting,
        }
    }
}
