//! Claiming jobs for free slots.

use std::{sync::Arc, time::Duration};

use pg_queue_core::{
    Backoff, LeaseToken, QueueError,
    jobs::{self, Claimant, ClaimedJob},
};
use sqlx::{Postgres, pool::PoolConnection};
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc, watch},
    time::{Instant, sleep},
};

use super::{
    Shared,
    ack::{Ack, Verdict, acknowledge},
    execute,
    generation::Generation,
    heart::Life,
    orphans::Orphans,
    shares::Shares,
    trouble::{Fails, Trouble},
    wake::Idle,
};
/// How many jobs one claim takes at most. Beyond some hundred a claim gains nothing more.
const BATCH: usize = 200;

/// How many ended jobs may wait for their acknowledgement before the worker begins no more of them.
const MOST_UNTOLD: usize = 10_000;

/// How often it then looks whether there are fewer.
const UNTOLD_PAUSE: Duration = Duration::from_millis(50);

/// How many orphans are taken back at once.
const ORPHANS: u32 = 1000;

/// How long a queue is left alone that had nothing while others had: it is not asked once for each job of theirs.
const NOTHING_THERE: Duration = Duration::from_millis(10);

/// The pauses between claims that fail.
const AWAY: Backoff = Backoff::Exponential { base: Duration::from_millis(100), max: Duration::from_secs(5) };

/// The pauses between claims from a queue that is gone or refuses them, while the others go on.
const REFUSED: Backoff = Backoff::Exponential { base: Duration::from_millis(100), max: Duration::from_secs(30) };

/// Claims while there are free slots, until the worker closes. A claim in flight is never dropped half-way. Answers
/// whether the worker knows of everything that it has claimed.
pub(super) async fn run<S: Send + Sync + 'static>(
    shared: Arc<Shared<S>>,
    mut life: watch::Receiver<Life>,
    acks: mpsc::UnboundedSender<Ack>,
) -> bool {
    let closing = shared.closing.clone();
    let mut claimer = Claimer {
        kinds: shared.registry.kinds(),
        idle: Idle::new(&shared),
        life: life.clone(),
        rests: vec![Rest::default(); shared.lanes.len()],
        shares: Shares::new(shared.lanes.iter().map(|lane| lane.weight).collect()),
        failures: 0,
        orphans: Orphans::default(),
        shared,
        acks,
    };
    // Whatever it waits for, it does not wait while the worker closes.
    while !closing.is_cancelled() {
        if !life.borrow_and_update().in_contact {
            // Nothing is begun that might have to be stopped at once.
            tokio::select! {
                () = closing.cancelled() => break,
                changed = life.changed() => if changed.is_err() { break },
            }
            continue;
        }
        claimer.take_orphans_back().await;
        let Some(slot) = claimer.slot().await else { continue };
        let round = claimer.round(slot).await;
        if let Some(error) = round.away {
            let pause = AWAY.jittered(claimer.failures);
            tracing::warn!(%error, failures = claimer.failures, ?pause, "claiming failed");
            tokio::select! {
                () = closing.cancelled() => break,
                () = sleep(pause) => {}
            }
        } else if round.begun > 0 {
            claimer.idle.found(&claimer.shared, claimer.id()).await;
        } else {
            claimer.wait().await;
        }
    }
    // Its handlers may run on for long, and nobody needs to wake it any more.
    claimer.idle.unwish(&claimer.shared, claimer.id()).await;
    claimer.orphans.are_ruled_out()
}

struct Claimer<S> {
    shared: Arc<Shared<S>>,
    kinds: Vec<String>,
    idle: Idle,
    life: watch::Receiver<Life>,
    /// For each queue, how its last claim went.
    rests: Vec<Rest>,
    shares: Shares,
    failures: u16,
    orphans: Orphans,
    acks: mpsc::UnboundedSender<Ack>,
}

/// Until when a queue is left alone.
#[derive(Debug, Clone, Copy, Default)]
struct Rest {
    /// How often it did not give its jobs, and until when it is not asked for that.
    failures: u16,
    until: Option<Instant>,
    /// Until when it is not asked because it had nothing while others had.
    nothing_until: Option<Instant>,
}

