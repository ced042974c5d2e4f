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
    time::{sleep, timeout},
};

use super::Shared;

/// How many acknowledgements one statement takes at most.
const BATCH: usize = 1000;

/// How long acknowledgements wait whose rows another transaction has locked.
const LOCKED_PAUSE: Duration = Duration::from_millis(50);

/// The pauses while the database does not take acknowledgements. They are kept until it does.
const RETRY: Backoff = Backoff::Exponential { base: Duration::from_millis(100), max: Duration::from_secs(5) };

/// How an attempt ended.
#[derive(Debug)]
pub(super) struct Ack {
    /// Which of the worker's queues.
    pub(super) table: usize,
    pub(super) id: LeasedJobId,
    pub(super) verdict: Verdict,
}

/// What becomes of a job.
#[derive(Debug, Clone)]
pub(super) enum Verdict {
    Complete,
    Fail {
        error: String,
        delay: Duration,
        discard: bool,
    },
    Snooze(Duration),
    /// Back as if it had not been claimed.
    Release,
    /// The handler completed it in a transaction of its own. If that was not committed, the attempt has failed.
    CompletedInTransaction,
}

/// The statements that acknowledgements need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Verb {
    Complete,
    Fail,
    Release,
}

impl Verdict {
    fn verb(&self) -> Verb {
        match self {
            Self::Complete => Verb::Complete,
            Self::Fail { .. } | Self::CompletedInTransaction => Verb::Fail,
            Self::Snooze(_) | Self::Release => Verb::Release,
        }
    }
}

/// An acknowledgement that is not settled.
#[derive(Debug)]
struct Pending {
    ack: Ack,
    /// A statement about it had no answer, and may have been done all the same.
    uncertain: bool,
}

/// Acknowledges until all senders are gone and everything is told.
pub(super) async fn run<S>(shared: Arc<Shared<S>>, mut acks: mpsc::UnboundedReceiver<Ack>) {
    let mut open = true;
    let mut arrived = Vec::with_capacity(BATCH);
    let mut pending: Vec<Pending> = Vec::new();
    let mut failures: u16 = 0;
    loop {
        if pending.is_empty() {
            open = acks.recv_many(&mut arrived, BATCH).await > 0;
            if !open {
                return;
            }
        } else if failures > 0 || !open {
            sleep(if failures > 0 { RETRY.jittered(failures) } else { LOCKED_PAUSE }).await;
        } else if let Ok(count) = timeout(LOCKED_PAUSE, acks.recv_many(&mut arrived, BATCH)).await {
            open = count > 0;
        }
        pending.extend(arrived.drain(..).map(|ack| Pending { ack, uncertain: false }));
        let mut failed = None;
        let mut kept = Vec::new();
        for (table, verb, group) in grouped(pending) {
            match tell(&shared, table, verb, group).await {
                (rest, None) => kept.extend(rest),
                (rest, Some(error)) => {
                    kept.extend(rest);
                    failed = Some(error);
                }
            }
        }
        pending = kept;
        match failed {
            None => failures = 0,
            Some(error) => {
                failures = failures.saturating_add(1);
                tracing::warn!(%error, waiting = pending.len(), "acknowledgements are kept: the database does not take them");
            }
        }
    }
}

/// By queue and statement, at most a batch each.
fn grouped(mut pending: Vec<Pending>) -> Vec<(usize, Verb, Vec<Pending>)> {
    pending.sort_by_key(|pending| (pending.ack.table, pending.ack.verdict.verb()));
    let mut groups: Vec<(usize, Verb, Vec<Pending>)> = Vec::new();
    for one in pending {
        let (table, verb) = (one.ack.table, one.ack.verdict.verb());
        match groups.last_mut() {
            Some(group) if (group.0, group.1) == (table, verb) && group.2.len() < BATCH => group.2.push(one),
            _ => groups.push((table, verb, vec![one])),
        }
    }
    groups
}

/// Tells one group. Answers what is not settled: rows that somebody has locked, or everything after an error.
async fn tell<S>(
    shared: &Shared<S>,
    table: usize,
    verb: Verb,
    mut group: Vec<Pending>,
) -> (Vec<Pending>, Option<QueueError>) {
    let told = shared
        .control
        .run(async |connection| {
            let table = &shared.tables[table];
            let changed = send(connection, table, verb, &group).await?;
            let missing: Vec<LeasedJobId> =
                group.iter().map(|one| one.ack.id).filter(|id| !changed.contains(*id)).collect();
            let locked = if missing.is_empty() {
                Acknowledged::default()
            } else {
                jobs::held(&mut **connection, table, &missing).await?
            };
            Ok::<_, QueueError>((changed, locked))
        })
        .await;
    match told {
        Ok((changed, locked)) => {
            group.retain(|one| {
                let id = one.ack.id;
                let locked = !changed.contains(id) && locked.contains(id);
                if !locked {
                    settled(shared, one, changed.contains(id), changed.discarded(id));
                }
                locked
            });
            (group, None)
        }
        Err(error) => {
            for one in &mut group {
                one.uncertain = true;
            }
            (group, Some(error))
        }
    }
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
            let attempts: Vec<FailedAttempt> = acks.map(failed_attempt).collect();
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

fn failed_attempt(ack: &Ack) -> FailedAttempt {
    match &ack.verdict {
        Verdict::Fail { error, delay, discard } => {
            FailedAttempt { id: ack.id, error: error.clone(), delay: *delay, discard: *discard }
        }
        _ => FailedAttempt {
            id: ack.id,
            error: "the transaction in which the handler completed the job was not committed".to_owned(),
            delay: Backoff::DEFAULT.jittered(ack.id.attempt()),
            discard: false,
        },
    }
}

/// The database has answered for good: counts it.
fn settled<S>(shared: &Shared<S>, one: &Pending, changed: bool, discarded: bool) {
    let Pending { ack, uncertain } = one;
    shared.leases.acknowledged(ack.id.token());
    let counters = &shared.counters;
    let counter = match &ack.verdict {
        // Gone, as it should be.
        Verdict::CompletedInTransaction if !changed => &counters.completed,
        _ if !changed && !uncertain => {
            tracing::warn!(job = %ack.id, verdict = ?ack.verdict.verb(), "the lease was lost: somebody else has the job");
            &counters.lost_leases
        }
        Verdict::Complete => &counters.completed,
        Verdict::Fail { .. } | Verdict::CompletedInTransaction if discarded => &counters.discarded,
        Verdict::Fail { .. } | Verdict::CompletedInTransaction => &counters.retried,
        Verdict::Snooze(_) => &counters.snoozed,
        Verdict::Release => &counters.released,
    };
    counter.fetch_add(1, Relaxed);
    // What was put back may be due at once or soon, and nobody notifies this worker of its own doing.
    if ack.verdict.verb() != Verb::Complete {
        shared.look.notify_one();
    }
}
