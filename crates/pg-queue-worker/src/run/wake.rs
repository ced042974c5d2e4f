//! What a worker does while there is nothing to do.

use std::time::Duration;

use pg_queue_client::{Listener, RecvError};
use pg_queue_core::{Backoff, QueueName, WorkerId, jobs, workers};
use tokio::time::{Instant, sleep, sleep_until};

use super::Shared;

/// For so long after the last job the worker looks every few milliseconds and asks nobody to wake it: in a busy queue the
/// next job comes at once, and a NOTIFY for it would hold up the producers.
const LINGER: Duration = Duration::from_millis(20);
const LINGER_PAUSE: Duration = Duration::from_millis(2);

/// The first pause between looks after that; each further one is twice as long, up to the poll interval. It finds what
/// committed between the last look and the wish to be woken.
const FIRST_PAUSE: Duration = Duration::from_millis(10);

/// For how long the wish to be woken stands. It is renewed at half of it.
const WISH: Duration = Duration::from_secs(60);

/// The pauses between wishes that are not heard, and the longest pause between looks meanwhile: nobody wakes the worker.
const UNHEARD: Backoff = Backoff::Exponential { base: Duration::from_secs(1), max: Duration::from_secs(30) };
const UNHEARD_PAUSE: Duration = Duration::from_secs(1);

/// After so many rounds of claims that found something, without a longer pause between them, the worker is busy and takes its
/// wish back; or after one that found so many jobs.
const BUSY_AFTER: u32 = 3;
const BUSY_JOBS: usize = 16;

/// Waiting for jobs: cheap when there are none for long, quick when they come.
#[derive(Debug)]
pub(super) struct Idle {
    listener: Option<Listener>,
    wish: Wish,
    /// Since when nothing was found.
    since: Option<Instant>,
    pause: Duration,
    found: u32,
}

/// The wish to be woken.
#[derive(Debug, Default)]
struct Wish {
    /// Whether it was heard.
    stands: bool,
    /// When to say it again. `None`: now.
    again: Option<Instant>,
    /// The queues that it was about.
    queues: Vec<QueueName>,
    failures: u16,
}

impl Idle {
    pub(super) fn new<S>(shared: &Shared<S>) -> Self {
        let channel = shared.queue.schema().channel();
        let listener = match shared.queue.background_listener(&[&channel]) {
            Ok(listener) => Some(listener),
            Err(error) => {
                tracing::warn!(%error, "nobody will wake this worker: it polls");
                None
            }
        };
        Self { listener, wish: Wish::default(), since: None, pause: FIRST_PAUSE, found: 0 }
    }

    /// A round of claims found so many jobs.
    pub(super) async fn found<S>(&mut self, shared: &Shared<S>, id: WorkerId, jobs: usize) {
        (self.since, self.pause) = (None, FIRST_PAUSE);
        self.found = self.found.saturating_add(if jobs < BUSY_JOBS { 1 } else { BUSY_AFTER });
        if self.found >= BUSY_AFTER {
            self.unwish(shared, id).await;
        }
    }

    /// Takes the wish to be woken back, if there is one.
    pub(super) async fn unwish<S>(&mut self, shared: &Shared<S>, id: WorkerId) {
        if !std::mem::take(&mut self.wish).stands {
            return;
        }
        let schema = shared.queue.schema();
        let unwished =
            shared.control.run(async |connection| workers::unwait(&mut **connection, schema, id).await).await;
        if let Err(error) = unwished {
            // It runs out by itself.
            tracing::debug!(%error, "the wish to be woken was not taken back");
        }
    }

