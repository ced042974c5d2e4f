//! Ending all running handlers at once, and beginning anew.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio_util::sync::CancellationToken;

/// Why handlers are ended before they have ended by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// The worker shuts down: the job goes back and its attempt is not counted.
    Shutdown,
    /// The worker has not reached the database for so long that others may soon run its jobs.
    OutOfContact,
    /// Others have declared the worker dead and run its jobs.
    DeclaredDead,
    /// This one job's lease is not in the database any more.
    LeaseLost,
    /// Somebody wants this one job cancelled.
    Cancelled,
}

impl Reason {
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Shutdown => "the worker was shut down",
            Self::OutOfContact => {
                "the worker lost contact with the database, and stopped the attempt before its lease ran out"
            }
            Self::DeclaredDead => "the worker was declared dead while it ran the job",
            Self::LeaseLost => "the lease on the job was lost while it ran",
            Self::Cancelled => "the job was cancelled while it ran",
        }
    }
}

/// The handlers that were started since the last time that all were ended. Whoever claims jobs takes it before the claim
/// and starts them in it: what ends the generation in the meantime ends them too.
#[derive(Debug, Clone, Default)]
pub(super) struct Generation {
    /// Asks the handlers to end.
    cancel: CancellationToken,
    /// Drops them.
    stop: CancellationToken,
    reason: Arc<OnceLock<Reason>>,
}

impl Generation {
    /// Whether its handlers were asked to end.
    pub(super) fn is_over(&self) -> bool {
        self.cancel.is_cancelled()
    }

    /// Tokens for a new handler.
    pub(super) fn join(&self) -> Membership {
        Membership {
            cancel: self.cancel.child_token(),
            stop: self.stop.child_token(),
            reason: Arc::clone(&self.reason),
            own: Arc::default(),
        }
    }

    fn end(&self, reason: Reason) {
        self.reason.get_or_init(|| reason);
        self.cancel.cancel();
    }
}

/// One handler's share in its generation.
#[derive(Debug, Clone)]
pub(super) struct Membership {
    /// Asks this handler to end: by the generation, or because its time is up.
    pub(super) cancel: CancellationToken,
    /// Drops this handler.
    pub(super) stop: CancellationToken,
    /// Why its generation was ended.
    reason: Arc<OnceLock<Reason>>,
    /// Why it alone was ended.
    own: Arc<OnceLock<Reason>>,
}

impl Membership {
    /// Why the handler was ended, by itself or with its generation.
    pub(super) fn reason(&self) -> Reason {
        self.own.get().or_else(|| self.reason.get()).copied().unwrap_or(Reason::LeaseLost)
    }

    /// Asks this handler to end, because somebody wants its job cancelled.
    pub(super) fn cancel_job(&self) {
        self.own.get_or_init(|| Reason::Cancelled);
        self.cancel.cancel();
    }

    /// Drops this handler, because its lease is gone.
    pub(super) fn lose_lease(&self) {
        self.own.get_or_init(|| Reason::LeaseLost);
        self.stop.cancel();
    }
}

/// The current generation of handlers.
#[derive(Debug, Default)]
pub(super) struct Generations(Mutex<Generation>);

impl Generations {
    pub(super) fn current(&self) -> Generation {
        self.lock().clone()
    }

    /// Asks all handlers to end. Each has a grace of its own before it is dropped.
    pub(super) fn cancel(&self, reason: Reason) {
        self.current().end(reason);
    }

    /// Drops all handlers, those of earlier generations included.
    pub(super) fn stop(&self, reason: Reason) {
        let generation = self.current();
        generation.end(reason);
        generation.stop.cancel();
    }

    /// Handlers that start from now on have nothing to do with what ended the earlier ones.
    ///
    /// Unless those were dropped, they may still be within their grace, which can be longer than a lease: then the next
    /// danger has to drop them as well, and both generations are stopped by one token.
    pub(super) fn begin_anew(&self) {
        let mut generation = self.lock();
        if generation.reason.get().is_some_and(|reason| *reason != Reason::Shutdown) {
            let stop = if generation.stop.is_cancelled() { CancellationToken::new() } else { generation.stop.clone() };
            *generation = Generation { stop, ..Generation::default() };
        }
    }

    fn lock(&self) -> MutexGuard<'_, Generation> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::{Generations, Reason};

    #[test]
    fn a_handler_that_was_only_asked_to_end_is_dropped_with_a_later_generation() {
        let generations = Generations::default();
        let earlier = generations.current().join();
        generations.cancel(Reason::OutOfContact);
        generations.begin_anew();
        let later = generations.current().join();
        assert!(earlier.cancel.is_cancelled() && !earlier.stop.is_cancelled());
        assert!(!later.cancel.is_cancelled());
        generations.stop(Reason::OutOfContact);
        assert!(earlier.stop.is_cancelled() && later.stop.is_cancelled());
    }

    #[test]
    fn a_generation_that_was_dropped_does_not_drop_the_next_one() {
        let generations = Generations::default();
        generations.stop(Reason::DeclaredDead);
        generations.begin_anew();
        let next = generations.current();
        assert!(!next.is_over() && !next.join().stop.is_cancelled());
    }

    #[test]
    fn a_shutdown_is_for_good() {
        let generations = Generations::default();
        generations.cancel(Reason::Shutdown);
        generations.begin_anew();
        assert!(generations.current().is_over());
        assert_eq!(generations.current().join().reason(), Reason::Shutdown);
    }
}
