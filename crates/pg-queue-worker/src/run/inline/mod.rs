//! Running jobs in the calling task, one after the other, for tests: a worker's claims, pipeline and acknowledgements without
//! its tasks, its thread and its waiting.
//!
//! What it makes of a worker beside it, and that of it:
//!
//! - It is in the table of workers before its first claim, so that its leases are a worker's. Others take jobs only from
//!   those that they have seen silent for three beats; a beat of this one is five minutes, and one is sent once a minute,
//!   before a claim or while a handler runs. Silent for a quarter of an hour is only a handler that blocks its thread, or a
//!   test that stands at a breakpoint. Then the job may run elsewhere, and what is told about it here changes nothing: the
//!   token is another one.
//! - Others park jobs of kinds that nobody runs who is in the table: those that this one came to run, as long as it was not
//!   there. It puts them back at its start, and when it finds nothing; only what a statement parks that looked before this
//!   one came, and commits after its last look, stays parked for the next one.
//! - Others verify their own leases only, and claim what nobody has: each job runs here or there.
//! - When it is dropped half-way, the handler goes first, and then its job back: see [`give_back`]. Of a process that was
//!   killed, a worker beside takes the job when it has been silent for a quarter of an hour.

mod beside;
mod claim;
mod give_back;

use std::{sync::Arc, time::Duration};

use pg_queue_core::{
    JobId, QueueError, WorkerId,
    workers::{self, Observed, Registration},
};
use sqlx::PgConnection;
use tokio::{
    sync::{
        broadcast::{self, error::TryRecvError},
        mpsc,
    },
    time::{Instant, timeout},
};

pub(crate) use self::claim::Begun;
use self::{beside::beside, give_back::GiveBack};
use super::{
    Shared,
    ack::{Ack, Acks, Verdict},
    acknowledger, execute, maintain,
    parts::CLOSE_TIMEOUT,
    progress::ProgressBoard,
    replier,
    shares::Shares,
    signals,
};
use crate::{
    Event, Worker,
    builder::Settings,
    testing::{Ended, InlineError, Ran},
};

/// The longest that a worker may have, so that nobody declares a test dead that stands at a breakpoint.
const BEAT_INTERVAL: Duration = Duration::from_secs(300);

/// How long the end of an attempt may wait for whoever has locked the job's row.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(15);

/// A worker that runs in the calling task.
pub(crate) struct Inline<S> {
    shared: Arc<Shared<S>>,
    registration: Registration,
    shares: Shares,
    events: broadcast::Receiver<Event>,
    /// When the last beat was sent; `None` when it is to be looked whether it lives.
    beaten: Option<Instant>,
    /// A statement that enters the worker or takes a job is on its way, or had no answer.
    uncertain: bool,
    signed_off: bool,
}

