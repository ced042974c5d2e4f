//! Queues, and jobs driven by hand.

mod acknowledge;
mod operate;
mod pop;
mod settings;

use std::{sync::Arc, time::Duration};

use pg_queue_core::{
    JobId, PushOptions, PushOutcome, QueueError, QueueName,
    jobs::{self, NewJob, PushError, RAW_KIND},
    queues::{self, QueueDdlError},
};
use serde::Serialize;

pub(crate) use self::operate::retry_finished;
pub use self::{
    operate::{CancelOutcome, Cancelled, RetryOutcome},
    pop::{PopError, PoppedJob, UndecodableJob},
    settings::SettingError,
};
use crate::{on, shared::Shared};

/// How long a popped job belongs to its consumer, unless told otherwise: 5 minutes.
pub const DEFAULT_LEASE: Duration = Duration::from_secs(300);

/// Queues, and jobs that a consumer takes and ends by hand.
///
/// A popped job is leased, not gone: when its consumer crashes, the lease runs out and the next
/// [`pop`](Self::pop) has it. There is no heartbeat; work that takes longer than the lease calls
/// [`extend`](Self::extend). Handlers by type, retries by policy and heartbeats are the worker's.
#[derive(Debug, Clone)]
pub struct Queue {
    shared: Arc<Shared>,
}

impl Queue {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Makes the queue; does nothing when it exists. The same as `select pg_queue_create_queue('name')`.
    ///
    /// # Errors
    /// A table of that name exists and is not ours, the migrations are missing, or a lock was not free in time.
    pub async fn create(&self, queue: &QueueName) -> Result<(), QueueDdlError> {
        self.shared.run(async |connection| queues::create(connection, &self.shared.table(queue)).await).await
    }

    /// Makes the queue without a log, for requests and for jobs that may be lost: a crash of the server takes them all, and
    /// writing them waits for no disk. Does nothing when the queue exists, logged or not. The same as
    /// `select pg_queue_create_unlogged_queue('name')`.
    ///
    /// # Errors
    /// Those of [`create`](Self::create).
    pub async fn create_unlogged(&self, queue: &QueueName) -> Result<(), QueueDdlError> {
        let table = self.shared.table(queue);
        self.shared.run(async |connection| queues::create_unlogged(connection, &table).await).await
    }

    /// Drops the queue; with `force` even when it still has jobs, which are lost then. Answers whether there was one.
    ///
    /// # Errors
    /// It has unfinished jobs and `force` is not set, or a lock was not free in time.
    pub async fn drop(&self, queue: &QueueName, force: bool) -> Result<bool, QueueDdlError> {
        self.shared.run(async |connection| queues::drop(connection, &self.shared.table(queue), force).await).await
    }

    /// All queues, by name.
    ///
    /// # Errors
    /// The migrations are missing or the database failed.
    pub async fn list(&self) -> Result<Vec<QueueName>, QueueError> {
        let schema = &self.shared.schema;
        Ok(self.shared.run(async |connection| queues::list(connection, schema).await).await?)
    }

    /// Enqueues any payload that serializes, as a job of the kind `raw`.
    ///
    /// Calls at the same time share statements and commits, whichever clones of a handle they go through; each is answered
    /// after the commit. One that is dropped before its answer may or may not have enqueued its job.
    ///
    /// # Errors
    /// The payload does not serialize or is longer than 64 MiB, the queue is missing, or the database failed. After a lost
    /// connection nobody knows whether the job was enqueued.
    pub async fn push(&self, queue: &QueueName, payload: &impl Serialize) -> Result<JobId, PushError> {
        let outcome = self.push_with(queue, RAW_KIND, payload, PushOptions::default()).await?;
        Ok(outcome.id())
    }

    /// Enqueues a payload under a kind, with options.
    ///
    /// # Errors
    /// Those of [`push`](Self::push), and an option that is out of range.
    pub async fn push_with(
        &self,
        queue: &QueueName,
        kind: &str,
        payload: &impl Serialize,
        options: PushOptions,
    ) -> Result<PushOutcome, PushError> {
        let mut job = NewJob::new(kind, payload)?;
        job.options = options;
        on::push(&self.shared, queue, job).await
    }

    /// Enqueues a job of the kind `raw` for each payload: all or none, in one statement for every 10,000. Answers the ids
    /// in the order of the payloads.
    ///
    /// # Errors
    /// Those of [`push`](Self::push).
    pub async fn push_many<'p, P: Serialize + 'p>(
        &self,
        queue: &QueueName,
        payloads: impl IntoIterator<Item = &'p P>,
    ) -> Result<Vec<JobId>, PushError> {
        let jobs = payloads.into_iter().map(NewJob::raw).collect::<Result<Vec<_>, _>>()?;
        Ok(self.push_jobs(queue, jobs).await?.into_iter().map(PushOutcome::id).collect())
    }

    /// Enqueues jobs of any kinds: all or none, in one statement for every 10,000. Answers what became of each, in their
    /// order. Jobs of one type are enqueued by `SendEmail::enqueue_many(&emails, &mgr)`.
    ///
    /// # Errors
    /// Those of [`push`](Self::push), and an option that is out of range.
    pub async fn push_jobs(&self, queue: &QueueName, jobs: Vec<NewJob>) -> Result<Vec<PushOutcome>, PushError> {
        on::push_many(&self.shared, queue, jobs).await
    }

    /// How many jobs wait, due or not. Running ones are not counted.
    ///
    /// # Errors
    /// The queue is missing or the database failed.
    pub async fn pending_count(&self, queue: &QueueName) -> Result<u64, QueueError> {
        let table = self.shared.table(queue);
        self.shared.run_about(&table, async |connection| jobs::pending_count(connection, &table).await).await
    }
}
