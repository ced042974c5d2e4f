//! Which finished jobs an operator means.

use std::time::SystemTime;

use super::FinishedState;
use crate::{QueueName, timestamp::clamped_database_micros};

/// Which finished jobs are meant. Everything that is given must hold; nothing given means all.
///
/// ```
/// use pg_queue_core::history::{FinishedState, HistoryFilter};
///
/// let failed_mails = HistoryFilter::default().kind("send_email").state(FinishedState::Discarded);
/// # let _ = failed_mails;
/// ```
#[derive(Debug, Clone, Default)]
pub struct HistoryFilter {
    pub(super) queue: Option<QueueName>,
    pub(super) states: Option<Vec<&'static str>>,
    pub(super) kinds: Option<Vec<String>>,
    pub(super) tags: Option<Vec<String>>,
    pub(super) finished_before: Option<i64>,
}

impl HistoryFilter {
    /// Of this queue.
    #[must_use]
    pub fn queue(mut self, queue: &QueueName) -> Self {
        self.queue = Some(queue.clone());
        self
    }

    /// Which finished so, or in another way that is given.
    #[must_use]
    pub fn state(mut self, state: FinishedState) -> Self {
        self.states.get_or_insert_default().push(state.as_str());
        self
    }

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

    /// Finished before this moment, on the database's clock.
    #[must_use]
    pub fn finished_before(mut self, moment: SystemTime) -> Self {
        self.finished_before = Some(clamped_database_micros(moment));
        self
    }
}
