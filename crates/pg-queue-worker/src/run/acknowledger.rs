//! Telling the database how attempts ended, in natural batches: while one statement is on its way, what arrives is the
//! next one.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use pg_queue_core::{
    Backoff, LeasedJobId, QueueError, QueueTable,
    jobs::{self, Acknowledged, Became, EndedAttempt, Ending, Kept},
};
use sqlx::PgConnection;
use tokio::{
    sync::mpsc::{self, error::TryRecvError},
    time::{Instant, sleep, timeout_at},
};

use super::{
    Shared,
    ack::{Ack, Verb, Verdict},
    hand::Role,
    trouble::{Fails, Trouble},
};
use crate::{Event, EventJob};

/// How many acknowledgements one statement takes at most.
const BATCH: usize = 1000;

/// How many are taken at once, to be told queue by queue.
const BATCHES: usize = 4 * BATCH;

/// So many are worth a statement. A worker that has more to do gathers fewer for a moment; one that has not tells them at once.
const ENOUGH: usize = 500;
const GATHERING: Duration = Duration::from_millis(1);

/// How many bytes of outputs one statement takes, unless a single one is longer: a small server holds them several times over.
const BATCH_BYTES: usize = 8 << 20;

/// How long acknowledgements wait whose rows another transaction has locked.
const LOCKED: Backoff = Backoff::Exponential { base: Duration::from_millis(50), max: Duration::from_secs(1) };

/// The pauses while the database does not take acknowledgements. They are kept until it does.
const AWAY: Backoff = Backoff::Exponential { base: Duration::from_millis(100), max: Duration::from_secs(5) };

/// The pauses for one that the database refuses, or whose queue's table is locked, while it takes others.
const REFUSED: Backoff = Backoff::Exponential { base: Duration::from_millis(100), max: Duration::from_secs(30) };

/// When a batch is refused, it is halved again and again to find out which of it is refused. So many refusals in a row
/// mean that all of it is.
const MOST_REFUSALS: usize = 64;

const ROLE: Role = Role::Acknowledgements;

/// An acknowledgement that is not settled.
#[derive(Debug)]
struct Pending {
    ack: Ack,
    /// A statement about it had no answer, and may have been done all the same.
    uncertain: bool,
    tries: u16,
    not_before: Instant,
}

impl Pending {
    fn put_off(&mut self, pauses: Backoff) {
        self.tries = self.tries.saturating_add(1);
        self.not_before = Instant::now() + pauses.jittered(self.tries);
    }
}

/// Acknowledges until all senders are gone and everything is told.
pub(super) async fn run<S>(shared: Arc<Shared<S>>, mut acks: mpsc::UnboundedReceiver<Ack>) {
    let mut open = true;
    let mut arrived = Vec::with_capacity(BATCHES);
    let mut pending: Vec<Pending> = Vec::new();
    let mut failures: u16 = 0;
    let mut last = (0, Verb::Complete);
    while open || !pending.is_empty() {
        let next = pending.iter().map(|pending| pending.not_before).min();
        match next {
            _ if failures > 0 => sleep(AWAY.jittered(failures)).await,
            None => open = acks.recv_many(&mut arrived, BATCHES).await > 0,
            Some(next) if next <= Instant::now() => open &= take_arrived(&mut acks, &mut arrived),
            Some(next) if open => {
                if let Ok(count) = timeout_at(next, acks.recv_many(&mut arrived, BATCHES)).await {
                    open = count > 0;
                }
            }
            Some(next) => tokio::time::sleep_until(next).await,
        }
        // While jobs come often, or more are in line, nobody waits for these, and each statement has its price.
        let busy = || shared.busy.load(Relaxed) || shared.ahead.len() > 0;
        if failures == 0 && pending.len() + arrived.len() < ENOUGH && busy() {
            sleep(GATHERING).await;
            open &= take_arrived(&mut acks, &mut arrived);
        }
        let now = Instant::now();
        let new = |ack| Pending { ack, uncertain: false, tries: 0, not_before: now };
        pending.extend(arrived.drain(..).map(new));
        let (ready, later) = pending.into_iter().partition(|pending| failures > 0 || pending.not_before <= now);
        pending = later;
        // One statement after the other, by turns: what arrives meanwhile makes the others larger.
        let mut groups = grouped(ready);
        let next = groups.iter().position(|group| (group.lane, group.verb) > last).unwrap_or(0);
        let away = match groups.get(next).is_some().then(|| groups.remove(next)) {
            Some(group) => {
                last = (group.lane, group.verb);
                tell_group(&shared, group, &mut pending).await
            }
            None => None,
        };
        pending.extend(groups.into_iter().flat_map(|group| group.pending));
        match away {
            None => failures = 0,
            Some(error) => {
                failures = failures.saturating_add(1);
                tracing::warn!(%error, waiting = pending.len(), "acknowledgements are kept: the database does not take them");
            }
        }
    }
}

