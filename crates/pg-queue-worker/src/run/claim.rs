//! Claiming jobs for free slots, and some ahead of them.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use pg_queue_core::{Backoff, QueueError, jobs};
use sqlx::PgConnection;
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep, sleep_until},
};

use super::{
    Shared,
    ack::Acks,
    heart::Life,
    intake::{Claimed, Intake},
    orphans::Orphans,
    pace::{MOST_AHEAD, Pace},
    shares::Shares,
    trouble::{Fails, Trouble},
    wake::Idle,
};

/// How many jobs one claim takes at most. Beyond it the server gains nothing more, and a short job waits for a long answer.
const BATCH: usize = 1000;

/// How many jobs the first round after a quiet time claims beyond the free slots. Twice as many in each further one that leaves
/// some: it shows only then how quickly each of several queues is to be served.
const FIRST_STRIDE: usize = 32;

/// So many jobs are put in line at once. To hand more over to another task takes less time than that.
const AT_ONCE: usize = 32;

/// With fewer in line than this, jobs of several queues begin as they are claimed, and not by their queues' shares.
const LOW: usize = 1000;

/// How many ended jobs may wait for their acknowledgement before the worker begins no more of them.
const MOST_UNTOLD: usize = 10_000;

/// How often it then looks whether there are fewer.
const UNTOLD_PAUSE: Duration = Duration::from_millis(50);

/// A round that brought fewer requests than this does not make the worker a busy one, which looks every few milliseconds. Each of
/// their callers may wait for its answer before it calls again, and then feels every pause, however often requests come; and to
/// notify costs them little, because they do not wait for the disk.
const MANY_REQUESTS: usize = 8;

/// How many orphans are taken back at once.
const ORPHANS: u32 = 1000;

/// How long a queue is left alone that had nothing while others had: it is not asked once for each job of theirs.
const NOTHING_THERE: Duration = Duration::from_millis(10);

/// A queue that gave jobs within this time is likely to have more, and the others leave room for it.
const LATELY: Duration = Duration::from_millis(100);

/// The pauses between claims that fail.
const AWAY: Backoff = Backoff::Exponential { base: Duration::from_millis(100), max: Duration::from_secs(5) };

/// The pauses between claims from a queue that is gone or refuses them, while the others go on.
const REFUSED: Backoff = Backoff::Exponential { base: Duration::from_millis(100), max: Duration::from_secs(30) };

/// Claims while there is room, until the worker closes. A claim in flight is never dropped half-way. Answers whether the worker
/// knows of everything that it has claimed.
pub(super) async fn run<S: Send + Sync + 'static>(
    shared: Arc<Shared<S>>,
    mut life: watch::Receiver<Life>,
    acks: Acks,
) -> bool {
    let closing = shared.closing.clone();
    let mut claimer = Claimer {
        idle: Idle::new(&shared),
        looked: Instant::now(),
        rests: vec![Rest::default(); shared.lanes.len()],
        paces: vec![Pace::default(); shared.lanes.len()],
        shares: Shares::new(shared.lanes.iter().map(|lane| lane.weight).collect()),
        failures: 0,
        orphans: Orphans::default(),
        taking_in: None,
        sweep: None,
        stride: FIRST_STRIDE,
        gave: 0,
        busy: 0,
        intake: Intake::new(Arc::clone(&shared), life.clone(), acks),
        shared,
    };
    // Whatever it waits for, it does not wait while the worker closes.
    while !closing.is_cancelled() {
        if !life.borrow_and_update().in_contact {
            // Nothing is begun that might have to be stopped at once.
            claimer.clear_all();
            tokio::select! {
                () = closing.cancelled() => break,
                changed = life.changed() => if changed.is_err() { break },
            }
            continue;
        }
        claimer.take_orphans_back().await;
        claimer.look_after_line();
        let Some(room) = claimer.room().await else { continue };
        let round = claimer.round(room).await;
        if let Some(error) = round.away {
            let pause = AWAY.jittered(claimer.failures);
            tracing::warn!(%error, failures = claimer.failures, ?pause, "claiming failed");
            tokio::select! {
                () = closing.cancelled() => break,
                () = sleep(pause) => {}
            }
        } else if round.begun > 0 {
            let jobs = if round.requests < MANY_REQUESTS { round.begun - round.requests } else { round.begun };
            claimer.idle.found(&claimer.shared, claimer.intake.id(), jobs).await;
            if !round.has_more {
                claimer.idle.breathe(&claimer.shared).await;
            }
        } else {
            claimer.wait().await;
        }
    }
    claimer.have_taken_in().await;
    claimer.end_sweep().await;
    claimer.clear_all();
    // Its handlers may run on for long, and nobody needs to wake it any more.
    claimer.idle.unwish(&claimer.shared, claimer.intake.id()).await;
    claimer.orphans.are_ruled_out()
}

