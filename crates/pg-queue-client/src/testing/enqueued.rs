//! What is enqueued of a type.

use std::time::SystemTime;

use pg_queue_core::{
    DatabaseError, DecodeError, Job, JobId, JobState, Priority, QueueName, from_json, testing::QueuedJob,
};
use serde_json::{Map, Value};

use super::Look;

/// An unfinished job of a type.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Enqueued<J> {
    /// Its payload.
    pub payload: J,
    /// Which job.
    pub id: JobId,
    /// The queue that it is in: its type's, or the one that it was enqueued into.
    pub queue: QueueName,
    /// The kind under which it is stored: its type's own, or one of the aliases.
    pub kind: String,
    /// What it is doing.
    pub state: JobState,
    /// Which jobs it runs before.
    pub priority: Priority,
    /// When it is due.
    pub run_at: SystemTime,
    /// When it was enqueued.
    pub created_at: SystemTime,
    /// How many attempts were begun.
    pub attempt: u16,
    /// How many attempts it has in all.
    pub max_attempts: u16,
    /// Its unique key, as it is stored.
    pub unique_key: Option<String>,
    /// The words to find it by.
    pub tags: Vec<String>,
    /// What it carries beside its payload.
    pub metadata: Map<String, Value>,
}

/// The unfinished jobs of the type `J`, by id: those that wait, for whatever, and those that run; of its kind and its aliases;
/// in its queue and in any other one.
///
/// ```no_run
/// # use pg_queue_client::{PgQueue, testing};
/// # use pg_queue_core::{Job, Priority};
/// # #[derive(serde::Serialize, serde::Deserialize, Job)]
/// # #[job(crate = "pg_queue_core")]
/// # struct SendEmail { to: String }
/// # async fn example(mgr: PgQueue) -> Result<(), testing::LookError> {
/// let emails = testing::enqueued::<SendEmail>(&mgr).await?;
/// assert_eq!(emails.len(), 1);
/// assert_eq!((emails[0].payload.to.as_str(), emails[0].priority), ("ada@example.com", Priority::DEFAULT));
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// The payload of one of them is not a `J`, or the database failed.
pub async fn enqueued<J: Job>(place: impl Look) -> Result<Vec<Enqueued<J>>, LookError> {
    let looked = place.look(&kinds::<J>()).await?;
    let decoded = looked.jobs.into_iter().map(|queued| {
        let id = queued.job.id;
        Enqueued::decode(queued).map_err(|(queued, source)| LookError::Undecodable {
            job: id,
            kind: queued.job.kind,
            source,
        })
    });
    decoded.collect()
}

/// All kinds under which jobs of a type are stored.
pub(super) fn kinds<J: Job>() -> Vec<&'static str> {
    [J::KIND].into_iter().chain(J::ALIASES.iter().copied()).collect()
}

impl<J: Job> Enqueued<J> {
    /// As its type; what does not decode comes back.
    #[expect(clippy::result_large_err, reason = "nobody passes this on")]
    pub(super) fn decode(queued: QueuedJob) -> Result<Self, (QueuedJob, DecodeError)> {
        let payload = match from_json(queued.job.payload.as_bytes()) {
            Ok(payload) => payload,
            Err(error) => return Err((queued, error)),
        };
        let QueuedJob { job, queue, .. } = queued;
        Ok(Self {
            payload,
            id: job.id,
            queue,
            kind: job.kind,
            state: job.state,
            priority: job.priority,
            run_at: job.run_at,
            created_at: job.created_at,
            attempt: job.attempt,
            max_attempts: job.max_attempts,
            unique_key: job.unique_key,
            tags: job.tags,
            metadata: job.metadata,
        })
    }
}

/// Why jobs could not be looked at.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LookError {
    /// A payload is not of the type that runs its kind.
    #[error("job {job} of kind {kind:?} does not decode: {source}")]
    Undecodable {
        /// Which job.
        job: JobId,
        /// The kind under which it is stored.
        kind: String,
        /// What is wrong with it.
        source: DecodeError,
    },
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}
