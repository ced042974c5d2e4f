//! What a worker does while there is nothing to do.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use pg_queue_client::{Listener, RecvError};
use pg_queue_core::{Backoff, QueueName, WorkerId, jobs, workers};
use tokio::time::{Instant, sleep, sleep_until};

use super::Shared;

/// A busy worker looks every few milliseconds for so long after the last job, and asks nobody to wake it: the next job comes at
/// once, and a NOTIFY for it would hold up the producers.
const LINGER: Duration = Duration::from_millis(20);
const LINGER_PAUSE: Duration = Duration::from_millis(2);

/// The first pause between looks after that; each further one is twice as long, up to the poll interval. It finds what
/// committed between the last look and the wish to be woken.
const FIRST_PAUSE: Duration = Duration::from_millis(10);

/// The longest pause that goes on after jobs were found, when the wish has stood all along.
const CALM_PAUSE: Duration = Duration::from_millis(250);

/// For how long the wish to be woken stands. It is renewed at half of it.
const WISH: Duration = Duration::from_secs(60);

/// For statements that are not equally long on their way: so much earlier than it seems, a claim may have looked. Not much,
/// because a job that others run is not to be looked at again and again.
const LOOKED_BEFORE: Duration = Duration::from_millis(1);

/// The pauses between wishes that are not heard, and the longest pause between looks meanwhile: nobody wakes the worker.
const UNHEARD: Backoff = Backoff::Exponential { base: Duration::from_secs(1), max: Duration::from_secs(30) };
const UNHEARD_PAUSE: Duration = Duration::from_secs(1);

/// After so many rounds of claims in a row that found something, the worker is busy and takes its wish back; or after one that
/// found so many jobs.
const BUSY_AFTER: u32 = 3;
const BUSY_JOBS: usize = 16;

