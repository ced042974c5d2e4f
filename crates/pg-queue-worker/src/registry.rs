//! Which handler runs which kind: the only place where types are erased.

use std::{collections::HashMap, fmt, pin::Pin, time::Duration};

use pg_queue_client::{PreparedSchedule, PutScheduleError, Schedule};
use pg_queue_core::{Backoff, DecodeError, InvalidQueueName, Job, QueueName, Request, from_json, replies::Status};

use crate::{BuildError, Context, Failure, Handler, Outcome, Responder, TransactionHandler};

/// A running handler.
pub(crate) type Running = Pin<Box<dyn Future<Output = Result<Outcome, Failure>> + Send>>;

/// Decodes a payload and starts its handler.
type Start<S> = fn(&str, Context<S>) -> Result<Running, DecodeError>;

/// What a worker needs to know of a type of job.
pub(crate) struct Entry<S> {
    pub(crate) start: Start<S>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) backoff: Backoff,
    pub(crate) keep: Option<Duration>,
    /// Whether it answers requests, and runs no jobs.
    pub(crate) responds: bool,
    schedule: fn() -> Option<Schedule>,
    kinds: Vec<&'static str>,
    queue: Result<QueueName, InvalidQueueName>,
}

impl<S> fmt::Debug for Entry<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("kinds", &self.kinds).field("queue", &self.queue).finish_non_exhaustive()
    }
}

// Not derived: that would ask for `S: Clone`.
impl<S> Clone for Entry<S> {
    fn clone(&self) -> Self {
        Self {
            start: self.start,
            timeout: self.timeout,
            backoff: self.backoff,
            keep: self.keep,
            responds: self.responds,
            schedule: self.schedule,
            kinds: self.kinds.clone(),
            queue: self.queue.clone(),
        }
    }
}

impl<S: Send + Sync + 'static> Entry<S> {
    pub(crate) fn of<J: Handler<S>>() -> Self {
        Self::started_by::<J>(start::<J, S>)
    }

    pub(crate) fn transactional<J: TransactionHandler<S>>() -> Self {
        Self::started_by::<J>(start_in_transaction::<J, S>)
    }

    pub(crate) fn responder<R: Responder<S>>() -> Self {
        Self {
            start: respond::<R, S>,
            // A request has a time of its own.
            timeout: None,
            // A responder that dies is followed by another one at once, if at all.
            backoff: Backoff::Constant(Duration::ZERO),
            keep: None,
            responds: true,
            schedule: || None,
            kinds: kinds(R::KIND, R::ALIASES),
            queue: QueueName::new(<R as Request>::QUEUE),
        }
    }

    fn started_by<J: Job>(start: Start<S>) -> Self {
        Self {
            start,
            timeout: J::TIMEOUT,
            backoff: J::BACKOFF,
            keep: J::KEEP,
            responds: false,
            schedule: Schedule::declared::<J>,
            kinds: kinds(J::KIND, J::ALIASES),
            queue: QueueName::new(J::QUEUE),
        }
    }
}

fn kinds(kind: &'static str, aliases: &[&'static str]) -> Vec<&'static str> {
    [kind].into_iter().chain(aliases.iter().copied()).collect()
}

fn start<J: Handler<S>, S: Send + Sync + 'static>(payload: &str, ctx: Context<S>) -> Result<Running, DecodeError> {
    let job: J = from_json(payload.as_bytes())?;
    Ok(Box::pin(<J as Handler<S>>::run(job, ctx)))
}

fn start_in_transaction<J: TransactionHandler<S>, S: Send + Sync + 'static>(
    payload: &str,
    ctx: Context<S>,
) -> Result<Running, DecodeError> {
    let job: J = from_json(payload.as_bytes())?;
    Ok(Box::pin(async move {
        // In a task of its own, which goes on when this handler is dropped: a connection on which BEGIN was sent and not
        // answered must not go back into the pool.
        let pool = ctx.pool().clone();
        let mut transaction = tokio::spawn(async move { pool.begin().await }).await??;
        let outcome = <J as TransactionHandler<S>>::run(job, ctx.clone(), &mut transaction).await?;
        if outcome != Outcome::Complete {
            transaction.rollback().await?;
            return Ok(outcome);
        }
        ctx.complete_in(&mut transaction).await?;
        transaction.commit().await?;
        Ok(outcome)
    }))
}

