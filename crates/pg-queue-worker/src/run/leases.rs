//! Which lease tokens this worker knows that it holds.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use pg_queue_core::LeaseToken;

/// The tokens of claimed jobs, each with the number of jobs that are not acknowledged yet. What bears this worker's id in
/// the database under any other token was claimed by a statement whose reply was lost.
#[derive(Debug, Default)]
pub(super) struct Leases(Mutex<HashMap<LeaseToken, usize>>);

impl Leases {
    pub(super) fn add(&self, token: LeaseToken, jobs: usize) {
        if jobs > 0 {
            *self.lock().entry(token).or_default() += jobs;
        }
    }

    pub(super) fn acknowledged(&self, token: LeaseToken) {
        let mut tokens = self.lock();
        if let Some(jobs) = tokens.get_mut(&token) {
            *jobs -= 1;
            if *jobs == 0 {
                tokens.remove(&token);
            }
        }
    }

    pub(super) fn tokens(&self) -> Vec<LeaseToken> {
        self.lock().keys().copied().collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<LeaseToken, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