/// Takes what is there. Answers whether there can be more.
fn take_arrived(acks: &mut mpsc::UnboundedReceiver<Ack>, arrived: &mut Vec<Ack>) -> bool {
    while arrived.len() < BATCHES {
        match acks.try_recv() {
            Ok(ack) => arrived.push(ack),
            Err(error) => return error == TryRecvError::Empty,
        }
    }
    true
}

/// Tells one acknowledgement at once, for who waits for that; again and again while its row is locked, or it is refused.
#[cfg(feature = "testing")]
pub(super) async fn settle<S>(shared: &Shared<S>, ack: Ack) -> Result<(), QueueError> {
    let mut pending = vec![Pending { ack, uncertain: false, tries: 0, not_before: Instant::now() }];
    loop {
        let mut kept = Vec::new();
        for group in grouped(pending) {
            if let Some(away) = tell_group(shared, group, &mut kept).await {
                return Err(away);
            }
        }
        let Some(next) = kept.iter().map(|pending| pending.not_before).min() else { return Ok(()) };
        tokio::time::sleep_until(next).await;
        pending = kept;
    }
}

/// What one statement can tell.
struct Group {
    lane: usize,
    verb: Verb,
    bytes: usize,
    pending: Vec<Pending>,
}

impl Group {
    fn takes(&self, ack: &Ack) -> bool {
        let same = (self.lane, self.verb) == (ack.attempt.lane, ack.verdict.verb());
        same && self.pending.len() < BATCH && self.bytes + ack.verdict.bytes() <= BATCH_BYTES
    }
}

/// By queue and statement, at most a batch each.
fn grouped(mut pending: Vec<Pending>) -> Vec<Group> {
    pending.sort_by_key(|pending| (pending.ack.attempt.lane, pending.ack.verdict.verb()));
    let mut groups: Vec<Group> = Vec::new();
    for one in pending {
        let (lane, verb, bytes) = (one.ack.attempt.lane, one.ack.verdict.verb(), one.ack.verdict.bytes());
        match groups.last_mut().filter(|group| group.takes(&one.ack)) {
            Some(group) => {
                group.bytes += bytes;
                group.pending.push(one);
            }
            None => groups.push(Group { lane, verb, bytes, pending: vec![one] }),
        }
    }
    groups
}

/// Tells a group. What cannot be told now is put into `kept`. Answers an error if the database is away.
async fn tell_group<S>(shared: &Shared<S>, group: Group, kept: &mut Vec<Pending>) -> Option<QueueError> {
    let Group { lane, verb, pending, .. } = group;
    let mut parts = vec![pending];
    let mut refusals = 0;
    while let Some(mut part) = parts.pop() {
        let Err(error) = tell(shared, lane, verb, &mut part, kept).await else { continue };
        match error.trouble() {
            Trouble::Gone => {
                tracing::warn!(%error, jobs = part.len(), "the jobs are gone with their queue");
                part.iter().for_each(|one| settled(shared, one, None));
            }
            Trouble::Refused if part.len() > 1 && refusals < MOST_REFUSALS => {
                refusals += 1;
                let half = part.split_off(part.len() / 2);
                parts.extend([half, part]);
            }
            Trouble::Refused | Trouble::Busy => {
                refusals += 1;
                tracing::warn!(%error, jobs = part.len(), "acknowledgements were refused, and are tried again");
                part.iter_mut().for_each(|one| one.put_off(REFUSED));
                kept.append(&mut part);
            }
            Trouble::Away => {
                kept.append(&mut part);
                kept.extend(parts.into_iter().flatten());
                return Some(error);
            }
        }
    }
    None
}

