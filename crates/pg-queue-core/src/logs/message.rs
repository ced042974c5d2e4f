//! A message to be published.

use std::collections::BTreeMap;

use serde::Serialize;

use super::LogPublishError;

/// The longest message, in bytes of JSON.
const MAX_BYTES: usize = 16 << 20;

/// The longest attributes of a message, in bytes of JSON.
const MAX_ATTRIBUTES: usize = 64 << 10;

/// A message to be published.
///
/// ```
/// use pg_queue_core::logs::LogMessage;
/// let message = LogMessage::new(&17)?.attribute("country", "at");
/// # Ok::<(), pg_queue_core::logs::LogPublishError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogMessage {
    pub(crate) body: String,
    pub(crate) attributes: BTreeMap<String, String>,
}

impl LogMessage {
    /// Writes a message.
    ///
    /// # Errors
    /// It does not serialize, or is longer than 16 MiB.
    pub fn new(message: &(impl Serialize + ?Sized)) -> Result<Self, LogPublishError> {
        Self::checked(serde_json::to_string(message).map_err(LogPublishError::Serialize)?)
    }

    /// A message that is JSON already.
    ///
    /// # Errors
    /// It is no JSON, or longer than 16 MiB.
    pub fn raw(json: &str) -> Result<Self, LogPublishError> {
        serde_json::from_str::<serde::de::IgnoredAny>(json).map_err(LogPublishError::NoJson)?;
        Self::checked(json.to_owned())
    }

    /// Says something about the message that is not in it.
    #[must_use]
    pub fn attribute(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.attributes.insert(name.into(), value.into());
        self
    }

    /// How many bytes it has.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.body.len()
    }

    fn checked(body: String) -> Result<Self, LogPublishError> {
        match body.len() {
            bytes if bytes > MAX_BYTES => Err(LogPublishError::TooLarge { bytes }),
            _ => Ok(Self { body, attributes: BTreeMap::new() }),
        }
    }

    /// The attributes as JSON, if there are any.
    pub(crate) fn attributes_json(&self) -> Option<String> {
        (!self.attributes.is_empty()).then(|| serde_json::to_string(&self.attributes).expect("a map of texts is JSON"))
    }

    /// Checks what can be set after it was made.
    ///
    /// # Errors
    /// The attributes have more than 64 KiB.
    pub fn check(&self) -> Result<(), LogPublishError> {
        let bytes: usize = self.attributes.iter().map(|(name, value)| name.len() + value.len()).sum();
        if bytes > MAX_ATTRIBUTES { Err(LogPublishError::AttributesTooLarge { bytes }) } else { Ok(()) }
    }
}
