//! When to look for jobs that this worker has claimed without learning of it.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// The pause before the first look after a claim that failed, and what it grows to: each one is twice as long as the one
/// before. The claim may still be on its way to the server, or be waiting there.
const FIRST: Duration = Duration::from_secs(5);
const LAST: Duration = Duration::from_secs(320);

/// Whether there may be jobs that bear this worker's name without its knowing, because the reply to a claim was lost.
#[derive(Debug, Default)]
pub(super) struct Orphans(Option<Suspicion>);

#[derive(Debug, Clone, Copy)]
struct Suspicion {
    next: Instant,
    pause: Duration,
}

impl Orphans {
    /// A claim had no answer.
    pub(super) fn suspect(&mut self) {
        let sooner = self.0.map(|suspicion| suspicion.next);
        let next = Instant::now() + FIRST;
        self.0 = Some(Suspicion { next: sooner.map_or(next, |sooner| sooner.min(next)), pause: FIRST });
    }

    /// Whether to look now.
    pub(super) fn begin_look(&mut self) -> bool {
        let Some(Suspicion { next, pause }) = self.0 else { return false };
        let now = Instant::now();
        if now < next {
            return false;
        }
        let pause = pause * 2;
        self.0 = (pause <= LAST).then_some(Suspicion { next: now + pause, pause });
        true
    }

    /// When to look next, if at all.
    pub(super) fn next_look(&self) -> Option<Instant> {
        self.0.map(|suspicion| suspicion.next)
    }

    /// Resolves when it is time to look; never, if there is nothing to look for.
    pub(super) async fn look_is_due(&self) {
        match self.next_look() {
            Some(next) => sleep_until(next).await,
            None => std::future::pending().await,
        }
    }

    /// Whether there can be none.
    pub(super) fn are_ruled_out(&self) -> bool {
        self.0.is_none()
    }
}
