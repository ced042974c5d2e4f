//! A job that is not in the database yet.

use std::borrow::Cow;

use serde::Serialize;

use super::{PushError, PushOptions, row::Row};
use crate::{Job, RequestId};

/// The kind of a job that was pushed without one.
pub const RAW_KIND: &str = "raw";

/// The longest payload, in bytes of JSON.
pub const MAX_PAYLOAD_BYTES: usize = 64 << 20;

/// The longest kind, in bytes.
pub const MAX_KIND_BYTES: usize = 100;

/// A job on its way into a queue: the payload as JSON and what is to be done with it.
#[derive(Debug, Clone)]
pub struct NewJob {
    pub(super) kind: Cow<'static, str>,
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
        Self::of_kind(Cow::Owned(kind.to_owned()), payload)
    }

    fn of_kind(kind: Cow<'static, str>, payload: &impl Serialize) -> Result<Self, PushError> {
        if kind.is_empty() || kind.len() > MAX_KIND_BYTES || kind.contains('\0') {
            return Err(PushError::InvalidKind(crate::schema::shorten(&kind)));
        }
        let payload = to_json(payload)?;
        Ok(Self { kind, payload, options: PushOptions::default(), request_id: None })
    }

    /// A job of the kind `raw` with any payload that serializes.
    ///
    /// # Errors
    /// The payload does not serialize or is longer than 64 MiB.
    pub fn raw(payload: &impl Serialize) -> Result<Self, PushError> {
        Self::of_kind(Cow::Borrowed(RAW_KIND), payload)
    }

    /// A typed job with its type's policy.
    ///
    /// # Errors
    /// The payload does not serialize or is longer than 64 MiB.
    pub fn typed<J: Job>(job: &J) -> Result<Self, PushError> {
        let mut new = Self::of_kind(Cow::Borrowed(J::KIND), job)?;
        new.options = PushOptions::default().priority(J::PRIORITY).max_attempts(J::MAX_ATTEMPTS);
        new.options.unique = job.unique()?;
        Ok(new)
    }

    /// Whether the table will take it: what [`push`](super::push()) finds out before it asks the database.
    ///
    /// # Errors
    /// An option is out of range.
    pub fn check(&self) -> Result<(), PushError> {
        Row::new(self).map(drop)
    }

    /// How long its payload is, in bytes of JSON.
    #[must_use]
    pub fn payload_bytes(&self) -> usize {
        self.payload.len()
    }
}

/// Serializes a payload and checks its length.
pub(crate) fn to_json(payload: &impl Serialize) -> Result<String, PushError> {
    let json = serde_json::to_string(payload).map_err(PushError::Serialize)?;
    if json.len() > MAX_PAYLOAD_BYTES { Err(PushError::PayloadTooLarge { bytes: json.len() }) } else { Ok(json) }
}
