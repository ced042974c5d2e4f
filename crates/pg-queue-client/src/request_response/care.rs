//! What is done about calls beside waiting: for all of a process together, in few statements.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use pg_queue_core::{DatabaseError, Inbox, JobId, QueueError, QueueName, RequestId, replies, requests};
use sqlx::PgConnection;
use tokio::time::{Instant, sleep};

use super::{
    pending::{Answer, Pending, Place, Wanted},
    silence::Silence,
};
use crate::shared::Shared;

/// The pace while calls wait or something is to be done.
const TICK: Duration = Duration::from_millis(100);

/// How often the table is looked at for those that wait, in case a notification was lost; and who is younger than half of it is
/// not looked for.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// So many replies are removed at once, or after a tick.
const FORGET_AT: usize = 500;

/// How many requests one statement takes.
const BATCH: usize = 1000;

/// How often requests of processes that are gone are looked for in a queue that calls go through.
const PRUNE_EVERY: Duration = Duration::from_secs(60);

/// Works until it is aborted.
pub(super) async fn run(shared: Arc<Shared>, inbox: Inbox, pending: Arc<Pending>) {
    let silence = Silence::default();
    let mut care = Care { shared, inbox, pending, looked: Instant::now(), silence, pruned: HashMap::new() };
    loop {
        if care.pending.is_idle() {
            care.pending.bell.notified().await;
        } else {
            tokio::select! {
                () = care.pending.bell.notified() => {}
                () = sleep(TICK) => {}
            }
        }
        if let Err(error) = care.round().await {
            tracing::warn!(%error, "calls could not be looked after: trying again");
            care.silence.begin_anew();
            sleep(LOOK_EVERY).await;
        }
    }
}

struct Care {
    shared: Arc<Shared>,
    inbox: Inbox,
    pending: Arc<Pending>,
    looked: Instant,
    silence: Silence,
    /// When each queue was last looked through.
    pruned: HashMap<QueueName, Instant>,
}

impl Care {
    async fn round(&mut self) -> Result<(), QueueError> {
        self.abandon().await;
        self.forget().await?;
        let missed = self.pending.chores(|chores| std::mem::take(&mut chores.missed));
        if missed {
            self.silence.begin_anew();
        }
        if missed || self.looked.elapsed() >= LOOK_EVERY {
            self.looked = Instant::now();
            if let Err(error) = self.look(missed).await {
                self.pending.chores(|chores| chores.missed |= missed);
                return Err(error.into());
            }
            self.tell_unserved().await?;
            self.prune().await;
        }
        Ok(())
    }

    /// Takes requests back whose callers have gone away.
    async fn abandon(&self) {
        let abandoned = self.pending.chores(|chores| std::mem::take(&mut chores.abandoned));
        for (queue, jobs) in by_queue(abandoned) {
            let table = self.shared.table(&queue);
            for jobs in jobs.chunks(BATCH) {
                match self.shared.run(async |connection| requests::abandon(connection, &table, jobs).await).await {
                    // A queue that is gone has no requests.
                    Ok(_) | Err(QueueError::Missing(_)) => {}
                    Err(error) => {
                        let again = jobs.iter().map(|job| (queue.clone(), *job));
                        self.pending.chores(|chores| chores.abandoned.extend(again));
                        tracing::warn!(%error, %queue, "requests could not be taken back: trying again");
                        sleep(TICK).await;
                    }
                }
            }
        }
    }

    /// Removes replies that came with their notifications. Those that are not removed run out by themselves.
    async fn forget(&self) -> Result<(), QueueError> {
        let received = self.pending.chores(|chores| {
            let due = chores.received.len() >= FORGET_AT
                || chores.received_since.is_some_and(|since| since.elapsed() >= TICK);
            if due { std::mem::take(&mut chores.received) } else { Vec::new() }
        });
        for received in received.chunks(BATCH) {
            self.shared
                .run(async |connection| replies::forget(connection, &self.shared.schema, received).await)
                .await?;
        }
        Ok(())
    }

