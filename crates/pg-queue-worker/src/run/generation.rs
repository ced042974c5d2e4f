//! Ending all running handlers at once, and beginning anew.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

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
}

impl Reason {
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Shutdown => "the worker was shut down",
            Self::OutOfContact => {
                "the worker lost contact with the database, and stopped the attempt before its lease ran out"
            }
            Self::DeclaredDead => "the worker was declared dead while it ran the job",
        }
    }
}

/// The tokens of the handlers that were started since the last time that all were ended.
#[derive(Debug, Clone, Default)]
struct Generation {
    /// Asks the handlers to end.
    cancel: CancellationToken,
    /// Drops them.
    stop: CancellationToken,
    reason: Arc<OnceLock<Reason>>,
}

/// The current generation of handlers.
#[derive(Debug, Default)]
pub(super) struct Generations(Mutex<Generation>);

/// One handler's share in its generation.
#[derive(Debug)]
pub(super) struct Membership {
    /// Asks this handler to end: by the generation, or because its time is up.
    pub(super) cancel: CancellationToken,
    /// Drops this handler.
    pub(super) stop: CancellationToken,
    reason: Arc<OnceLock<Reason>>,
}

impl Membership {
    /// Why the generation was ended, if it was.
    pub(super) fn reason(&self) -> Option<Reason> {
        self.reason.get().copied()
    }
}

impl Generations {
    /// Tokens for a new handler.
    pub(super) fn join(&self) -> Membership {
        let generation = self.current();
        Membership {
            cancel: generation.cancel.child_token(),
            stop: generation.stop.child_token(),
            reason: Arc::clone(&generation.reason),
        }
    }

    /// Asks all handlers to end. Each has a grace of its own before it is dropped.
    pub(super) fn cancel(&self, reason: Reason) {
        let generation = self.current();
        generation.reason.get_or_init(|| reason);
        generation.cancel.cancel();
    }

    /// Drops all handlers.
    pub(super) fn stop(&self, reason: Reason) {
        self.cancel(reason);
        self.current().stop.cancel();
    }

    /// Handlers that start from now on have nothing to do with what ended the earlier ones.
    pub(super) fn begin_anew(&self) {
        let mut generation = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if generation.reason.get().is_some_and(|reason| *reason != Reason::Shutdown) {
            *generation = Generation::default();
        }
    }

    fn current(&self) -> Generation {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