/// Tells one batch, and puts into `kept` what is locked. After an error the batch is what is not settled of it.
async fn tell<S>(
    shared: &Shared<S>,
    lane: usize,
    verb: Verb,
    part: &mut Vec<Pending>,
    kept: &mut Vec<Pending>,
) -> Result<(), QueueError> {
    let table = &shared.lanes[lane].table;
    if verb == Verb::Complete {
        complete_in_place(shared, table, part).await?;
        if part.is_empty() {
            return Ok(());
        }
    }
    let connection = shared.control.acquire(ROLE).await?;
    let sent =
        shared.control.run_on(connection, ROLE, async |connection| send(connection, table, verb, part).await).await;
    let changed = sent.inspect_err(|error| {
        if error.trouble() == Trouble::Away {
            part.iter_mut().for_each(|one| one.uncertain = true);
        }
    })?;
    // Before anything else can fail: nobody will answer once more that these were changed.
    part.retain(|one| match changed.became(one.ack.attempt.id) {
        Some(became) => {
            settled(shared, one, Some(became));
            false
        }
        None => true,
    });
    if part.is_empty() {
        return Ok(());
    }
    let missing: Vec<LeasedJobId> = part.iter().map(|one| one.ack.attempt.id).collect();
    let locked = shared.control.run(async |connection| jobs::held(connection, table, &missing).await).await?;
    for mut one in part.drain(..) {
        if locked.contains(one.ack.attempt.id) {
            one.put_off(LOCKED);
            kept.push(one);
        } else {
            settled(shared, &one, None);
        }
    }
    Ok(())
}

/// Completes what is where it was claimed, which is nearly everything, and leaves the rest of the batch.
async fn complete_in_place<S>(
    shared: &Shared<S>,
    table: &QueueTable,
    part: &mut Vec<Pending>,
) -> Result<(), QueueError> {
    // What has completed itself is not there any more.
    let attempts = part.iter().map(|one| &one.ack.attempt).filter(|attempt| !attempt.completed_in());
    let jobs: Vec<LeasedJobId> = attempts.map(|attempt| attempt.id).collect();
    if jobs.is_empty() {
        return Ok(());
    }
    let connection = shared.control.acquire(ROLE).await?;
    let sent = shared
        .control
        .run_on(connection, ROLE, async |connection| jobs::complete_at(connection, table, &jobs, false).await);
    match sent.await {
        Ok(changed) => part.retain(|one| match changed.became(one.ack.attempt.id) {
            Some(became) => {
                settled(shared, one, Some(became));
                false
            }
            None => true,
        }),
        Err(error) => match error.trouble() {
            Trouble::Away => {
                part.iter_mut().for_each(|one| one.uncertain = true);
                return Err(error);
            }
            Trouble::Gone => return Err(error),
            // Undone: somebody has locked one of them at the last moment. The way that skips it is still open.
            Trouble::Busy | Trouble::Refused => {}
        },
    }
    Ok(())
}