    /// Looks for the replies to all that have waited for a moment. Where notifications may have been lost, also for those that
    /// nobody waits for any more: it would be them that told of those.
    async fn look(&self, missed: bool) -> Result<(), DatabaseError> {
        let schema = &self.shared.schema;
        if missed {
            loop {
                let take =
                    async |connection: &mut PgConnection| replies::take_all(connection, schema, self.inbox).await;
                let taken = self.shared.run(take).await?;
                let all = taken.len() < BATCH;
                self.pending.taken(taken);
                if all {
                    return Ok(());
                }
            }
        }
        let old = |id, since: Instant| (since.elapsed() >= LOOK_EVERY / 2).then_some(id);
        let waiting: Vec<RequestId> = self.pending.collect(|id, open| old(id, open.since));
        for waiting in waiting.chunks(BATCH) {
            let take = async |connection: &mut PgConnection| replies::take(connection, schema, waiting).await;
            self.pending.taken(self.shared.run(take).await?);
        }
        Ok(())
    }

    /// Ends the calls that nobody is going to answer.
    async fn tell_unserved(&mut self) -> Result<(), QueueError> {
        let now = Instant::now();
        self.silence.forget_old(now);
        let impatient: Vec<(RequestId, Wanted, JobId)> = self.pending.collect(|id, open| {
            let wanted = open.wanted.as_ref().filter(|wanted| wanted.patient_until <= now)?;
            open.pushed.as_ref().map(|(_, job)| (id, wanted.clone(), *job))
        });
        let wanted: HashSet<_> = impatient.iter().map(|(_, wanted, _)| (wanted.queue.clone(), wanted.kind)).collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let wanted: Vec<_> = wanted.into_iter().collect();
        let unserved = self.unserved(&wanted).await?;
        let alone = impatient.iter().filter(|(_, wanted, _)| unserved.contains(&(&wanted.queue, wanted.kind)));
        let alone: HashMap<JobId, (RequestId, &QueueName)> =
            alone.map(|(id, wanted, job)| (*job, (*id, &wanted.queue))).collect();
        for (queue, jobs) in by_queue(alone.iter().map(|(job, (_, queue))| ((*queue).clone(), *job))) {
            let table = self.shared.table(&queue);
            for jobs in jobs.chunks(BATCH) {
                let withdraw = async |connection: &mut PgConnection| requests::withdraw(connection, &table, jobs).await;
                let withdrawn = self.shared.run(withdraw).await?;
                let withdrawn: HashSet<JobId> = withdrawn.into_iter().collect();
                for job in jobs {
                    let (id, _) = alone[job];
                    if withdrawn.contains(job) {
                        self.pending.answer(id, Answer::NoResponder);
                    } else {
                        // Somebody has taken it whom the database does not know, or who has just gone.
                        self.pending.is_served(id);
                    }
                }
            }
        }
        Ok(())
    }

    /// Which of these kinds no worker answers that is alive, as far as this process can see.
    async fn unserved<'w>(
        &mut self,
        wanted: &'w [(QueueName, &'static str)],
    ) -> Result<HashSet<(&'w QueueName, &'static str)>, DatabaseError> {
        let asked = Instant::now();
        let look =
            async |connection: &mut PgConnection| requests::servers(connection, &self.shared.schema, wanted).await;
        let servers = self.shared.run(look).await?;
        let came = Instant::now();
        let mut unserved = HashSet::new();
        for ((queue, kind), servers) in wanted.iter().zip(servers) {
            // Each is looked at, so that all are known when one falls silent.
            let silent = servers.iter().filter(|server| self.silence.is_silent(server, asked, came)).count();
            if silent == servers.len() {
                unserved.insert((queue, *kind));
            }
        }
        Ok(unserved)
    }

    /// Removes what processes that are gone have left in the queues through which calls go.
    async fn prune(&mut self) {
        let queues = self.pending.collect(|_, open| open.pushed.as_ref().map(|(queue, _)| queue.clone()));
        for queue in queues.into_iter().collect::<HashSet<_>>() {
            if self.pruned.get(&queue).is_some_and(|pruned| pruned.elapsed() < PRUNE_EVERY) {
                continue;
            }
            self.pruned.insert(queue.clone(), Instant::now());
            let table = self.shared.table(&queue);
            let prune = async |connection: &mut PgConnection| {
                requests::prune(&mut *connection, &table).await?;
                Ok::<_, QueueError>(replies::prune(connection, &self.shared.schema).await?)
            };
            if let Err(error) = self.shared.run(prune).await {
                tracing::debug!(%error, %queue, "requests that are too late were not removed");
            }
        }
    }
}

fn by_queue(places: impl IntoIterator<Item = Place>) -> HashMap<QueueName, Vec<JobId>> {
    let mut sorted: HashMap<QueueName, Vec<JobId>> = HashMap::new();
    for (queue, job) in places {
        sorted.entry(queue).or_default().push(job);
    }
    sorted
}