fn respond<R: Responder<S>, S: Send + Sync + 'static>(payload: &str, ctx: Context<S>) -> Result<Running, DecodeError> {
    let request: R = from_json(payload.as_bytes())?;
    Ok(Box::pin(async move {
        match <R as Responder<S>>::respond(request, ctx.clone()).await {
            Ok(response) => ctx.answer(Status::Ok, &response),
            Err(error) => ctx.answer(Status::Error, &error),
        }
    }))
}

/// The handlers of a worker.
pub(crate) struct Registry<S> {
    by_kind: HashMap<&'static str, Entry<S>>,
    /// The queues of all types, each once, in the order of registration.
    pub(crate) queues: Vec<QueueName>,
    /// Those of them that only requests go through.
    requests: Vec<QueueName>,
    /// The schedules that the types have, under their kinds.
    pub(crate) schedules: Vec<PreparedSchedule>,
}

impl<S> fmt::Debug for Registry<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("kinds", &self.kinds()).field("queues", &self.queues).finish()
    }
}

impl<S> Registry<S> {
    /// Refuses two types with one kind: which of them would run a job? And a type whose schedule has no times.
    pub(crate) fn new(entries: Vec<Entry<S>>) -> Result<Self, BuildError> {
        let mut registry =
            Self { by_kind: HashMap::new(), queues: Vec::new(), requests: Vec::new(), schedules: Vec::new() };
        let jobs: Vec<_> = entries.iter().filter(|entry| !entry.responds).map(|entry| entry.queue.clone()).collect();
        for entry in entries {
            let queue = entry.queue.clone()?;
            if entry.responds && !jobs.contains(&entry.queue) {
                registry.requests.push(queue.clone());
            }
            if !registry.queues.contains(&queue) {
                registry.queues.push(queue);
            }
            if let Some(schedule) = (entry.schedule)() {
                registry.schedules.push(schedule.prepare().map_err(|error| unscheduled(entry.kinds[0], error))?);
            }
            for kind in entry.kinds.clone() {
                if registry.by_kind.insert(kind, entry.clone()).is_some() {
                    return Err(BuildError::DuplicateKind(kind));
                }
            }
        }
        if registry.by_kind.is_empty() { Err(BuildError::NoHandler) } else { Ok(registry) }
    }

    pub(crate) fn get(&self, kind: &str) -> Option<&Entry<S>> {
        self.by_kind.get(kind)
    }

    /// Whether the worker makes this queue when it is missing: one that only requests go through.
    pub(crate) fn makes(&self, queue: &QueueName) -> bool {
        self.requests.contains(queue)
    }

    /// Whether requests go through this queue.
    pub(crate) fn responds_to(&self, queue: &QueueName) -> bool {
        self.by_kind.values().any(|entry| entry.responds && entry.queue.as_ref() == Ok(queue))
    }

    pub(crate) fn kinds(&self) -> Vec<String> {
        let mut kinds: Vec<String> = self.by_kind.keys().map(ToString::to_string).collect();
        kinds.sort_unstable();
        kinds
    }

    /// The kinds whose types have no schedule; one that they had is under its kind.
    pub(crate) fn without_schedule(&self) -> Vec<String> {
        let scheduled = |kind: &String| self.schedules.iter().any(|schedule| schedule.name() == kind);
        self.kinds().into_iter().filter(|kind| !scheduled(kind)).collect()
    }

    /// The longest time for which a type wants its completed jobs kept.
    pub(crate) fn longest_keep(&self) -> Duration {
        self.by_kind.values().filter_map(|entry| entry.keep).max().unwrap_or_default()
    }
}

fn unscheduled(kind: &'static str, error: PutScheduleError) -> BuildError {
    match error {
        PutScheduleError::Cron(source) => BuildError::Cron { kind, source },
        other => BuildError::Schedule { kind, reason: other.to_string() },
    }
}