struct Claimer<S> {
    shared: Arc<Shared<S>>,
    intake: Intake<S>,
    idle: Idle,
    /// When the last round of claims began.
    looked: Instant,
    /// For each queue, how its last claim went.
    rests: Vec<Rest>,
    /// For each queue, how quickly its jobs end.
    paces: Vec<Pace>,
    shares: Shares,
    failures: u16,
    orphans: Orphans,
    /// What was claimed and is being put in line beside the next claim.
    taking_in: Option<JoinHandle<()>>,
    /// A sweep that is on its way beside the claims.
    sweep: Option<JoinHandle<Result<(), QueueError>>>,
    /// How many jobs a round claims beyond the free slots.
    stride: usize,
    /// How many queues gave jobs in the last round, and how many have lately.
    gave: usize,
    busy: usize,
}

/// Until when a queue is left alone.
#[derive(Debug, Clone, Copy, Default)]
struct Rest {
    /// How often it did not give its jobs, and until when it is not asked for that.
    failures: u16,
    until: Option<Instant>,
    /// Until when it is not asked because it had nothing while others had.
    nothing_until: Option<Instant>,
    /// When it last gave jobs.
    gave_at: Option<Instant>,
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
    /// How many of those are requests, from queues through which nothing else goes.
    requests: usize,
    /// How many queues gave some.
    gave: usize,
    /// A queue gave all that it was asked for.
    has_more: bool,
    /// What is put in line when all queues were asked.
    held: Vec<Claimed>,
    /// Queues that had nothing.
    empty: Vec<usize>,
    /// The database is away.
    away: Option<QueueError>,
}

