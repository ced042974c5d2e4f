//! Where a typed job is enqueued: through the pool, or on the caller's connection.

use std::sync::Arc;

use pg_queue_core::{
    DatabaseError, EnqueueFuture, Enqueuer, QueueError, QueueName,
    jobs::{self, NewJob, PushError, PushOutcome},
    queues,
};
use sqlx::PgConnection;

use crate::{PgQueue, shared::Shared};

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
}

impl<'c> Enqueuer for On<'c> {
    type Future = EnqueueFuture<'c>;

    /// The error of a missing table would abort the caller's transaction, so the queue is looked for first, once per
    /// process and queue.
    fn push_job(self, queue: QueueName, job: NewJob) -> Self::Future {
        Box::pin(async move {
            let table = self.shared.table(&queue);
            if !self.shared.has_seen(&queue) {
                queues::exists(&mut *self.connection, &table).await?;
                self.shared.saw(&queue);
            }
            let pushed = jobs::push(self.connection, &table, &job).await;
            if let Err(PushError::Queue(QueueError::Missing(_))) = &pushed {
                self.shared.forget(&queue);
            }
            pushed
        })
    }

    fn refuse(error: PushError) -> Self::Future {
        Box::pin(async { Err(error) })
    }
}

impl<'a> Enqueuer for &'a PgQueue {
    type Future = EnqueueFuture<'a>;

    fn push_job(self, queue: QueueName, job: NewJob) -> Self::Future {
        Box::pin(async move { push(self.shared(), &queue, &job).await })
    }

    fn refuse(error: PushError) -> Self::Future {
        Box::pin(async { Err(error) })
    }
}

/// Enqueues through the pool.
pub(crate) async fn push(shared: &Shared, queue: &QueueName, job: &NewJob) -> Result<PushOutcome, PushError> {
    let mut connection = shared.acquire().await.map_err(QueueError::Database)?;
    let pushed = jobs::push(&mut connection, &shared.table(queue), job).await;
    match pushed {
        Err(PushError::Queue(QueueError::Missing(_))) => Err(PushError::Queue(missing(shared, queue).await)),
        pushed => pushed,
    }
}

/// The table of a queue was not there: because nobody made the queue, or because the migrations are missing too?
pub(crate) async fn missing(shared: &Shared, queue: &QueueName) -> QueueError {
    let look = async {
        let mut connection = shared.acquire().await?;
        queues::exists(&mut *connection, &shared.table(queue)).await
    };
    match look.await {
        Err(error @ QueueError::Database(DatabaseError::NotMigrated { .. })) => error,
        _ => QueueError::Missing(queue.clone()),
    }
}
