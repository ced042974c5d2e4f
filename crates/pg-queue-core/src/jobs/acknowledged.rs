//! What a batch of acknowledgements achieved.

use std::collections::HashMap;

use crate::LeasedJobId;

/// What became of a job whose attempt has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Became {
    /// It was completed.
    Completed,
    /// Its attempt failed, and it waits for the next one.
    Retried,
    /// It was given back: the attempt does not count.
    Released,
    /// It was discarded, into the history.
    Discarded,
    /// It was cancelled, into the history.
    Cancelled,
}

/// Which leases of a batch counted, and what became of their jobs. By id and token: a batch may hold an old and a new lease
/// of the same job.
#[derive(Debug, Clone, Default)]
pub struct Acknowledged(HashMap<(i64, i64), Became>);

impl Acknowledged {
    pub(super) fn new(leases: impl IntoIterator<Item = ((i64, i64), Became)>) -> Self {
        Self(leases.into_iter().collect())
    }

    /// Whether this job was changed.
    #[must_use]
    pub fn contains(&self, job: LeasedJobId) -> bool {
        self.became(job).is_some()
    }

    /// What became of this job; `None` when its lease did not count.
    #[must_use]
    pub fn became(&self, job: LeasedJobId) -> Option<Became> {
        self.0.get(&(job.id, job.token.0)).copied()
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
