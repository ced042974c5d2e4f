//! Why a job was not enqueued.

use crate::{DatabaseError, QueueError};

/// Why a job was not enqueued.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PushError {
    /// The payload cannot be written as JSON.
    #[error("the payload does not serialize: {0}")]
    Serialize(#[source] serde_json::Error),
    /// The payload is too long.
    #[error("the payload has {bytes} bytes of JSON: at most 64 MiB are allowed")]
    PayloadTooLarge {
        /// Its length.
        bytes: usize,
    },
    /// The kind breaks the rule.
    #[error("invalid kind {0:?}: a kind has 1 to 100 bytes and no NUL")]
    InvalidKind(String),
    /// The unique key breaks the rule.
    #[error("invalid unique key: with its kind it has at most 512 bytes, and no control characters NUL and US")]
    InvalidUniqueKey,
    /// The time for which a unique key is held is nothing.
    #[error("a unique key that is held for no time holds nothing: give a longer one")]
    UniqueForNoTime,
    /// A debounced job has a time of its own.
    #[error("a debounced job runs when its debounce says: give it neither run_at nor delay")]
    DebounceWithTime,
    /// The number of attempts breaks the rule.
    #[error("max_attempts {0} is out of range: 1 to 32767")]
    InvalidMaxAttempts(u16),
    /// The time limit is nothing.
    #[error("a timeout below a millisecond would end every attempt at once: `no_timeout` is without limit")]
    InvalidTimeout,
    /// The moment is not one that the database knows.
    #[error("run_at is out of range: from the year 1970 to the year 9999")]
    InvalidRunAt,
    /// The tags break the rule.
    #[error("invalid tags: at most 32 are allowed, of 1 to 100 bytes each and without a NUL")]
    InvalidTags,
    /// The metadata is too long.
    #[error("the metadata has {bytes} bytes of JSON: at most 64 KiB are allowed")]
    MetadataTooLarge {
        /// Its length.
        bytes: usize,
    },
    /// The type's queue is not a queue name. The derive checks this; a hand-written `Job` may get here.
    #[error(transparent)]
    InvalidQueue(#[from] crate::InvalidQueueName),
    /// The unique key was taken and freed again and again while this call looked.
    #[error("the unique key is contended: it was taken and freed {0} times while this call looked")]
    Contended(u32),
    /// One of many jobs cannot be enqueued, and so none was.
    #[error("job {position} of the batch, counted from 0: {error}")]
    InBatch {
        /// Which.
        position: usize,
        /// Why.
        #[source]
        error: Box<PushError>,
    },
    /// What was enqueuing the job ended before it had an answer: the runtime was shut down. The job may have been enqueued.
    #[error("the runtime was shut down while the job was on its way: it may or may not have been enqueued")]
    Interrupted,
    /// The queue is missing, or the database failed.
    ///
    /// After a lost connection ([`DatabaseError::Unreachable`](crate::DatabaseError::Unreachable)) nobody knows whether the
    /// statement was done: the job may have been enqueued.
    #[error(transparent)]
    Queue(#[from] QueueError),
}

impl From<DatabaseError> for PushError {
    fn from(error: DatabaseError) -> Self {
        Self::Queue(error.into())
    }
}
