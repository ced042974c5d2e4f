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
pub(super) struct Generation(Arc<Tokens>);

#[derive(Debug, Default)]
struct Tokens {
    /// Asks the handlers to end.
    cancel: CancellationToken,
    /// Drops them.
    stop: CancellationToken,
    reason: OnceLock<Reason>,
}

impl Generation {
    /// Whether its handlers were asked to end.
    pub(super) fn is_over(&self) -> bool {
        self.0.cancel.is_cancelled()
    }

    /// For a new handler.
    pub(super) fn join(&self) -> Membership {
        let member =
            Member { generation: self.clone(), cancel: OnceLock::new(), stop: OnceLock::new(), own: OnceLock::new() };
        Membership(Arc::new(member))
    }

    fn end(&self, reason: Reason) {
        self.0.reason.get_or_init(|| reason);
        self.0.cancel.cancel();
    }
}

/// One handler's share in its generation.
#[derive(Debug, Clone)]
pub(crate) struct Membership(Arc<Member>);

/// Its tokens are children of the generation's, made when somebody asks for them: most handlers end before that, and a child
/// costs its parent a lock at its birth and at its death.
#[derive(Debug)]
struct Member {
    generation: Generation,
    cancel: OnceLock<CancellationToken>,
    stop: OnceLock<CancellationToken>,
    /// Why it alone was ended.
    own: OnceLock<Reason>,
}

impl Membership {
    /// Asks this handler to end: with its generation, or because its time is up.
    pub(crate) fn cancel(&self) -> &CancellationToken {
        self.0.cancel.get_or_init(|| self.0.generation.0.cancel.child_token())
    }

    /// Drops this handler.
    pub(super) fn stop(&self) -> &CancellationToken {
        self.0.stop.get_or_init(|| self.0.generation.0.stop.child_token())
    }

    /// Whether the handler was asked to end.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.0.cancel.get().unwrap_or(&self.0.generation.0.cancel).is_cancelled()
    }

    /// Whether the handler was asked to end, or is to be dropped.
    pub(super) fn is_over(&self) -> bool {
        self.is_cancelled() || self.0.stop.get().unwrap_or(&self.0.generation.0.stop).is_cancelled()
    }

    /// Why the handler was ended, by itself or with its generation.
    pub(super) fn reason(&self) -> Reason {
        self.0.own.get().or_else(|| self.0.generation.0.reason.get()).copied().unwrap_or(Reason::LeaseLost)
    }

    /// Asks this handler to end, because somebody wants its job cancelled.
    pub(super) fn cancel_job(&self) {
        self.0.own.get_or_init(|| Reason::Cancelled);
        self.cancel().cancel();
    }

    /// Drops this handler, because its lease is gone.
    pub(super) fn lose_lease(&self) {
        self.0.own.get_or_init(|| Reason::LeaseLost);
        self.stop().cancel();
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
        generation.0.stop.cancel();
    }

    /// Handlers that start from now on have nothing to do with what ended the earlier ones.
    ///
    /// Unless those were dropped, they may still be within their grace, which can be longer than a lease: then the next
    /// danger has to drop them as well, and both generations are stopped by one token.
    pub(super) fn begin_anew(&self) {
        let mut generation = self.lock();
        let Tokens { stop, reason, .. } = &*generation.0;
        if reason.get().is_some_and(|reason| *reason != Reason::Shutdown) {
            let stop = if stop.is_cancelled() { CancellationToken::new() } else { stop.clone() };
            *generation = Generation(Arc::new(Tokens { stop, ..Tokens::default() }));
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
        assert!(earlier.cancel().is_cancelled() && !earlier.stop().is_cancelled());
        assert!(!later.cancel().is_cancelled());
        generations.stop(Reason::OutOfContact);
        assert!(earlier.stop().is_cancelled() && later.stop().is_cancelled());
    }

    #[test]
    fn a_generation_that_was_dropped_does_not_drop_the_next_one() {
        let generations = Generations::default();
        generations.stop(Reason::DeclaredDead);
        generations.begin_anew();
        let next = generations.current();
        assert!(!next.is_over() && !next.join().stop().is_cancelled());
    }

    #[test]
    fn a_shutdown_is_for_good() {
        let generations = Generations::default();
        generations.cancel(Reason::Shutdown);
        generations.begin_anew();
        assert!(generations.current().is_over());
        assert_eq!(generations.current().join().reason(), Reason::Shutdown);
    }

    #[test]
    fn a_token_that_is_made_after_the_end_says_so() {
        let generations = Generations::default();
        let member = generations.current().join();
        assert!(!member.is_over());
        generations.stop(Reason::OutOfContact);
        assert!(member.is_over() && member.cancel().is_cancelled() && member.stop().is_cancelled());
        assert_eq!(member.reason(), Reason::OutOfContact);
    }

    #[test]
    fn what_ends_one_handler_does_not_end_the_others() {
        let generation = Generations::default().current();
        let (cancelled, lost, other) = (generation.join(), generation.join(), generation.join());
        cancelled.cancel_job();
        lost.lose_lease();
        assert!(cancelled.is_cancelled() && !lost.is_cancelled() && lost.is_over());
        assert!(!other.is_over() && !generation.is_over());
        assert_eq!((cancelled.reason(), lost.reason()), (Reason::Cancelled, Reason::LeaseLost));
    }
}
