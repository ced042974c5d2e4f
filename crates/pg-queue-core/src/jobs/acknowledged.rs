//! What a batch of acknowledgements achieved.

use std::collections::HashMap;

use crate::LeasedJobId;

/// Which jobs of a batch were changed, and which of those were discarded.
#[derive(Debug, Clone, Default)]
pub struct Acknowledged(HashMap<i64, bool>);

impl Acknowledged {
    pub(super) fn new(ids: Vec<i64>) -> Self {
        Self(ids.into_iter().map(|id| (id, false)).collect())
    }

    pub(super) fn add(&mut self, id: i64, discarded: bool) {
        self.0.insert(id, discarded);
    }

    /// Whether this job was changed.
    #[must_use]
    pub fn contains(&self, job: LeasedJobId) -> bool {
        self.0.contains_key(&job.id)
    }

    /// Whether this job was discarded.
    #[must_use]
    pub fn discarded(&self, job: LeasedJobId) -> bool {
        self.0.get(&job.id).copied().unwrap_or(false)
    }

    /// How many jobs were changed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none was changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
