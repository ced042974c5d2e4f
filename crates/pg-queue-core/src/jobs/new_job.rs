//! A job that is not in the database yet.

use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::{DEFAULT_MAX_ATTEMPTS, Job, JobId, Priority, QueueError, RequestId};

/// The kind of a job that was pushed without one.
pub const RAW_KIND: &str = "raw";

/// The longest payload, in bytes of JSON.
pub const MAX_PAYLOAD_BYTES: usize = 64 << 20;

/// The longest unique key, in bytes.
pub const MAX_UNIQUE_KEY_BYTES: usize = 512;

/// The longest kind, in bytes.
pub const MAX_KIND_BYTES: usize = 100;

/// A job on its way into a queue: the payload as JSON and what is to be done with it.
#[derive(Debug, Clone)]
pub struct NewJob {
    pub(super) kind: String,
    pub(super) payload: String,
    /// What the job is to have beyond its kind and payload.
    pub options: PushOptions,
    /// The request that this job is, if it is one.
    pub request_id: Option<RequestId>,
}

impl NewJob {
    /// A job of kind `kind` with any payload that serializes.
    ///
    /// # Errors
    /// The kind is empty or too long, or the payload does not serialize or is longer than 64 MiB.
    pub fn new(kind: &str, payload: &impl Serialize) -> Result<Self, PushError> {
        if kind.is_empty() || kind.len() > MAX_KIND_BYTES || kind.contains('\0') {
            return Err(PushError::InvalidKind(crate::schema::shorten(kind)));
        }
        let payload = to_json(payload)?;
        Ok(Self { kind: kind.to_owned(), payload, options: PushOptions::default(), request_id: None })
    }

    /// A typed job with its type's policy.
    ///
    /// # Errors
    /// The payload does not serialize or is longer than 64 MiB.
    pub fn typed<J: Job>(job: &J) -> Result<Self, PushError> {
        let mut new = Self::new(J::KIND, job)?;
        new.options = PushOptions::default().priority(J::PRIORITY).max_attempts(J::MAX_ATTEMPTS);
        Ok(new)
    }
}

/// Serializes a payload and checks its length.
pub(super) fn to_json(payload: &impl Serialize) -> Result<String, PushError> {
    let json = serde_json::to_string(payload).map_err(PushError::Serialize)?;
    if json.len() > MAX_PAYLOAD_BYTES { Err(PushError::PayloadTooLarge { bytes: json.len() }) } else { Ok(json) }
}

/// When a pushed job runs, how often it is tried, and whether it may exist twice.
///
/// ```
/// use std::time::Duration;
/// use pg_queue_core::{Priority, PushOptions};
///
/// let options = PushOptions::default()
///     .delay(Duration::from_secs(60))
///     .priority(Priority::HIGHEST)
///     .unique_key("invoice-17");
/// # let _ = options;
/// ```
#[derive(Debug, Clone, Default)]
pub struct PushOptions {
    pub(super) run_at: Option<SystemTime>,
    pub(super) delay: Duration,
    pub(super) priority: Priority,
    pub(super) max_attempts: Option<u16>,
    pub(super) unique_key: Option<String>,
}

impl PushOptions {
    /// Not before this moment, on the database's clock. Default: at once.
    #[must_use]
    pub fn run_at(mut self, moment: SystemTime) -> Self {
        self.run_at = Some(moment);
        self
    }

    /// Not before this much later than the database's now (or than [`run_at`](Self::run_at), if both are given).
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Which due jobs run first. Default: [`Priority::DEFAULT`].
    #[must_use]
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// How many attempts the job has, the first included: 1 to 32767. Default: 20.
    #[must_use]
    pub fn max_attempts(mut self, attempts: u16) -> Self {
        self.max_attempts = Some(attempts);
        self
    }

    /// At most one unfinished job of the queue has this key. At most 512 bytes. Default: none.
    #[must_use]
    pub fn unique_key(mut self, key: impl Into<String>) -> Self {
        self.unique_key = Some(key.into());
        self
    }

    pub(super) fn checked_max_attempts(&self) -> Result<i16, PushError> {
        let attempts = self.max_attempts.unwrap_or(DEFAULT_MAX_ATTEMPTS);
        match i16::try_from(attempts) {
            Ok(attempts @ 1..) => Ok(attempts),
            _ => Err(PushError::InvalidMaxAttempts(attempts)),
        }
    }

    pub(super) fn checked_unique_key(&self) -> Result<Option<&str>, PushError> {
        match self.unique_key.as_deref() {
            Some(key) if key.len() > MAX_UNIQUE_KEY_BYTES || key.contains('\0') => Err(PushError::InvalidUniqueKey),
            key => Ok(key),
        }
    }
}

/// What became of a job that was to be enqueued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PushOutcome {
    /// A new job was made.
    Enqueued(JobId),
    /// An unfinished job has the same unique key; nothing was made. This is its id.
    Duplicate(JobId),
}

impl PushOutcome {
    /// The job that now stands for what was pushed: the new one, or the one that was there.
    #[must_use]
    pub const fn id(self) -> JobId {
        match self {
            Self::Enqueued(id) | Self::Duplicate(id) => id,
        }
    }
}

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
    #[error("invalid unique key: a unique key has at most 512 bytes and no NUL")]
    InvalidUniqueKey,
    /// The number of attempts breaks the rule.
    #[error("max_attempts {0} is out of range: 1 to 32767")]
    InvalidMaxAttempts(u16),
    /// The type's queue is not a queue name. The derive checks this; a hand-written `Job` may get here.
    #[error(transparent)]
    InvalidQueue(#[from] crate::InvalidQueueName),
    /// The unique key was taken and freed again and again while this call looked.
    #[error("the unique key is contended: it was taken and freed {0} times while this call looked")]
    Contended(u32),
    /// The queue is missing, or the database failed.
    #[error(transparent)]
    Queue(#[from] QueueError),
}
