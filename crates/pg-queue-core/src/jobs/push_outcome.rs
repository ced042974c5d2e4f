//! What became of a job that was to be enqueued.

use crate::JobId;

/// What became of a job that was to be enqueued, with the job that now stands for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PushOutcome {
    /// A new job was made.
    Enqueued(JobId),
    /// A job with the same unique key is there, and nothing was changed: because that is what was asked for or because,
    /// where it should have been replaced or debounced, it was running or had finished.
    Duplicate(JobId),
    /// A waiting job with the same unique key got what was pushed.
    Replaced(JobId),
    /// The same, and it waits longer.
    Debounced(JobId),
}

impl PushOutcome {
    /// The job that now stands for what was pushed: the new one, or the one that was there.
    #[must_use]
    pub const fn id(self) -> JobId {
        match self {
            Self::Enqueued(id) | Self::Duplicate(id) | Self::Replaced(id) | Self::Debounced(id) => id,
        }
    }
}
