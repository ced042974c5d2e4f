//! What a batch of acknowledgements achieved.

use std::collections::HashMap;

use crate::LeasedJobId;

/// Which leases of a batch counted, and which of their jobs were discarded. By id and token: a batch may hold an old and
/// a new lease of the same job.
#[derive(Debug, Clone, Default)]
pub struct Acknowledged(HashMap<(i64, i64), bool>);

impl Acknowledged {
    pub(super) fn new(leases: Vec<(i64, i64)>) -> Self {
        Self(leases.into_iter().map(|lease| (lease, false)).collect())
    }

    pub(super) fn add(&mut self, lease: (i64, i64), discarded: bool) {
        self.0.insert(lease, discarded);
    }

    /// Whether this job was changed.
    #[must_use]
    pub fn contains(&self, job: LeasedJobId) -> bool {
        self.0.contains_key(&(job.id, job.token.0))
    }

    /// Whether this job was discarded.
    #[must_use]
    pub fn discarded(&self, job: LeasedJobId) -> bool {
        self.0.get(&(job.id, job.token.0)).copied().unwrap_or(false)
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
