//! A message that is about to be sent.

use pg_queue_core::{
    Commit,
    topics::{self as statements, Message, PublishError, Topic},
};
use serde::Serialize;
use sqlx::PgConnection;

use super::{Topics, publisher};

/// A message that is about to be sent: attributes can be said about it before. Made by [`Topics::message`].
#[must_use = "a message is sent when it is published"]
#[derive(Debug)]
pub struct Outgoing<'t> {
    topics: &'t Topics,
    message: Result<Message, PublishError>,
}

impl<'t> Outgoing<'t> {
    pub(super) fn new(topics: &'t Topics, topic: &str, message: &(impl Serialize + ?Sized)) -> Self {
        let message = Topic::new(topic).map_err(PublishError::from).and_then(|topic| Message::new(&topic, message));
        Self { topics, message }
    }

    pub(super) fn raw(topics: &'t Topics, topic: &str, json: &str) -> Self {
        let message = Topic::new(topic).map_err(PublishError::from).and_then(|topic| Message::raw(&topic, json));
        Self { topics, message }
    }

    /// Says something about the message: the filters of bindings look at it, and those who receive the message see it. All
    /// attributes of a message have at most 4 KiB of JSON. A name that was given already gets the new value.
    pub fn attribute(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        if let Ok(message) = &mut self.message {
            message.attributes.insert(name.into(), value.into());
        }
        self
    }

    /// Sends it: see [`Topics::publish`].
    ///
    /// # Errors
    /// Those of [`Topics::publish`], or the attributes are too long or hold a NUL.
    pub async fn publish(self) -> Result<(), PublishError> {
        let (topics, message) = self.ready()?;
        publisher::publish(&topics.shared, message).await
    }

    /// Sends it on this connection: see [`Topics::publish_on`].
    ///
    /// # Errors
    /// Those of [`publish`](Self::publish).
    pub async fn publish_on(self, connection: &mut PgConnection) -> Result<(), PublishError> {
        let (topics, message) = self.ready()?;
        statements::publish(connection, &topics.shared.schema, &[message], Commit::AsSet).await?;
        Ok(())
    }

    fn ready(self) -> Result<(&'t Topics, Message), PublishError> {
        let mut message = self.message?;
        message.check()?;
        self.topics.shared.trace_message(&mut message);
        Ok((self.topics, message))
    }
}
