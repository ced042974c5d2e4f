//! What a handler knows about its job.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::SystemTime,
};

use pg_queue_client::PgQueue;
use pg_queue_core::{
    JobId, LeasedJobId, QueueTable, RequestId,
    jobs::{self, LeaseError},
};
use sqlx::{PgConnection, PgPool};
use tokio_util::sync::CancellationToken;

use crate::Outcome;

/// What a handler knows about its job, and the worker's state. Cheap to clone.
pub struct Context<S> {
    state: Arc<S>,
    attempt: Arc<Attempt>,
}

// Not derived: that would ask for `S: Debug`, and show the application's state.
impl<S> fmt::Debug for Context<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Attempt { id, kind, .. } = &*self.attempt;
        f.debug_struct("Context").field("id", id).field("kind", kind).finish_non_exhaustive()
    }
}

// Not derived: that would ask for `S: Clone`.
impl<S> Clone for Context<S> {
    fn clone(&self) -> Self {
        Self { state: Arc::clone(&self.state), attempt: Arc::clone(&self.attempt) }
    }
}

/// One attempt at a job.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) queue: PgQueue,
    pub(crate) table: QueueTable,
    pub(crate) id: LeasedJobId,
    pub(crate) kind: String,
    pub(crate) max_attempts: u16,
    pub(crate) run_at: SystemTime,
    pub(crate) created_at: SystemTime,
    pub(crate) request_id: Option<RequestId>,
    pub(crate) cancelled: CancellationToken,
    /// Set by `complete_in`: whether its transaction was committed is seen afterwards.
    pub(crate) completed_in: AtomicBool,
}

impl<S> Context<S> {
    pub(crate) fn new(state: Arc<S>, attempt: Arc<Attempt>) -> Self {
        Self { state, attempt }
    }

    /// The state that was given to [`WorkerBuilder::build`](crate::WorkerBuilder::build).
    #[must_use]
    pub fn state(&self) -> &S {
        &self.state
    }

    /// The job's id.
    #[must_use]
    pub fn job_id(&self) -> JobId {
        self.attempt.id.job_id()
    }

    /// Which attempt this is; the first is 1.
    #[must_use]
    pub fn attempt(&self) -> u16 {
        self.attempt.id.attempt()
    }

    /// How many attempts the job has in all.
    #[must_use]
    pub fn max_attempts(&self) -> u16 {
        self.attempt.max_attempts
    }

    /// The kind under which the job was stored: the type's own, or one of its aliases.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.attempt.kind
    }

    /// Since when the job has been due.
    #[must_use]
    pub fn run_at(&self) -> SystemTime {
        self.attempt.run_at
    }

    /// When the job was enqueued.
    #[must_use]
    pub fn created_at(&self) -> SystemTime {
        self.attempt.created_at
    }

    /// The request that the job is, if a caller waits for a reply: `ctx.pg_queue().request_response.store_response(..)`.
    #[must_use]
    pub fn request_id(&self) -> Option<RequestId> {
        self.attempt.request_id
    }

    /// The handle that the worker was built with.
    #[must_use]
    pub fn pg_queue(&self) -> &PgQueue {
        &self.attempt.queue
    }

    /// The application's pool.
    #[must_use]
    pub fn pool(&self) -> &PgPool {
        self.attempt.queue.pool()
    }

    /// Resolves when this attempt should end: its time is up, the worker shuts down, or it has lost contact with the
    /// database for so long that its leases are in danger. Some seconds later the attempt is dropped where it awaits.
    pub async fn cancelled(&self) {
        self.attempt.cancelled.cancelled().await;
    }

    /// Whether [`cancelled`](Self::cancelled) has resolved.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.attempt.cancelled.is_cancelled()
    }

    /// Completes the job in a transaction of the handler's: its writes and the completion become visible together or
    /// not at all, which makes the job's effects happen exactly once.
    ///
    /// ```
    /// # use pg_queue_worker::{Context, Failure, Outcome};
    /// # async fn run(ctx: Context<()>) -> Result<Outcome, Failure> {
    /// let mut tx = ctx.pool().begin().await?;
    /// // .. the handler's own writes, on `&mut *tx` ..
    /// let done = ctx.complete_in(&mut tx).await?;
    /// tx.commit().await?;
    /// Ok(done)
    /// # }
    /// ```
    ///
    /// If the transaction is not committed, the attempt counts as failed, whatever the handler answers.
    ///
    /// # Errors
    /// The lease is lost: somebody else runs the job or has run it. The transaction must be rolled back, which dropping
    /// it does. Or the database failed.
    pub async fn complete_in(&self, connection: &mut PgConnection) -> Result<Outcome, LeaseError> {
        jobs::complete_one(connection, &self.attempt.table, self.attempt.id).await?;
        self.attempt.completed_in.store(true, Ordering::Release);
        Ok(Outcome::Complete)
    }
}
