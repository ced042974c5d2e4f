//! What a worker does while there is nothing to do.

use std::time::Duration;

use pg_queue_client::{Listener, RecvError};
use pg_queue_core::{QueueName, WorkerId, jobs, workers};
use tokio::time::{Instant, sleep};

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

/// After so many claims in a row that found something, the worker is busy and takes its wish back.
const BUSY_AFTER: u32 = 3;

/// Waiting for jobs: cheap when there are none for long, quick when they come.
#[derive(Debug)]
pub(super) struct Idle {
    listener: Option<Listener>,
    /// Since when nothing was found.
    since: Option<Instant>,
    pause: Duration,
    /// When the wish to be woken was last made.
    wished: Option<Instant>,
    found: u32,
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
        Self { listener, since: None, pause: FIRST_PAUSE, wished: None, found: 0 }
    }

    /// A claim found something.
    pub(super) async fn found<S>(&mut self, shared: &Shared<S>, id: WorkerId) {
        (self.since, self.pause) = (None, FIRST_PAUSE);
        self.found = self.found.saturating_add(1);
        if self.found == BUSY_AFTER && self.wished.take().is_some() {
            let schema = shared.queue.schema();
            let unwished =
                shared.control.run(async |connection| workers::unwait(&mut **connection, schema, id).await).await;
            if let Err(error) = unwished {
                // It runs out by itself.
                tracing::debug!(%error, "the wish to be woken was not taken back");
            }
        }
    }

    /// A claim found nothing: waits until another look is worth it. Ends at once when the worker closes.
    pub(super) async fn wait<S>(&mut self, shared: &Shared<S>, id: WorkerId) {
        self.found = 0;
        let since = *self.since.get_or_insert_with(Instant::now);
        if since.elapsed() < LINGER {
            tokio::select! {
                () = shared.closing.cancelled() => {}
                () = sleep(LINGER_PAUSE) => {}
            }
            return;
        }
        if self.wished.is_none_or(|wished| wished.elapsed() > WISH / 2) {
            self.wish(shared, id).await;
            // Something may have come before the wish was seen: look once more, now.
            return;
        }
        let pause = self.pause.min(shared.settings.poll_interval);
        self.pause = (self.pause * 2).min(shared.settings.poll_interval);
        let pause = pause.min(next_due(shared).await.unwrap_or(pause));
        tokio::select! {
            () = shared.closing.cancelled() => {}
            () = shared.look.notified() => {}
            () = woken(&mut self.listener, &mut self.wished, &shared.registry.queues) => {}
            () = sleep(pause) => {}
        }
    }

    async fn wish<S>(&mut self, shared: &Shared<S>, id: WorkerId) {
        let schema = shared.queue.schema();
        let queues = &shared.registry.queues;
        let wished = shared
            .control
            .run(async |connection| workers::wait(&mut **connection, schema, queues, id, WISH).await)
            .await;
        if let Err(error) = wished {
            tracing::debug!(%error, "the wish to be woken was not heard");
            sleep(FIRST_PAUSE).await;
        }
        self.wished = Some(Instant::now());
    }
}

/// The time until the next scheduled job of any queue, so that it starts when it is due and not at the next poll.
async fn next_due<S>(shared: &Shared<S>) -> Option<Duration> {
    let mut next = None;
    for table in &shared.tables {
        let due = shared.control.run(async |connection| jobs::next_due(&mut **connection, table).await).await;
        // An error here is met again by the next claim, which reports it.
        next = next.into_iter().chain(due.ok().flatten()).min();
    }
    next
}

/// Resolves when a job may have come to one of `queues`.
async fn woken(listener: &mut Option<Listener>, wished: &mut Option<Instant>, queues: &[QueueName]) {
    let Some(open) = listener else { return std::future::pending().await };
    loop {
        match open.recv().await {
            Ok(notification) => {
                let queue = notification.payload.strip_prefix("wake:");
                if queue.is_some_and(|woken| queues.iter().any(|queue| queue.as_str() == woken)) {
                    return;
                }
            }
            Err(RecvError::Closed) => {
                *listener = None;
                return;
            }
            Err(_) => {
                // The server may have lost the wish as well: the table of wishes is unlogged.
                *wished = None;
                return;
            }
        }
    }
}
