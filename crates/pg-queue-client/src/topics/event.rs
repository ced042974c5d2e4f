//! What a subscriber receives.

use std::fmt;

use pg_queue_core::{
    DecodeError,
    topics::{Attributes, Topic},
};

/// What a subscriber receives.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<M> {
    /// A message.
    Message(Received<M>),
    /// A message that is not what the subscriber expects. The next one may be.
    Undecodable(Undecodable),
    /// The connection was lost and is there again: what was sent in between is lost. Look at the tables again and go on.
    Gap,
    /// The subscriber took its messages too slowly, and so many events were thrown away. Look at the tables again and go on.
    Lagged(u64),
}

/// A message that was received.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Received<M> {
    /// Where it was sent to.
    pub topic: Topic,
    /// What it says.
    pub message: M,
    /// What its sender has said about it.
    pub attributes: Attributes,
}

/// A message that is not what its subscriber expects. Displays without the message itself, which is not for logs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Undecodable {
    /// Where it was sent to.
    pub topic: Topic,
    /// What it says, as JSON.
    pub json: String,
    /// Why it is not what was expected.
    pub error: DecodeError,
}

impl fmt::Display for Undecodable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { topic, error, .. } = self;
        write!(f, "a message to {topic} does not decode: {error}")
    }
}