impl<S: Send + Sync + 'static> Inline<S> {
    /// Enters a worker into the table of workers, and takes what the dead have left.
    pub(crate) async fn begin(worker: &Worker<S>) -> Result<Self, InlineError> {
        let settings = Settings { concurrency: 1, beat_interval: BEAT_INTERVAL, ..worker.settings.clone() };
        let (mut shared, registration) = Shared::of(Worker { settings, ..worker.again() }).await?;
        shared.board = Arc::new(ProgressBoard::remembering());
        let mut inline = Self {
            shares: Shares::new(shared.lanes.iter().map(|lane| lane.weight).collect()),
            events: shared.teller.subscribe(),
            registration,
            beaten: Some(Instant::now()),
            uncertain: true,
            signed_off: false,
            shared: Arc::new(shared),
        };
        inline.shared.register(&inline.registration).await.map_err(QueueError::Database)?;
        inline.uncertain = false;
        signals::refresh(&inline.shared).await;
        inline.look_after().await?;
        Ok(inline)
    }

    /// What a worker does for its queues now and then, and before its first claim.
    async fn look_after(&mut self) -> Result<(), QueueError> {
        let shared = &self.shared;
        let observe = async |connection: &mut PgConnection| workers::observe(connection, shared.queue.schema()).await;
        let seen: Vec<Observed> = shared.control.run(observe).await?;
        let dead: Vec<WorkerId> =
            seen.iter().filter(|worker| worker.dead_for.is_some()).map(|worker| worker.id).collect();
        for lane in &shared.lanes {
            if !dead.is_empty() {
                maintain::rescue(shared, &lane.table, &dead).await?;
            }
            maintain::expired(shared, &lane.table).await?;
            maintain::unpark(shared, &lane.table).await?;
        }
        Ok(())
    }

    fn id(&self) -> WorkerId {
        self.registration.id
    }

    /// Whether somebody wants it to end.
    pub(crate) fn is_closing(&self) -> bool {
        self.shared.closing.is_cancelled()
    }

    /// Runs a claimed job and tells the database how it ended.
    pub(crate) async fn run(&mut self, begun: Begun) -> Result<Ran, InlineError> {
        let Self { shared, registration, beaten, .. } = self;
        let Begun(start) = begun;
        let attempt = Arc::clone(&start.attempt);
        // Outlives the attempt, which tells how it ends even when it is dropped.
        let (sender, mut received) = mpsc::unbounded_channel();
        let acks = Acks::new(sender.clone(), sender);
        tokio::select! {
            biased;
            () = execute::run(shared, start, &acks) => {}
            never = beside(shared, registration.id, beaten) => match never {},
        }
        let mut ack: Ack = received.try_recv().expect("an attempt ends in one acknowledgement");
        if let Some(reply) = ack.reply.take() {
            replier::send_once(shared, &[*reply]).await.map_err(QueueError::Database)?;
        }
        let reason = ack.verdict.error().map(str::to_owned);
        self.settle(ack).await?;
        let event = self.told_of(attempt.id.job_id());
        let ended = Ended::of(event, reason, attempt.left().output.take());
        if ended == Ended::LeaseLost {
            // It may have been declared dead. What it claims then would be taken from it at once.
            self.beaten = None;
        }
        Ok(Ran {
            job: attempt.id.job_id(),
            queue: attempt.table.queue().clone(),
            kind: attempt.kind.clone(),
            attempt: attempt.id.attempt(),
            ended,
            progress: self.shared.board.heard(),
        })
    }

    /// Gives a job back that was claimed and shall not run.
    pub(crate) async fn put_back(&mut self, begun: Begun) -> Result<(), InlineError> {
        self.settle(Ack { attempt: begun.0.attempt, verdict: Verdict::RELEASE, took: None, reply: None }).await
    }

    async fn settle(&mut self, ack: Ack) -> Result<(), InlineError> {
        let job = ack.attempt.id.job_id();
        match timeout(SETTLE_TIMEOUT, acknowledger::settle(&self.shared, ack)).await {
            Ok(settled) => Ok(settled?),
            Err(_) => Err(InlineError::Unsettled { job }),
        }
    }

    /// What was last told of this job; nothing more, if its end was not told.
    fn told_of(&mut self, wanted: JobId) -> Option<Event> {
        let mut last = None;
        loop {
            match self.events.try_recv() {
                Ok(event) if event.job().is_some_and(|job| job.id == wanted) => last = Some(event),
                Ok(_) | Err(TryRecvError::Lagged(_)) => {}
                Err(TryRecvError::Empty | TryRecvError::Closed) => return last,
            }
        }
    }

    /// Signs off.
    pub(crate) async fn end(mut self) {
        let clean = !self.uncertain && self.shared.leases.len() == 0;
        self.shared.sign_off(self.id(), clean).await;
        self.signed_off = true;
        drop(timeout(CLOSE_TIMEOUT, self.shared.control.close()).await);
    }
}

impl<S> Drop for Inline<S> {
    fn drop(&mut self) {
        if !self.signed_off {
            let tables = self.shared.leases.all().into_iter();
            let held = tables.map(|(lane, id)| (self.shared.lanes[lane].table.clone(), id)).collect();
            let worker = self.registration.clone();
            GiveBack { queue: &self.shared.queue, worker, held, uncertain: self.uncertain }.at_once();
        }
    }
}
