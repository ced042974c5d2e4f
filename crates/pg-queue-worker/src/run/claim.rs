//! Claiming jobs for free slots.

use std::{sync::Arc, time::Duration};

use pg_queue_core::{
    Backoff, LeaseToken, QueueError, WorkerId,
    jobs::{self, Claimant, ClaimedJob},
};
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc, watch},
    time::{Instant, sleep},
};

use super::{
    Shared, acknowledge,
    acknowledger::{Ack, Verdict},
    execute,
    heart::Life,
    wake::Idle,
};

/// How many jobs one claim takes at most. Beyond some hundred a claim gains nothing more.
const BATCH: usize = 200;

/// The pauses between claims that fail.
const RETRY: Backoff = Backoff::Exponential { base: Duration::from_millis(100), max: Duration::from_secs(5) };

/// After a claim that failed, its reply may have been lost: for this long, the worker looks for jobs that bear its name
/// without its knowing. Longer than a statement that is still running can take to commit.
const SUSPECT_ORPHANS_FOR: Duration = Duration::from_secs(60);
const LOOK_FOR_ORPHANS_EVERY: Duration = Duration::from_secs(5);

/// Claims while there are free slots, until the worker closes. A claim in flight is never dropped half-way.
pub(super) async fn run<S: Send + Sync + 'static>(
    shared: Arc<Shared<S>>,
    mut life: watch::Receiver<Life>,
    acks: mpsc::UnboundedSender<Ack>,
) {
    let closing = shared.closing.clone();
    let mut claimer = Claimer {
        kinds: shared.registry.kinds(),
        idle: Idle::new(&shared),
        life: life.clone(),
        next_table: 0,
        failures: 0,
        orphans: None,
        shared,
        acks,
    };
    while !closing.is_cancelled() {
        let (id, in_contact) = {
            let life = life.borrow_and_update();
            (life.id, life.in_contact)
        };
        if !in_contact {
            // Nothing is begun that might have to be stopped at once.
            tokio::select! {
                () = closing.cancelled() => return,
                changed = life.changed() => if changed.is_err() { return },
            }
            continue;
        }
        let slot = tokio::select! {
            () = closing.cancelled() => return,
            slot = Arc::clone(&claimer.shared.slots).acquire_owned() => slot,
        };
        let Ok(slot) = slot else { return };
        match claimer.round(id, slot).await {
            Ok(claimed) => {
                claimer.failures = 0;
                claimer.take_orphans_back(id).await;
                if claimed == 0 {
                    claimer.idle.wait(&claimer.shared, id).await;
                } else {
                    claimer.idle.found(&claimer.shared, id).await;
                }
            }
            Err(error) => {
                claimer.failures = claimer.failures.saturating_add(1);
                let pause = RETRY.jittered(claimer.failures);
                tracing::warn!(%error, failures = claimer.failures, ?pause, "claiming failed");
                let now = Instant::now();
                claimer.orphans = Some((now + SUSPECT_ORPHANS_FOR, now));
                tokio::select! {
                    () = closing.cancelled() => return,
                    () = sleep(pause) => {}
                }
            }
        }
    }
}

struct Claimer<S> {
    shared: Arc<Shared<S>>,
    kinds: Vec<String>,
    idle: Idle,
    life: watch::Receiver<Life>,
    /// Where the next round begins, so that no queue starves behind another.
    next_table: usize,
    failures: u16,
    /// Until when orphans are suspected, and when they were last looked for.
    orphans: Option<(Instant, Instant)>,
    acks: mpsc::UnboundedSender<Ack>,
}

impl<S: Send + Sync + 'static> Claimer<S> {
    /// Claims from every queue in turn while slots are free. Answers how many jobs were begun.
    async fn round(&mut self, id: WorkerId, slot: OwnedSemaphorePermit) -> Result<usize, QueueError> {
        let tables = self.shared.tables.len();
        let first = self.next_table;
        self.next_table = (first + 1) % tables;
        let mut slot = Some(slot);
        let mut begun = 0;
        for table in (0..tables).map(|n| (first + n) % tables) {
            let free = usize::from(slot.is_some()) + self.shared.slots.available_permits();
            if free == 0 || self.shared.closing.is_cancelled() {
                break;
            }
            for job in self.claim(table, id, free.min(BATCH)).await? {
                // Only this task takes slots, and it claimed no more jobs than were free.
                let slot = slot.take().or_else(|| Arc::clone(&self.shared.slots).try_acquire_owned().ok());
                self.begin(table, job, slot);
                begun += 1;
            }
        }
        Ok(begun)
    }

    async fn claim(&self, table: usize, id: WorkerId, limit: usize) -> Result<Vec<ClaimedJob>, QueueError> {
        let token = LeaseToken::random();
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        let claimed = self
            .shared
            .control
            .run(async |connection| {
                let table = &self.shared.tables[table];
                let claimant = Claimant::Worker(id);
                jobs::claim(&mut **connection, table, claimant, token, Some(&self.kinds), limit).await
            })
            .await?;
        self.shared.leases.add(token, claimed.len());
        Ok(claimed)
    }

    /// Starts the job's handler, unless the worker has closed or lost contact while the claim was on its way.
    fn begin(&self, table: usize, job: ClaimedJob, slot: Option<OwnedSemaphorePermit>) {
        let may_begin = !self.shared.closing.is_cancelled() && self.life.borrow().in_contact;
        match slot.filter(|_| may_begin) {
            Some(slot) => {
                let shared = Arc::clone(&self.shared);
                self.shared.handlers.spawn(execute::run(shared, table, job, self.acks.clone(), slot));
            }
            None => acknowledge(&self.acks, Ack { table, id: job.id, verdict: Verdict::Release }),
        }
    }

    /// Gives back what bears this worker's id without its knowing. Here, because no claim is in flight here.
    async fn take_orphans_back(&mut self, id: WorkerId) {
        let Some((until, looked)) = self.orphans else { return };
        if looked.elapsed() < LOOK_FOR_ORPHANS_EVERY {
            return;
        }
        let known = self.shared.leases.tokens();
        for table in &self.shared.tables {
            let orphans = self
                .shared
                .control
                .run(async |connection| jobs::release_orphans(&mut **connection, table, id, &known).await)
                .await;
            match orphans {
                Ok(orphans) if orphans.is_empty() => {}
                Ok(orphans) => {
                    tracing::warn!(queue = %table.queue(), count = orphans.len(), "took back jobs of a claim whose reply was lost");
                }
                Err(error) => {
                    tracing::warn!(%error, "orphans could not be looked for");
                    return;
                }
            }
        }
        let now = Instant::now();
        self.orphans = (now < until).then_some((until, now));
    }
}