    /// A claim found nothing in the queues `serving`: waits until another look is worth it, or until `end`. Ends at once
    /// when the worker closes.
    pub(super) async fn wait<S>(&mut self, shared: &Shared<S>, id: WorkerId, serving: &[usize], end: Option<Instant>) {
        let since = *self.since.get_or_insert_with(Instant::now);
        if since.elapsed() < LINGER {
            tokio::select! {
                () = shared.closing.cancelled() => {}
                () = sleep(LINGER_PAUSE) => {}
            }
            return;
        }
        // Not before: in a busy queue there is an empty look now and then.
        self.found = 0;
        // Not for jobs that it may not take: those of a paused queue, of which it is told when it is resumed, and those of a
        // full one, which would hold up their producer for nothing.
        let open = shared.lanes.iter().filter(|lane| !lane.is_paused() && lane.free() > 0);
        let queues: Vec<QueueName> = open.map(|lane| lane.queue().clone()).collect();
        if self.wish.stands && self.wish.queues != queues {
            self.unwish(shared, id).await;
        }
        if self.wish.again.is_none_or(|again| again <= Instant::now()) {
            self.wish(shared, id, queues).await;
            // Something may have come before the wish was seen: look once more, now.
            return;
        }
        let longest = shared.settings.poll_interval;
        let longest = if self.wish.stands { longest } else { longest.min(UNHEARD_PAUSE) };
        let pause = self.pause.min(longest);
        self.pause = (self.pause * 2).min(longest);
        // Not less than a moment: many jobs of kinds that others run may become due one after the other.
        let pause = next_due(shared, serving).await.map_or(pause, |due| pause.min(due.max(LINGER_PAUSE)));
        // The wish must not run out while the worker sleeps.
        let until = [Some(Instant::now() + pause), self.wish.again, end].into_iter().flatten().min();
        let until = until.unwrap_or_else(Instant::now);
        tokio::select! {
            () = shared.closing.cancelled() => {}
            () = shared.look.notified() => {}
            () = woken(&mut self.listener, &mut self.wish, shared) => {}
            () = sleep_until(until) => {}
        }
    }

    async fn wish<S>(&mut self, shared: &Shared<S>, id: WorkerId, queues: Vec<QueueName>) {
        // What was announced until now, the look after this will see: it must not wake the worker once more each.
        drain(&mut self.listener);
        let schema = shared.queue.schema();
        let wished = shared
            .control
            .run(async |connection| workers::wait(&mut **connection, schema, &queues, id, WISH).await)
            .await;
        let now = Instant::now();
        self.wish = match wished {
            Ok(()) => Wish { stands: true, again: Some(now + WISH / 2), queues, failures: 0 },
            Err(error) => {
                let failures = self.wish.failures.saturating_add(1);
                tracing::warn!(%error, failures, "the wish to be woken was not heard: this worker polls");
                Wish { stands: false, again: Some(now + UNHEARD.jittered(failures)), queues, failures }
            }
        };
    }
}

/// The time until the next scheduled job of any of these queues, so that it starts when it is due and not at the next poll.
async fn next_due<S>(shared: &Shared<S>, serving: &[usize]) -> Option<Duration> {
    let mut next = None;
    let unpaused = serving.iter().map(|lane| &shared.lanes[*lane]).filter(|lane| !lane.is_paused());
    for table in unpaused.map(|lane| &lane.table) {
        let due = shared.control.run(async |connection| jobs::next_due(&mut **connection, table).await).await;
        // An error here is met again by the next claim, which reports it.
        next = next.into_iter().chain(due.ok().flatten()).min();
    }
    next
}

/// Resolves when a job may have come to one of the worker's queues.
async fn woken<S>(listener: &mut Option<Listener>, wish: &mut Wish, shared: &Shared<S>) {
    let Some(open) = listener else { return std::future::pending().await };
    loop {
        match open.recv().await {
            Ok(notification) => {
                let queue = notification.payload.strip_prefix("wake:");
                if queue.is_some_and(|woken| shared.lanes.iter().any(|lane| lane.queue().as_str() == woken)) {
                    return;
                }
            }
            Err(RecvError::Closed) => {
                *listener = None;
                return;
            }
            Err(_) => {
                // The server may have lost the wish as well: the table of wishes is unlogged.
                wish.again = None;
                return;
            }
        }
    }
}

/// Throws away what was received and not looked at, such as what was sent for other workers while this one was busy. A gap
/// among it does no harm: the wish is about to be said again.
fn drain(listener: &mut Option<Listener>) {
    let Some(open) = listener else { return };
    while matches!(open.try_recv(), Ok(Some(_)) | Err(RecvError::Gap | RecvError::Lagged(_))) {}
}
