//! What a handler knows about its job.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant, SystemTime},
};

use pg_queue_client::PgQueue;
use pg_queue_core::{
    JobId, RequestId, TraceContext,
    jobs::{self, LeaseError, MAX_OUTPUT_BYTES},
    replies::{self, Status},
};
use serde::Serialize;
use serde_json::{Map, Value};
use sqlx::{PgConnection, PgPool};

use crate::{Failure, JobInfo, Outcome, job_info::Attempt};

/// What a handler knows about its job, and the worker's state. Cheap to clone.
pub struct Context<S> {
    state: Arc<S>,
    job: JobInfo,
}

// Not derived: that would ask for `S: Debug`, and show the application's state.
impl<S> fmt::Debug for Context<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("job", &self.job).finish_non_exhaustive()
    }
}

// Not derived: that would ask for `S: Clone`.
impl<S> Clone for Context<S> {
    fn clone(&self) -> Self {
        Self { state: Arc::clone(&self.state), job: self.job.clone() }
    }
}

impl<S> Context<S> {
    pub(crate) fn new(state: Arc<S>, job: JobInfo) -> Self {
        Self { state, job }
    }

    /// The state that was given to [`WorkerBuilder::build`](crate::WorkerBuilder::build).
    #[must_use]
    pub fn state(&self) -> &S {
        &self.state
    }

    /// All that is known about the job, without the state.
    #[must_use]
    pub fn job(&self) -> &JobInfo {
        &self.job
    }

    /// The job's id.
    #[must_use]
    pub fn job_id(&self) -> JobId {
        self.job.id()
    }

    /// Which attempt this is; the first is 1.
    #[must_use]
    pub fn attempt(&self) -> u16 {
        self.job.attempt()
    }

    /// How many attempts the job has in all.
    #[must_use]
    pub fn max_attempts(&self) -> u16 {
        self.job.max_attempts()
    }

    /// The kind under which the job was stored: the type's own, or one of its aliases.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.job.kind()
    }

    /// Since when the job has been due. For a job of a schedule: the time for which it was made.
    #[must_use]
    pub fn run_at(&self) -> SystemTime {
        self.job.run_at()
    }

    /// When the job was enqueued.
    #[must_use]
    pub fn created_at(&self) -> SystemTime {
        self.job.created_at()
    }

    /// The words to find the job by.
    #[must_use]
    pub fn tags(&self) -> &[String] {
        self.job.tags()
    }

    /// What the job carries beside its payload.
    #[must_use]
    pub fn metadata(&self) -> &Map<String, Value> {
        self.job.metadata()
    }

    /// Where the job's enqueuer was in a distributed trace, if that was told.
    #[must_use]
    pub fn trace_context(&self) -> Option<TraceContext> {
        self.job.trace_context()
    }

    /// The request that the job is, if a caller waits for a reply: `ctx.pg_queue().request_response.store_response(..)`.
    #[must_use]
    pub fn request_id(&self) -> Option<RequestId> {
        self.job.request_id()
    }

    /// Until when the caller of the request waits; `None` for a job that is no request. At that moment
    /// [`cancelled`](Self::cancelled) resolves.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.inner().deadline.map(tokio::time::Instant::into_std)
    }

    /// The handle that the worker was built with.
    #[must_use]
    pub fn pg_queue(&self) -> &PgQueue {
        &self.inner().queue
    }

    /// The application's pool.
    #[must_use]
    pub fn pool(&self) -> &PgPool {
        self.inner().queue.pool()
    }

    /// Resolves when this attempt should end: somebody cancels the job, its time is up, the worker shuts down, or it has
    /// lost contact with the database for so long that its leases are in danger. Some seconds later (the worker's
    /// [`cancel_grace`](crate::WorkerBuilder::cancel_grace)) the attempt is dropped where it awaits.
    pub async fn cancelled(&self) {
        self.job.cancelled().await;
    }

    /// Whether [`cancelled`](Self::cancelled) has resolved.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.job.is_cancelled()
    }

    /// Says how far the job has come, from 0 to 1, and what it is at. Kept with the job for everybody to see, at most once a
    /// second; a job that ends sooner may not show its last words. Sends nothing itself, and cannot fail.
    pub fn progress(&self, fraction: f32, note: impl Into<String>) {
        self.inner().progress(fraction, note.into());
    }

    /// Leaves a result: when the job is completed it is kept in the history together with this, for as long as the job's
    /// type, its queue or [`keep_for`](Self::keep_for) says, or for a day. The last one counts.
    ///
    /// # Errors
    /// It does not serialize, or is longer than 1 MiB of JSON: then what was left before stays.
    pub fn output(&self, value: &impl Serialize) -> Result<(), OutputError> {
        let json = serde_json::to_string(value).map_err(OutputError::Serialize)?;
        if json.len() > MAX_OUTPUT_BYTES {
            return Err(OutputError::TooLarge { bytes: json.len() });
        }
        self.inner().left().output = Some(json);
        Ok(())
    }

    /// Keeps the job in the history for this long when it is completed, whatever its type or queue says; not at all if that
    /// is no time.
    pub fn keep_for(&self, time: Duration) {
        self.inner().left().keep = Some(time);
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
    /// If the transaction is not committed, the attempt counts as failed, whatever the handler answers. A job that somebody
    /// cancels while this is on its way is completed.
    ///
    /// # Errors
    /// The lease is lost: somebody else runs the job or has run it. The transaction must be rolled back, which dropping
    /// it does. Or the database failed.
    pub async fn complete_in(&self, connection: &mut PgConnection) -> Result<Outcome, LeaseError> {
        let attempt = self.inner();
        jobs::complete_one(connection, &attempt.table, attempt.id, attempt.kept().as_ref()).await?;
        attempt.completed_in.store(true, Ordering::Release);
        Ok(Outcome::Complete)
    }

    /// What goes back to the caller.
    pub(crate) fn answer(&self, status: Status, value: &impl Serialize) -> Result<Outcome, Failure> {
        self.inner().left().answer = Some((status, replies::body(value)?));
        Ok(Outcome::Complete)
    }

    fn inner(&self) -> &Attempt {
        &self.job.0
    }
}

/// Why an output was not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutputError {
    /// It cannot be written as JSON.
    #[error("the output does not serialize: {0}")]
    Serialize(#[source] serde_json::Error),
    /// It is too long.
    #[error("the output has {bytes} bytes of JSON: at most 1 MiB is allowed; keep what is larger in a table of yours")]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
}
