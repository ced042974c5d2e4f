//! A message on its way to a topic.

use std::{borrow::Cow, collections::BTreeMap};

use serde::Serialize;
use serde_json::{Map, Value};

use super::{PublishError, Topic};
use crate::TraceContext;

/// The longest message, in bytes of JSON.
pub const MAX_MESSAGE_BYTES: usize = 16 << 20;

/// The most that the attributes of one message have in all, in bytes of JSON.
pub const MAX_ATTRIBUTES_BYTES: usize = 4096;

/// What is said about a message beside what it says itself, for filters and for those who receive it.
pub type Attributes = BTreeMap<String, String>;

/// A message on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Where it goes.
    pub topic: Topic,
    /// What it says, as JSON.
    pub body: String,
    /// What is said about it.
    pub attributes: Attributes,
    /// Where its sender is in a distributed trace: the jobs that are made of it carry that.
    pub trace_context: Option<TraceContext>,
}

impl Message {
    /// Writes a message.
    ///
    /// # Errors
    /// It does not serialize, or is longer than 16 MiB.
    pub fn new(topic: &Topic, message: &(impl Serialize + ?Sized)) -> Result<Self, PublishError> {
        Self::of(topic, serde_json::to_string(message).map_err(PublishError::Serialize)?)
    }

    /// A message that is JSON already.
    ///
    /// # Errors
    /// It is no JSON, or longer than 16 MiB.
    pub fn raw(topic: &Topic, json: &str) -> Result<Self, PublishError> {
        serde_json::from_str::<serde::de::IgnoredAny>(json).map_err(PublishError::NoJson)?;
        Self::of(topic, json.to_owned())
    }

    fn of(topic: &Topic, body: String) -> Result<Self, PublishError> {
        match body.len() {
            bytes if bytes > MAX_MESSAGE_BYTES => Err(PublishError::TooLarge { bytes }),
            _ => Ok(Self { topic: topic.clone(), body, attributes: Attributes::new(), trace_context: None }),
        }
    }

    /// Checks what was said about it.
    ///
    /// # Errors
    /// The attributes are longer than 4 KiB, or hold a NUL.
    pub fn check(&self) -> Result<(), PublishError> {
        if self.attributes.iter().any(|(name, value)| name.contains('\0') || value.contains('\0')) {
            return Err(PublishError::NulInAttributes);
        }
        match self.attributes_json().len() {
            bytes if bytes > MAX_ATTRIBUTES_BYTES => Err(PublishError::AttributesTooLarge { bytes }),
            _ => Ok(()),
        }
    }

    /// Its attributes as JSON; nothing if it has none.
    pub(super) fn attributes_json(&self) -> Cow<'static, str> {
        if self.attributes.is_empty() {
            return Cow::Borrowed("");
        }
        Cow::Owned(serde_json::to_string(&self.attributes).expect("a map of strings is JSON"))
    }

    /// What its jobs carry beside it, as JSON.
    pub(super) fn metadata(&self) -> String {
        let mut metadata = Map::new();
        metadata.insert("topic".to_owned(), self.topic.as_str().into());
        if !self.attributes.is_empty() {
            let attributes = self.attributes.iter().map(|(name, value)| (name.clone(), value.as_str().into()));
            metadata.insert("attributes".to_owned(), Value::Object(attributes.collect()));
        }
        if let Some(context) = self.trace_context.clone() {
            context.write(&mut metadata);
        }
        Value::Object(metadata).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_ATTRIBUTES_BYTES, Message};
    use crate::{
        TraceContext,
        topics::{PublishError, Topic},
    };

    #[test]
    fn attributes_have_a_length_and_no_nul() {
        let mut message = Message::raw(&Topic::new("a").unwrap(), "1").unwrap();
        message.check().unwrap();
        let frame = r#"{"n":""}"#.len();
        message.attributes.insert("n".to_owned(), "v".repeat(MAX_ATTRIBUTES_BYTES - frame));
        message.check().unwrap();
        message.attributes.insert("n".to_owned(), "v".repeat(MAX_ATTRIBUTES_BYTES - frame + 1));
        let error = message.check().unwrap_err();
        assert!(matches!(error, PublishError::AttributesTooLarge { bytes } if bytes == MAX_ATTRIBUTES_BYTES + 1));
        message.attributes.insert("n".to_owned(), "a\0b".to_owned());
        assert!(matches!(message.check().unwrap_err(), PublishError::NulInAttributes));
    }

    #[test]
    fn its_jobs_carry_where_it_was_sent_and_what_was_said_about_it() {
        let mut message = Message::raw(&Topic::new("a.b").unwrap(), "1").unwrap();
        assert_eq!(message.metadata(), r#"{"topic":"a.b"}"#);
        message.attributes.insert("country".to_owned(), "at".to_owned());
        assert_eq!(message.metadata(), r#"{"attributes":{"country":"at"},"topic":"a.b"}"#);
        let here = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        message.trace_context = Some(TraceContext::new(here).unwrap());
        assert!(message.metadata().contains(&format!(r#""traceparent":"{here}""#)));
    }
}