async fn send(
    connection: &mut PgConnection,
    table: &QueueTable,
    verb: Verb,
    group: &[Pending],
) -> Result<Acknowledged, QueueError> {
    let acks = group.iter().map(|one| &one.ack);
    match verb {
        Verb::Complete => {
            let ids: Vec<LeasedJobId> = acks.map(|ack| ack.attempt.id).collect();
            jobs::complete(connection, table, &ids).await
        }
        Verb::CompleteKept => {
            let done: Vec<(LeasedJobId, Kept)> = acks.filter_map(completed_kept).collect();
            jobs::complete_kept(connection, table, &done).await
        }
        Verb::End => {
            let ended: Vec<EndedAttempt> = acks.filter_map(ended_attempt).collect();
            jobs::end(connection, table, &ended).await
        }
    }
}

fn completed_kept(ack: &Ack) -> Option<(LeasedJobId, Kept)> {
    let Verdict::Complete(Some(kept)) = &ack.verdict else { return None };
    Some((ack.attempt.id, kept.clone()))
}

fn ended_attempt(ack: &Ack) -> Option<EndedAttempt> {
    let Verdict::End { ending, error } = &ack.verdict else { return None };
    Some(EndedAttempt { id: ack.attempt.id, ending: *ending, error: error.clone(), took: ack.took })
}

/// The database has answered for good: counts it. `became` is what the statement did; nothing, when the lease was lost.
fn settled<S>(shared: &Shared<S>, one: &Pending, became: Option<Became>) {
    let Pending { ack, uncertain, .. } = one;
    let Ack { attempt, verdict, took, .. } = ack;
    shared.leases.acknowledged(attempt.id);
    let counters = &shared.counters;
    let job = || EventJob::new(attempt.id, attempt.table.queue(), &attempt.kind);
    let became = match (became, verdict) {
        // Gone, as it should be.
        (None, _) if attempt.completed_in() => Became::Completed,
        (None, _) if !uncertain => {
            tracing::warn!(job = %attempt.id, verdict = ?verdict.verb(), "the lease was lost: somebody else has the job");
            counters.lost_leases.fetch_add(1, Relaxed);
            shared.teller.tell(|| Event::LeaseLost(job()));
            return;
        }
        // A statement without an answer has done what was asked.
        (None, Verdict::Complete(_)) => Became::Completed,
        (None, Verdict::End { ending, .. }) => meant(*ending),
        (Some(became), _) => became,
    };
    // What was put back may be due at once or soon, and nobody notifies this worker of its own doing.
    if matches!(became, Became::Retried | Became::Released) {
        shared.look.notify_one();
    }
    if became == Became::Released && took.is_none() && !shared.closing.is_cancelled() {
        // It was claimed ahead, and nothing has happened to it.
        return;
    }
    let counter = match became {
        // It never began.
        Became::Completed if took.is_none() => &counters.expired,
        Became::Completed => &counters.completed,
        Became::Discarded => &counters.discarded,
        Became::Cancelled => &counters.cancelled,
        Became::Released if verdict.delay().is_some() => &counters.snoozed,
        Became::Released => &counters.released,
        _ => &counters.retried,
    };
    counter.fetch_add(1, Relaxed);
    shared.teller.tell(|| match (became, took) {
        (Became::Completed, None) => Event::Expired(job()),
        _ => event(job(), became, verdict, took.unwrap_or_default()),
    });
}

fn event(job: EventJob, became: Became, verdict: &Verdict, took: Duration) -> Event {
    let error = || verdict.error().unwrap_or_default().to_owned();
    match (became, verdict.delay()) {
        (Became::Completed, _) => Event::Completed { job, took },
        (Became::Discarded, _) => Event::Discarded { job, error: error(), took },
        (Became::Cancelled, _) => Event::Cancelled { job, took },
        (Became::Released, Some(delay)) => Event::Snoozed { job, delay },
        (Became::Released, None) => Event::Released(job),
        (_, delay) => Event::Retried { job, error: error(), delay: delay.unwrap_or_default(), took },
    }
}

fn meant(ending: Ending) -> Became {
    match ending {
        Ending::Discard => Became::Discarded,
        Ending::Cancel => Became::Cancelled,
        Ending::Release(_) => Became::Released,
        _ => Became::Retried,
    }
}
