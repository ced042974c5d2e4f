//! Telling the database how attempts ended, in natural batches: while one statement is on its way, what arrives is the
//! next one.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use pg_queue_core::{
    Backoff, LeasedJobId, QueueError, QueueTable,
    jobs::{self, Acknowledged, FailedAttempt, Release},
};
use sqlx::PgConnection;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout_at},
};

use super::{
    Shared,
    ack::{Ack, Verb, Verdict},
    trouble::{Fails, Trouble},
};

/// How many acknowledgements one statement takes at most.
const BATCH: usize = 1000;

/// How long acknowledgements wait whose rows another transaction has locked.
const LOCKED: Backoff = Backoff::Exponential { base: Duration::from_millis(50), max: Duration::from_secs(1) };

/// The pauses while the database does not take acknowledgements. They are kept until it does.
const AWAY: Backoff = Backoff::Exponential { base: Duration::from_millis(100), max: Duration::from_secs(5) };

/// The pauses for one that the database refuses, or whose queue's table is locked, while it takes others.
const REFUSED: Backoff = Backoff::Exponential { base: Duration::from_millis(100), max: Duration::from_secs(30) };

/// When a batch is refused, it is halved again and again to find out which of it is refused. So many refusals in a row
/// mean that all of it is.
const MOST_REFUSALS: usize = 64;

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
    let mut arrived = Vec::with_capacity(BATCH);
    let mut pending: Vec<Pending> = Vec::new();
    let mut failures: u16 = 0;
    while open || !pending.is_empty() {
        let next = pending.iter().map(|pending| pending.not_before).min();
        match next {
            _ if failures > 0 => sleep(AWAY.jittered(failures)).await,
            None => open = acks.recv_many(&mut arrived, BATCH).await > 0,
            Some(next) if open => {
                if let Ok(count) = timeout_at(next, acks.recv_many(&mut arrived, BATCH)).await {
                    open = count > 0;
                }
            }
            Some(next) => tokio::time::sleep_until(next).await,
        }
        let now = Instant::now();
        let new = |ack| Pending { ack, uncertain: false, tries: 0, not_before: now };
        pending.extend(arrived.drain(..).map(new));
        let (ready, later) = pending.into_iter().partition(|pending| failures > 0 || pending.not_before <= now);
        pending = later;
        let mut away = None;
        let mut groups = grouped(ready).into_iter();
        for group in groups.by_ref() {
            away = tell_group(&shared, group, &mut pending).await;
            if away.is_some() {
                break;
            }
        }
        pending.extend(groups.flat_map(|group| group.pending));
        match away {
            None => failures = 0,
            Some(error) => {
                failures = failures.saturating_add(1);
                tracing::warn!(%error, waiting = pending.len(), "acknowledgements are kept: the database does not take them");
            }
        }
    }
}

/// What one statement can tell.
struct Group {
    table: usize,
    verb: Verb,
    pending: Vec<Pending>,
}

/// By queue and statement, at most a batch each.
fn grouped(mut pending: Vec<Pending>) -> Vec<Group> {
    pending.sort_by_key(|pending| (pending.ack.table, pending.ack.verdict.verb()));
    let mut groups: Vec<Group> = Vec::new();
    for one in pending {
        let (table, verb) = (one.ack.table, one.ack.verdict.verb());
        match groups.last_mut() {
            Some(group) if (group.table, group.verb) == (table, verb) && group.pending.len() < BATCH => {
                group.pending.push(one);
            }
            _ => groups.push(Group { table, verb, pending: vec![one] }),
        }
    }
    groups
}

/// Tells a group. What cannot be told now is put into `kept`. Answers an error if the database is away.
async fn tell_group<S>(shared: &Shared<S>, group: Group, kept: &mut Vec<Pending>) -> Option<QueueError> {
    let Group { table, verb, pending } = group;
    let mut parts = vec![pending];
    let mut refusals = 0;
    while let Some(mut part) = parts.pop() {
        let Err(error) = tell(shared, table, verb, &mut part, kept).await else { continue };
        match error.trouble() {
            Trouble::Gone => {
                tracing::warn!(%error, jobs = part.len(), "the jobs are gone with their queue");
                part.iter().for_each(|one| settled(shared, one, false, false));
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
                part.iter_mut().for_each(|one| one.uncertain = true);
                kept.append(&mut part);
                kept.extend(parts.into_iter().flatten());
                return Some(error);
            }
        }
    }
    None
}

/// Tells one batch, and puts into `kept` what is locked. After an error the batch is as it was.
async fn tell<S>(
    shared: &Shared<S>,
    table: usize,
    verb: Verb,
    part: &mut Vec<Pending>,
    kept: &mut Vec<Pending>,
) -> Result<(), QueueError> {
    let (changed, locked) = shared
        .control
        .run(async |connection| {
            let table = &shared.tables[table];
            let changed = send(connection, table, verb, part).await?;
            let missing: Vec<LeasedJobId> =
                part.iter().map(|one| one.ack.id).filter(|id| !changed.contains(*id)).collect();
            let locked = if missing.is_empty() {
                Acknowledged::default()
            } else {
                jobs::held(&mut **connection, table, &missing).await?
            };
            Ok::<_, QueueError>((changed, locked))
        })
        .await?;
    for mut one in part.drain(..) {
        let id = one.ack.id;
        if !changed.contains(id) && locked.contains(id) {
            one.put_off(LOCKED);
            kept.push(one);
        } else {
            settled(shared, &one, changed.contains(id), changed.discarded(id));
        }
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
            let ids: Vec<LeasedJobId> = acks.map(|ack| ack.id).collect();
            jobs::complete(connection, table, &ids).await
        }
        Verb::Fail => {
            let attempts: Vec<FailedAttempt> = acks.filter_map(failed_attempt).collect();
            jobs::fail(connection, table, &attempts).await
        }
        Verb::Release => {
            let releases: Vec<Release> = acks
                .map(|ack| {
                    let delay = if let Verdict::Snooze(delay) = ack.verdict { Some(delay) } else { None };
                    Release { id: ack.id, delay, error: None }
                })
                .collect();
            jobs::release(connection, table, &releases).await
        }
    }
}

fn failed_attempt(ack: &Ack) -> Option<FailedAttempt> {
    let Verdict::Fail { error, delay, discard } = &ack.verdict else { return None };
    Some(FailedAttempt { id: ack.id, error: error.clone(), delay: *delay, discard: *discard })
}

/// The database has answered for good: counts it.
fn settled<S>(shared: &Shared<S>, one: &Pending, changed: bool, discarded: bool) {
    let Pending { ack, uncertain, .. } = one;
    shared.leases.acknowledged(ack.id);
    let counters = &shared.counters;
    let counter = match &ack.verdict {
        // Gone, as it should be.
        _ if ack.completed_in && !changed => &counters.completed,
        _ if !changed && !uncertain => {
            tracing::warn!(job = %ack.id, verdict = ?ack.verdict.verb(), "the lease was lost: somebody else has the job");
            &counters.lost_leases
        }
        Verdict::Complete => &counters.completed,
        Verdict::Fail { .. } if discarded => &counters.discarded,
        Verdict::Fail { .. } => &counters.retried,
        Verdict::Snooze(_) => &counters.snoozed,
        Verdict::Release => &counters.released,
    };
    counter.fetch_add(1, Relaxed);
    // What was put back may be due at once or soon, and nobody notifies this worker of its own doing.
    if ack.verdict.verb() != Verb::Complete {
        shared.look.notify_one();
    }
}
