//! What goes back to a caller.

use std::fmt;

use serde::Serialize;

use super::StoreReplyError;
use crate::RequestId;

/// The longest reply, in bytes of JSON.
pub const MAX_REPLY_BYTES: usize = 16 << 20;

/// What goes back to a caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The request that it answers.
    pub request: RequestId,
    /// What it is.
    pub status: Status,
    /// JSON: what the status says.
    pub body: String,
}

/// What a reply is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// The response.
    Ok,
    /// The responder's own error, of the type that the request names.
    Error,
    /// The responder panicked; the body is the message.
    Panicked,
    /// The responder could not read the request; the body is the message.
    Undecodable,
    /// The responder has ended without an answer; the body says why.
    Interrupted,
    /// Another version of the library has sent it.
    Unknown,
}

impl Status {
    /// As it is stored and sent.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Error => "error",
            Self::Panicked => "panicked",
            Self::Undecodable => "undecodable",
            Self::Interrupted => "interrupted",
            Self::Unknown => "unknown",
        }
    }

    pub(super) fn read(word: &str) -> Self {
        let known = [Self::Ok, Self::Error, Self::Panicked, Self::Undecodable, Self::Interrupted];
        known.into_iter().find(|status| status.as_str() == word).unwrap_or(Self::Unknown)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A reply's body as JSON.
///
/// # Errors
/// It does not serialize, or is longer than 16 MiB.
pub fn body(reply: &(impl Serialize + ?Sized)) -> Result<String, StoreReplyError> {
    let body = serde_json::to_string(reply).map_err(StoreReplyError::Serialize)?;
    if body.len() > MAX_REPLY_BYTES { Err(StoreReplyError::TooLarge { bytes: body.len() }) } else { Ok(body) }
}
