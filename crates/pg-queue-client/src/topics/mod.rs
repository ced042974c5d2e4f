//! Topics: messages to whoever is subscribed at that moment, in any process.
//!
//! [`Topics`] is `mgr.topics`. A message goes to every subscriber of its topic, once, in the order in which a publisher awaited
//! them; it is not kept for those who come later. Whoever may have missed something is told: a [`Event::Gap`] after a lost
//! connection, [`Event::Lagged`] when it was too slow itself.

mod event;
mod publisher;
mod subscription;
mod switchboard;

use std::sync::Arc;

pub use pg_queue_core::topics::{InvalidTopic, PublishError, Topic, TopicPattern};
use pg_queue_core::{
    Commit,
    topics::{self as statements, Message},
};
use serde::{Serialize, de::DeserializeOwned};
use sqlx::PgConnection;

pub use self::{
    event::{Event, Received, Undecodable},
    subscription::{SubscribeError, Subscription},
};
pub(crate) use self::{publisher::Publisher, switchboard::Switchboard};
use crate::shared::Shared;

/// Sends messages to topics, and receives them.
///
/// ```no_run
/// use futures_util::StreamExt;
/// use pg_queue_client::topics::Event;
///
/// # async fn example(mgr: pg_queue_client::PgQueue) -> Result<(), Box<dyn std::error::Error>> {
/// let mut orders = mgr.topics.subscribe::<u64>("orders.*").await?;
/// mgr.topics.publish("orders.paid", &17).await?;
/// while let Some(event) = orders.next().await {
///     match event {
///         Event::Message(message) => println!("{}: {}", message.topic, message.message),
///         Event::Gap | Event::Lagged(_) => println!("something was missed: looking again"),
///         Event::Undecodable(message) => println!("{message}"),
///         _ => {}
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Topics {
    shared: Arc<Shared>,
}

impl Topics {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Sends a message to the subscribers of `topic`. When this returns, it is on its way to them.
    ///
    /// Calls that come together share statements. Up to 7,500 bytes of JSON travel inside the notification; what is longer, up to
    /// 16 MiB, is stored for a minute, and may arrive after shorter messages that were sent later.
    ///
    /// # Errors
    /// The topic breaks the rule, the message does not serialize or is too long, or the database failed.
    pub async fn publish<M>(&self, topic: impl AsRef<str>, message: &M) -> Result<(), PublishError>
    where
        M: Serialize + Sync + ?Sized,
    {
        let message = Message::new(&Topic::new(topic)?, message)?;
        publisher::publish(&self.shared, message).await
    }

    /// The same with a message that is JSON already.
    ///
    /// # Errors
    /// Those of [`publish`](Self::publish), or the message is no JSON.
    pub async fn publish_raw(&self, topic: impl AsRef<str>, json: &str) -> Result<(), PublishError> {
        let message = Message::raw(&Topic::new(topic)?, json)?;
        publisher::publish(&self.shared, message).await
    }

    /// Sends a message on this connection: at the commit of its transaction, if it has one, and not if that is rolled back.
    ///
    /// Transactions that publish are committed one at a time by the server, with whatever else they do.
    ///
    /// # Errors
    /// Those of [`publish`](Self::publish).
    pub async fn publish_on<M>(
        &self,
        connection: &mut PgConnection,
        topic: impl AsRef<str>,
        message: &M,
    ) -> Result<(), PublishError>
    where
        M: Serialize + Sync + ?Sized,
    {
        let message = Message::new(&Topic::new(topic)?, message)?;
        Ok(statements::publish(connection, &self.shared.schema, &[message], Commit::AsSet).await?)
    }

    /// Receives what is sent to the topics of `pattern`, in which `*` stands for any one word, and `>` at the end for one or
    /// more. When this returns, nothing sent from then on is missed in silence.
    ///
    /// All subscriptions of a process share its one listener connection. Each holds up to 4,096 messages that were not yet taken;
    /// then it loses the newest, and is told how many.
    ///
    /// # Errors
    /// The pattern breaks the rule, or there is no connection at the moment.
    pub async fn subscribe<M: DeserializeOwned>(
        &self,
        pattern: impl AsRef<str>,
    ) -> Result<Subscription<M>, SubscribeError> {
        let pattern = TopicPattern::new(pattern)?;
        self.shared.switchboard.subscribe(&self.shared, pattern).await
    }
}