impl<S: Send + Sync + 'static> Claimer<S> {
    /// Waits until another look is worth it.
    async fn wait(&mut self) {
        let now = Instant::now();
        // A queue that is full is not asked, whenever its rest ends: it rings when there is room again.
        let free: Vec<usize> = (0..self.rests.len()).filter(|lane| self.shared.lanes[*lane].free() > 0).collect();
        let serving: Vec<usize> = free.iter().copied().filter(|lane| !self.rests[*lane].lasts(now)).collect();
        let rests = free.iter().filter_map(|lane| self.rests[*lane].until);
        let sweeps = serving.iter().filter_map(|lane| self.shared.lanes[*lane].sweeps().wanted_at());
        let end = rests.chain(sweeps).chain(self.orphans.next_look()).chain(self.shared.ahead.patience_ends()).min();
        self.idle.wait(&self.shared, self.intake.id(), &serving, self.looked, end).await;
    }

    /// Gives back what waits in line for nothing: its queue was paused, or its handlers have become slow.
    fn look_after_line(&mut self) {
        let now = Instant::now();
        for (lane, pace) in self.paces.iter_mut().enumerate() {
            let treated = &self.shared.lanes[lane];
            let (ended, busy) = treated.noted();
            pace.learn(ended, busy);
            let overdue = self.shared.ahead.is_overdue(lane, now);
            if overdue {
                pace.is_too_slow();
            }
            if overdue || treated.is_paused() {
                let count = self.intake.clear(lane);
                if count > 0 {
                    tracing::debug!(queue = %treated.queue(), count, overdue, "jobs go back that were claimed ahead");
                }
            }
        }
        self.intake.serve();
    }

    fn clear_all(&self) {
        for lane in 0..self.paces.len() {
            self.intake.clear(lane);
        }
    }

    /// How many jobs of this queue to claim ahead.
    fn ahead(&self, lane: usize) -> usize {
        let pace = self.paces[lane].ahead(self.shared.lanes[lane].limit().min(self.shared.settings.concurrency));
        pace.min(MOST_AHEAD / self.busy.max(1))
    }

    /// How many more jobs of this queue there is room for. None, as long as enough are in line.
    fn room_in(&self, lane: usize) -> usize {
        let (ahead, in_line) = (self.ahead(lane), self.shared.ahead.of_lane(lane));
        let room = (self.shared.lanes[lane].free() + ahead).saturating_sub(in_line);
        if in_line > 0 && room < ahead.div_ceil(2) { 0 } else { room }
    }

    /// How many more jobs there is room for, of all queues.
    fn room_in_all(&self) -> usize {
        let ahead = (0..self.paces.len()).map(|lane| self.ahead(lane)).sum::<usize>().min(MOST_AHEAD);
        (self.shared.slots.available_permits() + ahead).saturating_sub(self.shared.ahead.len())
    }

    /// Waits until there is room. `None`: something else has to be looked at first.
    async fn room(&mut self) -> Option<usize> {
        let shared = Arc::clone(&self.shared);
        let running = shared.settings.concurrency.saturating_sub(shared.slots.available_permits());
        if shared.leases.len().saturating_sub(running + shared.ahead.len()) >= MOST_UNTOLD {
            tokio::select! {
                () = shared.closing.cancelled() => {}
                () = sleep(UNTOLD_PAUSE) => {}
            }
            return None;
        }
        // Asked before anything else: a slot that becomes free after this is waited for below.
        let all_serve = shared.slots.available_permits() == 0;
        if !all_serve && self.intake.serve() > 0 {
            return None;
        }
        let mut reached = false;
        for lane in 0..self.paces.len() {
            // Also when it is not: a sweep on its way may bring what is missing, and rings when it ends.
            reached |= shared.ahead.ring_at(lane, self.ahead(lane) / 2) && self.room_in(lane) > 0;
        }
        let room = self.room_in_all();
        // With nothing in line it is for the round to find out that all queues are full, and to wait for that to change.
        // Nor is anything claimed ahead of slots that are all taken, unless there was something lately.
        if room > 0 && (reached || shared.ahead.len() == 0) && (self.gave > 0 || !all_serve) {
            return Some(room);
        }
        if all_serve && shared.ahead.len() == 0 {
            shared.busy.store(false, Relaxed);
            // Who could not take a job does not want to be woken for one.
            self.idle.unwish(&shared, self.intake.id()).await;
        }
        let patience_ends = shared.ahead.patience_ends();
        tokio::select! {
            () = shared.closing.cancelled() => {}
            () = shared.look.notified() => {}
            // If one was free, what is in line may not begin yet.
            slot = shared.slots.acquire(), if all_serve => drop(slot),
            () = sleep_until(patience_ends.unwrap_or_else(Instant::now)), if patience_ends.is_some() => {}
            () = self.orphans.look_is_due() => {}
        }
        None
    }

    /// Claims while there is room and queues have something: first from those that had something lately, and from the
    /// others if that came to nothing.
    async fn round(&mut self, room: usize) -> Round {
        let now = Instant::now();
        self.looked = now;
        let asked = |lane: &usize| !self.rests[*lane].lasts(now) && self.room_in(*lane) > 0;
        let (later, first): (Vec<usize>, Vec<usize>) =
            (0..self.rests.len()).filter(asked).partition(|lane| self.rests[*lane].had_nothing(now));
        let room = room.min(self.shared.slots.available_permits() + self.stride);
        let mut round = Round::default();
        self.ask(first, room, &mut round).await;
        if round.begun == 0 && round.away.is_none() {
            self.ask(later, room, &mut round).await;
        }
        // Together, so that they begin by their shares, and not in the order in which they were claimed.
        self.gave = round.gave;
        let lately = |rest: &&Rest| rest.gave_at.is_some_and(|gave_at| gave_at.elapsed() < LATELY);
        self.busy = self.rests.iter().filter(lately).count();
        self.take_in(std::mem::take(&mut round.held)).await;
        self.stride = if round.has_more { (self.stride * 2).min(MOST_AHEAD) } else { FIRST_STRIDE };
        let until = (round.begun > 0).then(|| Instant::now() + NOTHING_THERE);
        for lane in round.empty.drain(..) {
            self.rests[lane].nothing_until = until;
        }
        round
    }

    /// Claims from these queues by their shares; and once more from those that have more, if there is room left.
    async fn ask(&mut self, mut lanes: Vec<usize>, mut room: usize, round: &mut Round) {
        for _ in 0..2 {
            let mut more = Vec::new();
            for (lane, share) in self.shares.divide(room, &lanes) {
                let mut most = share.min(room).min(self.room_in(lane)).min(BATCH);
                if most == 0 || self.shared.closing.is_cancelled() {
                    continue;
                }
                let sweep = {
                    let sweeps = self.shared.lanes[lane].sweeps();
                    sweeps.is_due(Instant::now()).then(|| sweeps.are_quick())
                };
                if sweep == Some(false) {
                    let reserved = self.sweep_beside(lane, most.div_ceil(2));
                    (most, room) = (most - reserved, room - reserved);
                    if most == 0 {
                        continue;
                    }
                }
                match self.intake.claim(lane, most, sweep == Some(true)).await {
                    Ok(claimed) => {
                        let jobs = claimed.len();
                        let gave_at = if jobs > 0 { Some(Instant::now()) } else { self.rests[lane].gave_at };
                        (self.failures, self.rests[lane]) = (0, Rest { gave_at, ..Rest::default() });
                        self.shares.gave(lane, jobs);
                        round.gave += usize::from(jobs > 0);
                        if self.shared.registry.makes(self.shared.lanes[lane].queue()) {
                            round.requests += jobs;
                        }
                        round.held.push(claimed);
                        if self.busy <= 1 || self.shared.ahead.len() < LOW {
                            self.take_in(std::mem::take(&mut round.held)).await;
                        }
                        if jobs == most {
                            round.has_more = true;
                            more.push(lane);
                        } else if jobs == 0 {
                            round.empty.push(lane);
                        }
                        round.begun += jobs;
                        room = room.saturating_sub(jobs);
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

    /// Puts in line what was claimed; if that is much, beside the next claim.
    async fn take_in(&mut self, held: Vec<Claimed>) {
        if held.is_empty() {
            return;
        }
        // In the order of the claims.
        self.have_taken_in().await;
        if held.iter().map(Claimed::len).sum::<usize>() <= AT_ONCE {
            return held.into_iter().for_each(|claimed| self.intake.put(claimed));
        }
        held.iter().for_each(|claimed| self.shared.ahead.reserve(claimed.lane(), claimed.len()));
        let intake = self.intake.clone();
        self.taking_in = Some(tokio::spawn(async move {
            for claimed in held {
                let (lane, count) = (claimed.lane(), claimed.len());
                intake.put(claimed);
                intake.shared.ahead.unreserve(lane, count);
            }
            intake.shared.look.notify_one();
        }));
    }

    async fn have_taken_in(&mut self) {
        let Some(taking_in) = self.taking_in.take() else { return };
        if let Err(error) = taking_in.await {
            tracing::error!(%error, "what was claimed was not put in line, by a mistake of its own");
            self.orphans.suspect();
        }
    }

    /// Sweeps a queue beside the claims, for at most so many jobs, unless a sweep is on its way. Answers how many it may bring.
    fn sweep_beside(&mut self, lane: usize, most: usize) -> usize {
        if self.sweep.is_some() {
            return 0;
        }
        self.shared.ahead.reserve(lane, most);
        let intake = self.intake.clone();
        self.sweep = Some(tokio::spawn(async move {
            let swept = intake.claim(lane, most, true).await.map(|claimed| intake.put(claimed));
            intake.shared.ahead.unreserve(lane, most);
            intake.shared.look.notify_one();
            swept
        }));
        most
    }

    /// Waits for the end of a sweep, if one is on its way.
    async fn end_sweep(&mut self) {
        let Some(sweep) = self.sweep.take() else { return };
        match sweep.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(%error, "a sweep failed");
                if error.trouble() == Trouble::Away {
                    self.orphans.suspect();
                }
            }
            Err(error) => {
                tracing::error!(%error, "a sweep has ended by a mistake of its own");
                self.orphans.suspect();
            }
        }
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

    /// Gives back what bears this worker's id without its knowing. Here, because no claim is in flight here.
    async fn take_orphans_back(&mut self) {
        if self.sweep.as_ref().is_some_and(JoinHandle::is_finished) {
            self.end_sweep().await;
        }
        if !self.orphans.begin_look() {
            return;
        }
        self.have_taken_in().await;
        self.end_sweep().await;
        let (id, known) = (self.intake.id(), self.shared.leases.tokens());
        for lane in &self.shared.lanes {
            let (queue, table) = (lane.queue(), &lane.table);
            let looked = async |connection: &mut PgConnection| {
                jobs::release_orphans(connection, table, id, &known, ORPHANS).await
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