/// Waiting for jobs: cheap when there are none for long, quick when they come.
#[derive(Debug)]
pub(super) struct Idle {
    listener: Option<Listener>,
    wish: Wish,
    pause: Duration,
    /// How many rounds in a row found something.
    found: u32,
    rate: Rate,
    /// Until when to look every few milliseconds, if nothing is found.
    lingers_until: Option<Instant>,
    /// Whether it was an enqueue in this process that ended the last wait, and until when those are not heeded: they may be into
    /// queues from which nothing is to be had.
    rung: bool,
    deaf_until: Option<Instant>,
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
        Self {
            listener,
            wish: Wish::default(),
            pause: FIRST_PAUSE,
            found: 0,
            rate: Rate::default(),
            lingers_until: None,
            rung: false,
            deaf_until: None,
        }
    }

    /// A round of claims found so many jobs, beside a few requests that do not count.
    pub(super) async fn found<S>(&mut self, shared: &Shared<S>, id: WorkerId, jobs: usize) {
        let now = Instant::now();
        // The wish may have been heard a moment ago: what committed around it is found by the first of these pauses.
        self.pause = if self.wish.stands { self.pause.min(CALM_PAUSE) } else { FIRST_PAUSE };
        self.rung = false;
        if jobs == 0 {
            return;
        }
        self.found = self.found.saturating_add(1);
        let often = self.rate.rises(jobs, now);
        if often || self.found >= BUSY_AFTER || jobs >= BUSY_JOBS {
            self.lingers_until = Some(now + LINGER);
            shared.busy.store(true, Relaxed);
            self.unwish(shared, id).await;
        }
    }

    /// After a round that found something, and not more than it could take: a busy worker waits a moment, in which more come.
    /// A claim has its price, whatever it finds.
    pub(super) async fn breathe<S>(&self, shared: &Shared<S>) {
        if self.lingers() {
            self.pause_of_linger(shared).await;
        }
    }

    fn lingers(&self) -> bool {
        self.lingers_until.is_some_and(|until| until > Instant::now())
    }

    async fn pause_of_linger<S>(&self, shared: &Shared<S>) {
        tokio::select! {
            () = shared.closing.cancelled() => {}
            () = sleep(LINGER_PAUSE) => {}
        }
    }

    /// Takes the wish to be woken back, if there is one.
    pub(super) async fn unwish<S>(&mut self, shared: &Shared<S>, id: WorkerId) {
        if !std::mem::take(&mut self.wish).stands {
            return;
        }
        let schema = shared.queue.schema();
        let unwished = shared.control.run(async |connection| workers::unwait(connection, schema, id).await).await;
        if let Err(error) = unwished {
            // It runs out by itself.
            tracing::debug!(%error, "the wish to be woken was not taken back");
        }
    }

    /// Claims that began at `looked` found nothing in the queues `serving`: waits until another look is worth it, or until `end`.
    /// Ends at once when the worker closes.
    pub(super) async fn wait<S>(
        &mut self,
        shared: &Shared<S>,
        id: WorkerId,
        serving: &[usize],
        looked: Instant,
        end: Option<Instant>,
    ) {
        self.found = 0;
        if self.lingers() {
            return self.pause_of_linger(shared).await;
        }
        shared.busy.store(false, Relaxed);
        if std::mem::take(&mut self.rung) {
            self.deaf_until = Some(Instant::now() + LINGER);
        }
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
        let pause = next_due(shared, serving, looked).await.map_or(pause, |due| pause.min(due.max(LINGER_PAUSE)));
        // The wish must not run out while the worker sleeps.
        let until = [Some(Instant::now() + pause), self.wish.again, end].into_iter().flatten().min();
        let until = until.unwrap_or_else(Instant::now);
        tokio::select! {
            () = shared.closing.cancelled() => {}
            () = shared.look.notified() => {}
            () = rung(shared, self.deaf_until) => self.rung = true,
            () = woken(&mut self.listener, &mut self.wish, shared) => {}
            () = sleep_until(until) => {}
        }
    }

    async fn wish<S>(&mut self, shared: &Shared<S>, id: WorkerId, queues: Vec<QueueName>) {
        self.pause = FIRST_PAUSE;
        if shared.queue.is_deaf() {
            // Producers would notify for nothing.
            self.wish = Wish { again: Some(Instant::now() + WISH / 2), queues, ..Wish::default() };
            return;
        }
        // What was announced until now, the look after this will see: it must not wake the worker once more each.
        drain(&mut self.listener);
        let schema = shared.queue.schema();
        let wished =
            shared.control.run(async |connection| workers::wait(connection, schema, &queues, id, WISH).await).await;
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

/// Resolves when something was enqueued in this process.
async fn rung<S>(shared: &Shared<S>, deaf_until: Option<Instant>) {
    if let Some(until) = deaf_until {
        sleep_until(until).await;
    }
    shared.enqueued.notified().await;
}

/// How many jobs have come lately.
#[derive(Debug, Default)]
struct Rate {
    jobs: f64,
    at: Option<Instant>,
}

impl Rate {
    /// What lies further back than this counts for little.
    const MEMORY: Duration = Duration::from_millis(50);

    /// So many within that time are worth looking for them without being woken: 500 a second. Below, a NOTIFY for each costs
    /// their producers nothing that they feel, and looks would cost the server more than the jobs.
    const OFTEN: f64 = 25.0;

    /// Takes that so many have come now. Answers whether they come often.
    fn rises(&mut self, jobs: usize, now: Instant) -> bool {
        let past = self.at.replace(now).map_or(Duration::ZERO, |at| now - at);
        self.jobs = self.jobs * (-past.as_secs_f64() / Self::MEMORY.as_secs_f64()).exp() + jobs as f64;
        self.jobs >= Self::OFTEN
    }
}

/// The time until the next scheduled job of any of these queues, so that it starts when it is due and not at the next poll; also
/// of one that has become due since the worker looked.
async fn next_due<S>(shared: &Shared<S>, serving: &[usize], looked: Instant) -> Option<Duration> {
    let mut next = None;
    let unpaused = serving.iter().map(|lane| &shared.lanes[*lane]).filter(|lane| !lane.is_paused());
    for table in unpaused.map(|lane| &lane.table) {
        let due = shared
            .control
            .run(async |connection| jobs::next_due_since(connection, table, looked.elapsed() + LOOKED_BEFORE).await);
        let due = due.await;
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

#[cfg(test)]
mod tests {
    use tokio::time::{Duration, Instant};

    use super::Rate;

    #[test]
    fn jobs_come_often_from_about_five_hundred_a_second_on() {
        for (every, often) in [(20, false), (4, false), (1, true)] {
            let mut rate = Rate::default();
            let start = Instant::now();
            let last = (0..500).map(|n| rate.rises(1, start + Duration::from_millis(n * every))).last();
            assert_eq!(last, Some(often), "every {every} ms");
        }
    }
}