impl Rest {
    fn lasts(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| until > now)
    }

    fn had_nothing(&self, now: Instant) -> bool {
        self.nothing_until.is_some_and(|until| until > now)
    }
}

/// What a round over all queues came to.
#[derive(Default)]
struct Round {
    begun: usize,
    /// Queues that had nothing.
    empty: Vec<usize>,
    /// The database is away.
    away: Option<QueueError>,
}

impl<S: Send + Sync + 'static> Claimer<S> {
    fn id(&self) -> pg_queue_core::WorkerId {
        self.life.borrow().id
    }

    /// Waits until another look is worth it.
    async fn wait(&mut self) {
        let now = Instant::now();
        // A queue that is full is not asked, whenever its rest ends: it rings when there is room again.
        let free: Vec<usize> = (0..self.rests.len()).filter(|lane| self.shared.lanes[*lane].free() > 0).collect();
        let serving: Vec<usize> = free.iter().copied().filter(|lane| !self.rests[*lane].lasts(now)).collect();
        let rests = free.iter().filter_map(|lane| self.rests[*lane].until);
        let end = rests.chain(self.orphans.next_look()).min();
        let id = self.id();
        self.idle.wait(&self.shared, id, &serving, end).await;
    }

    /// Waits for a free slot. `None`: something else has to be looked at first.
    async fn slot(&mut self) -> Option<OwnedSemaphorePermit> {
        let shared = Arc::clone(&self.shared);
        let running = shared.settings.concurrency.saturating_sub(shared.slots.available_permits());
        if shared.leases.len().saturating_sub(running) >= MOST_UNTOLD {
            tokio::select! {
                () = shared.closing.cancelled() => {}
                () = sleep(UNTOLD_PAUSE) => {}
            }
            return None;
        }
        if let Ok(slot) = Arc::clone(&shared.slots).try_acquire_owned() {
            return Some(slot);
        }
        // Who could not take a job does not want to be woken for one.
        self.idle.unwish(&shared, self.id()).await;
        tokio::select! {
            () = shared.closing.cancelled() => None,
            slot = Arc::clone(&shared.slots).acquire_owned() => slot.ok(),
            () = self.orphans.look_is_due() => None,
        }
    }

    /// Claims while slots are free and queues have something: first from those that had something lately, and from the
    /// others if that came to nothing.
    async fn round(&mut self, slot: OwnedSemaphorePermit) -> Round {
        let now = Instant::now();
        let asked = |lane: &usize| !self.rests[*lane].lasts(now) && self.shared.lanes[*lane].free() > 0;
        let (later, first): (Vec<usize>, Vec<usize>) =
            (0..self.rests.len()).filter(asked).partition(|lane| self.rests[*lane].had_nothing(now));
        let mut slot = Some(slot);
        let mut round = Round::default();
        self.ask(first, &mut slot, &mut round).await;
        if round.begun == 0 && round.away.is_none() {
            self.ask(later, &mut slot, &mut round).await;
        }
        let until = (round.begun > 0).then(|| Instant::now() + NOTHING_THERE);
        for lane in round.empty.drain(..) {
            self.rests[lane].nothing_until = until;
        }
        round
    }

    /// Claims from these queues by their shares; and once more from those that have more, if slots are left.
    async fn ask(&mut self, mut lanes: Vec<usize>, slot: &mut Option<OwnedSemaphorePermit>, round: &mut Round) {
        for _ in 0..2 {
            let mut more = Vec::new();
            for (lane, share) in self.shares.divide(self.free(slot), &lanes) {
                let most = share.min(self.free(slot)).min(self.shared.lanes[lane].free()).min(BATCH);
                if most == 0 || self.shared.closing.is_cancelled() {
                    continue;
                }
                // The generation first: if the worker is declared dead after this, what is claimed under its old id belongs
                // to a generation that is over.
                let generation = self.shared.generations.current();
                match self.claim(lane, most).await {
                    Ok(jobs) => {
                        (self.failures, self.rests[lane]) = (0, Rest::default());
                        self.shares.gave(lane, jobs.len());
                        if jobs.len() == most {
                            more.push(lane);
                        } else if jobs.is_empty() {
                            round.empty.push(lane);
                        }
                        round.begun += jobs.len();
                        for job in jobs {
                            // Only this task takes slots, and it claimed no more jobs than were free.
                            let slot = slot.take().or_else(|| Arc::clone(&self.shared.slots).try_acquire_owned().ok());
                            self.begin(lane, job, slot, &generation);
                        }
                    }
                    Err(error) if error.trouble() == Trouble::Away => {
                        self.failures = self.failures.saturating_add(1);
                        self.orphans.suspect();
                        round.away = Some(error);
                        return;
                    }
                    Err(error) => self.rest(lane, &error),
                }
            }
            lanes = more;
        }
    }

    /// How many jobs may begin: with the slot that is taken already.
    fn free(&self, slot: &Option<OwnedSemaphorePermit>) -> usize {
        usize::from(slot.is_some()) + self.shared.slots.available_permits()
    }

    /// Leaves one queue alone for a while.
    fn rest(&mut self, lane: usize, error: &QueueError) {
        let rest = &mut self.rests[lane];
        rest.failures = rest.failures.saturating_add(1);
        let pause = REFUSED.jittered(rest.failures);
        rest.until = Some(Instant::now() + pause);
        let queue = self.shared.lanes[lane].queue();
        tracing::warn!(%queue, %error, failures = rest.failures, ?pause, "claiming from one queue failed");
    }

    async fn claim(&self, lane: usize, limit: usize) -> Result<Vec<ClaimedJob>, QueueError> {
        let Life { id, in_contact, .. } = *self.life.borrow();
        if !in_contact {
            return Ok(Vec::new());
        }
        let token = LeaseToken::random();
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        self.shared
            .control
            .run(async |connection| {
                let table = &self.shared.lanes[lane].table;
                let claimant = Claimant::Worker(id);
                jobs::claim(&mut **connection, table, claimant, token, Some(&self.kinds), limit).await
            })
            .await
    }

    /// Starts the job's handler, unless the worker has closed or lost contact while the claim was on its way.
    fn begin(&self, lane: usize, job: ClaimedJob, slot: Option<OwnedSemaphorePermit>, generation: &Generation) {
        let shared = &self.shared;
        let membership = generation.join();
        let (attempt, given) = shared.attempt(lane, job, membership.cancel.clone());
        let may_begin = !shared.closing.is_cancelled() && !generation.is_over() && self.life.borrow().in_contact;
        let Some(slot) = slot.filter(|_| may_begin) else {
            shared.leases.add(&attempt);
            return acknowledge(&self.acks, Ack { attempt, verdict: Verdict::RELEASE, took: None });
        };
        shared.leases.add_running(&attempt, &membership);
        let place = shared.lanes[lane].enter();
        let start = execute::Start { attempt, given, membership, slot, place };
        shared.handlers.spawn(execute::run(Arc::clone(shared), start, self.acks.clone()));
    }

    /// Gives back what bears this worker's id without its knowing. Here, because no claim is in flight here.
    async fn take_orphans_back(&mut self) {
        if !self.orphans.begin_look() {
            return;
        }
        let (id, known) = (self.id(), self.shared.leases.tokens());
        for lane in &self.shared.lanes {
            let (queue, table) = (lane.queue(), &lane.table);
            let looked = async |connection: &mut PoolConnection<Postgres>| {
                jobs::release_orphans(&mut **connection, table, id, &known, ORPHANS).await
            };
            match self.shared.control.run(looked).await {
                Ok(orphans) if orphans.is_empty() => {}
                Ok(orphans) => {
                    tracing::warn!(%queue, count = orphans.len(), "took back jobs of a claim whose reply was lost");
                }
                Err(error) => tracing::warn!(%queue, %error, "orphans could not be looked for"),
            }
        }
    }
}
