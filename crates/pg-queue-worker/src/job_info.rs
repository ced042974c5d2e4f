//! What is known about a job while an attempt at it is made.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use pg_queue_client::PgQueue;
use pg_queue_core::{
    JobId, LeasedJobId, Priority, QueueName, QueueTable, RequestId, TraceContext,
    jobs::{Kept, Progress},
    replies::{Reply, Status},
};
use serde_json::{Map, Value};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::run::{Membership, ProgressBoard};

/// What is known about a job while an attempt at it is made. Cheap to clone.
#[derive(Clone)]
pub struct JobInfo(pub(crate) Arc<Attempt>);

/// One attempt at a job.
pub(crate) struct Attempt {
    pub(crate) queue: PgQueue,
    pub(crate) table: QueueTable,
    /// Which of the worker's queues.
    pub(crate) lane: usize,
    pub(crate) id: LeasedJobId,
    pub(crate) kind: String,
    pub(crate) max_attempts: u16,
    pub(crate) priority: Priority,
    pub(crate) run_at: SystemTime,
    pub(crate) created_at: SystemTime,
    pub(crate) request_id: Option<RequestId>,
    /// Until when its caller waits, if it is a request for a responder.
    pub(crate) deadline: Option<Instant>,
    pub(crate) tags: Vec<String>,
    pub(crate) metadata: Map<String, Value>,
    pub(crate) membership: Membership,
    /// Set by `complete_in`: whether its transaction was committed is seen afterwards.
    pub(crate) completed_in: AtomicBool,
    /// For how long the job is kept when it is completed, unless its handler says otherwise.
    pub(crate) keep: Option<Duration>,
    pub(crate) left: Mutex<Left>,
    pub(crate) board: Arc<ProgressBoard>,
}

/// What a handler leaves for the time after its job.
#[derive(Debug, Default)]
pub(crate) struct Left {
    pub(crate) output: Option<String>,
    pub(crate) keep: Option<Duration>,
    /// What goes back to the caller of a request.
    pub(crate) answer: Option<(Status, String)>,
}

/// How long a job with an output is kept if nobody has said.
const KEEP_OUTPUT: Duration = Duration::from_secs(24 * 3600);

impl Attempt {
    /// What is to be kept of the job when it is completed.
    pub(crate) fn kept(&self) -> Option<Kept> {
        let left = self.left();
        let time = left.keep.or(self.keep).or_else(|| left.output.is_some().then_some(KEEP_OUTPUT))?;
        (!time.is_zero()).then(|| Kept { time, output: left.output.clone() })
    }

    pub(crate) fn left(&self) -> std::sync::MutexGuard<'_, Left> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A reply to its caller, if it is a request.
    pub(crate) fn reply(&self, status: Status, body: String) -> Option<Box<Reply>> {
        self.request_id.map(|request| Box::new(Reply { request, status, body }))
    }

    pub(crate) fn progress(&self, fraction: f32, note: String) {
        self.board.note(self.lane, self.id, Progress { fraction, note });
    }

    pub(crate) fn completed_in(&self) -> bool {
        self.completed_in.load(Ordering::Acquire)
    }
}

// Payloads and metadata stay out of logs.
impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, kind, .. } = self;
        f.debug_struct("Attempt").field("id", id).field("kind", kind).finish_non_exhaustive()
    }
}

impl fmt::Debug for JobInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Attempt { id, kind, .. } = &*self.0;
        f.debug_struct("JobInfo").field("id", id).field("kind", kind).finish_non_exhaustive()
    }
}

impl JobInfo {
    /// The job's id.
    #[must_use]
    pub fn id(&self) -> JobId {
        self.0.id.job_id()
    }

    /// The queue that it was claimed from.
    #[must_use]
    pub fn queue(&self) -> &QueueName {
        self.0.table.queue()
    }

    /// The kind under which it was stored: its type's own, or one of the aliases.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.0.kind
    }

    /// Which attempt this is; the first is 1.
    #[must_use]
    pub fn attempt(&self) -> u16 {
        self.0.id.attempt()
    }

    /// How many attempts the job has in all.
    #[must_use]
    pub fn max_attempts(&self) -> u16 {
        self.0.max_attempts
    }

    /// Which jobs it runs before.
    #[must_use]
    pub fn priority(&self) -> Priority {
        self.0.priority
    }

    /// Since when it has been due. For a job of a schedule: the time for which it was made.
    #[must_use]
    pub fn run_at(&self) -> SystemTime {
        self.0.run_at
    }

    /// When it was enqueued.
    #[must_use]
    pub fn created_at(&self) -> SystemTime {
        self.0.created_at
    }

    /// The request that it is, if a caller waits for a reply.
    #[must_use]
    pub fn request_id(&self) -> Option<RequestId> {
        self.0.request_id
    }

    /// The words to find it by.
    #[must_use]
    pub fn tags(&self) -> &[String] {
        &self.0.tags
    }

    /// What it carries beside its payload.
    #[must_use]
    pub fn metadata(&self) -> &Map<String, Value> {
        &self.0.metadata
    }

    /// Where its enqueuer was in a distributed trace, if that was told.
    #[must_use]
    pub fn trace_context(&self) -> Option<TraceContext> {
        TraceContext::from_metadata(&self.0.metadata)
    }

    /// Resolves when this attempt should end: somebody cancels the job, its time is up, the worker shuts down, or it has
    /// lost contact with the database for so long that its leases are in danger. Some seconds later the attempt is dropped
    /// where it awaits.
    pub async fn cancelled(&self) {
        self.0.membership.cancel().cancelled().await;
    }

    /// Whether [`cancelled`](Self::cancelled) has resolved.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.membership.is_cancelled()
    }

    /// What resolves with [`cancelled`](Self::cancelled), for code that wants a token. Cancelling it does not end the attempt.
    #[must_use]
    pub fn cancellation(&self) -> CancellationToken {
        self.0.membership.cancel().child_token()
    }
}
