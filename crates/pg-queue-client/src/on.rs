//! Where a typed job is enqueued: through the pool, or on the caller's connection.

use std::sync::Arc;

use pg_queue_core::{
    EnqueueFuture, EnqueueManyFuture, Enqueuer, QueueName,
    jobs::{self, Commit, NewJob, PushError, PushOutcome},
    push_checked, push_many_checked,
};
use sqlx::PgConnection;

use crate::{PgQueue, at_hand::Connection, batches, shared::Shared};

/// A connection of the caller's together with the schema of a [`PgQueue`]. Made by [`PgQueue::on`].
#[derive(Debug)]
pub struct On<'c> {
    shared: Arc<Shared>,
    connection: &'c mut PgConnection,
}

impl<'c> On<'c> {
    pub(crate) fn new(shared: Arc<Shared>, connection: &'c mut PgConnection) -> Self {
        Self { shared, connection }
    }

    /// The connection and the schema, for a look.
    #[cfg(feature = "testing")]
    pub(crate) fn into_parts(self) -> (&'c mut PgConnection, pg_queue_core::Schema) {
        (self.connection, self.shared.schema.clone())
    }
}

impl<'c> Enqueuer for On<'c> {
    type Future = EnqueueFuture<'c>;
    type ManyFuture = EnqueueManyFuture<'c>;

    /// The error of a missing table would abort the caller's transaction, so the queue is looked for first. Every time:
    /// what was there a moment ago may have been dropped by another process, or rolled back with its transaction.
    fn push_job(self, queue: QueueName, mut job: NewJob) -> Self::Future {
        self.shared.trace(std::slice::from_mut(&mut job));
        Box::pin(async move { push_checked(self.connection, &self.shared.table(&queue), &job).await })
    }

    fn push_jobs(self, queue: QueueName, mut jobs: Vec<NewJob>) -> Self::ManyFuture {
        self.shared.trace(&mut jobs);
        Box::pin(async move { push_many_checked(self.connection, &self.shared.table(&queue), &jobs).await })
    }

    fn refuse(error: PushError) -> Self::Future {
        Box::pin(async { Err(error) })
    }

    fn refuse_many(error: PushError) -> Self::ManyFuture {
        Box::pin(async { Err(error) })
    }
}

impl<'a> Enqueuer for &'a PgQueue {
    type Future = EnqueueFuture<'a>;
    type ManyFuture = EnqueueManyFuture<'a>;

    fn push_job(self, queue: QueueName, job: NewJob) -> Self::Future {
        Box::pin(async move { push(self.shared(), &queue, job).await })
    }

    fn push_jobs(self, queue: QueueName, jobs: Vec<NewJob>) -> Self::ManyFuture {
        Box::pin(async move { push_many(self.shared(), &queue, jobs).await })
    }

    fn refuse(error: PushError) -> Self::Future {
        Box::pin(async { Err(error) })
    }

    fn refuse_many(error: PushError) -> Self::ManyFuture {
        Box::pin(async { Err(error) })
    }
}

/// Enqueues through the pool, in one statement with what else is on its way there.
pub(crate) async fn push(shared: &Arc<Shared>, queue: &QueueName, mut job: NewJob) -> Result<PushOutcome, PushError> {
    shared.trace(std::slice::from_mut(&mut job));
    let pushed = if job.options.is_unique() {
        push_alone(shared, queue, &job).await
    } else {
        batches::push(shared, queue, job, shared.commit).await
    };
    pushed.inspect(|_| shared.bells.ring(queue.as_str()))
}

/// Enqueues a request in the same way, but not waiting for the disk: its caller does not survive a crash of the server either.
pub(crate) async fn push_request(
    shared: &Arc<Shared>,
    queue: &QueueName,
    mut job: NewJob,
) -> Result<PushOutcome, PushError> {
    shared.trace(std::slice::from_mut(&mut job));
    let pushed = batches::push(shared, queue, job, Commit::LoseOnCrash).await;
    pushed.inspect(|_| shared.bells.ring(queue.as_str()))
}

/// Enqueues a job that may have to wait for a transaction that holds its key: on a connection of its own.
async fn push_alone(shared: &Shared, queue: &QueueName, job: &NewJob) -> Result<PushOutcome, PushError> {
    let table = shared.table(queue);
    shared.run_about(&table, async |connection| jobs::push(connection, &table, job).await).await
}

/// Enqueues many through the pool: all or none.
pub(crate) async fn push_many(
    shared: &Arc<Shared>,
    queue: &QueueName,
    mut jobs: Vec<NewJob>,
) -> Result<Vec<PushOutcome>, PushError> {
    shared.trace(&mut jobs);
    let table = shared.table(queue);
    let mut connection = Connection::acquire(shared).await?;
    let push = async |connection: &mut PgConnection| {
        jobs::push_many_and_commit(connection, &table, &jobs, shared.commit).await
    };
    let pushed = connection.run_about(&table, push).await?;
    connection.put_back();
    shared.bells.ring(queue.as_str());
    Ok(pushed)
}
