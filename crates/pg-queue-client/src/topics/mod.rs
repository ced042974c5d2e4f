//! Topics: messages to whoever is subscribed at that moment, in any process, and into the queues that are bound.
//!
//! [`Topics`] is `mgr.topics`. A message goes to every subscriber of its topic, once, in the order in which a publisher awaited
//! them; it is not kept for those who come later. Whoever may have missed something is told: a [`Event::Gap`] after a lost
//! connection, [`Event::Lagged`] when it was too slow itself. What must not be missed goes into queues: in each one that is
//! bound to its topic, a message becomes a job.

mod binding;
mod bound;
mod durable;
mod event;
mod outgoing;
mod publisher;
mod subscription;
mod switchboard;

use std::sync::Arc;

pub use pg_queue_core::topics::{
    Attributes, BindError, Binding, Filter, InvalidTopic, PublishError, Topic, TopicPattern,
};
use pg_queue_core::{DatabaseError, QueueName, topics as statements};
use serde::{Serialize, de::DeserializeOwned};
use sqlx::PgConnection;

pub use self::{
    binding::{Bind, BindFuture, Unbind},
    event::{Event, Received, Undecodable},
    outgoing::Outgoing,
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

    /// Sends a message to the subscribers of `topic`, and into the queues that are bound to it. When this returns, it is on its way
    /// to them, and the jobs are there to stay.
    ///
    /// Calls that come together share statements. Up to 7,500 bytes of JSON travel inside the notification; what is longer, up to
    /// 16 MiB, is stored for a minute, and may arrive after shorter messages that were sent later.
    ///
    /// # Errors
    /// The topic breaks the rule, the message does not serialize or is too long, a queue is missing that is bound to the topic, or
    /// the database failed. Then neither subscribers nor queues get it.
    pub async fn publish<M>(&self, topic: impl AsRef<str>, message: &M) -> Result<(), PublishError>
    where
        M: Serialize + Sync + ?Sized,
    {
        self.message(topic, message).publish().await
    }

    /// The same with a message that is JSON already.
    ///
    /// # Errors
    /// Those of [`publish`](Self::publish), or the message is no JSON.
    pub async fn publish_raw(&self, topic: impl AsRef<str>, json: &str) -> Result<(), PublishError> {
        self.message_raw(topic, json).publish().await
    }

    /// Sends a message on this connection: at the commit of its transaction, if it has one, and not if that is rolled back. So do
    /// the jobs in bound queues.
    ///
    /// Transactions that publish are committed one at a time by the server, with whatever else they do.
    ///
    /// # Errors
    /// Those of [`publish`](Self::publish). Those of the database, and a missing queue, abort the transaction.
    pub async fn publish_on<M>(
        &self,
        connection: &mut PgConnection,
        topic: impl AsRef<str>,
        message: &M,
    ) -> Result<(), PublishError>
    where
        M: Serialize + Sync + ?Sized,
    {
        self.message(topic, message).publish_on(connection).await
    }

    /// A message to say something about before it is sent: the filters of bindings look at its attributes.
    ///
    /// ```no_run
    /// # async fn example(mgr: pg_queue_client::PgQueue) -> Result<(), Box<dyn std::error::Error>> {
    /// mgr.topics.message("orders.paid", &17).attribute("country", "at").publish().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn message<M: Serialize + ?Sized>(&self, topic: impl AsRef<str>, message: &M) -> Outgoing<'_> {
        Outgoing::new(self, topic.as_ref(), message)
    }

    /// The same with a message that is JSON already.
    pub fn message_raw(&self, topic: impl AsRef<str>, json: &str) -> Outgoing<'_> {
        Outgoing::raw(self, topic.as_ref(), json)
    }

    /// Binds a queue to the topics of `pattern`, in which `*` stands for any one word, and `>` at the end for one or more: from
    /// then on each message to one of them becomes a job there, whoever sends it, with the message as its payload. The handler finds
    /// the topic in the job's metadata, under `topic`, and the attributes under `attributes`.
    ///
    /// A message that fits several patterns of a queue becomes one job of each kind. The same pattern, queue and kind once more
    /// are the same binding, which gets the new filter. Dropping the queue ends its bindings. The same as
    /// `select pg_queue_bind(..)`.
    ///
    /// Whoever publishes makes the jobs: a role that may do little else needs SELECT on `pg_queue_bindings` and INSERT on the
    /// queues that its topics are bound to, also those that somebody binds later.
    ///
    /// ```no_run
    /// # use pg_queue_core::{Job, QueueName};
    /// # #[derive(serde::Serialize, serde::Deserialize, Job)]
    /// # #[job(crate = "pg_queue_core", queue = "invoices")]
    /// # struct SendInvoice { order: u64 }
    /// # async fn example(mgr: pg_queue_client::PgQueue) -> Result<(), Box<dyn std::error::Error>> {
    /// let (invoices, audit) = (QueueName::new("invoices")?, QueueName::new("audit")?);
    /// mgr.topics.bind("orders.*.paid", &invoices).kind::<SendInvoice>().filter("country", ["at", "de"]).await?;
    /// mgr.topics.bind("orders.>", &audit).await?;
    /// // A job in each of the two queues; in a transaction of yours with `publish_on`.
    /// let paid = SendInvoice { order: 17 };
    /// mgr.topics.message("orders.eu.paid", &paid).attribute("country", "at").publish().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When it is awaited: the pattern, the kind or the filter breaks a rule, the queue is missing, or the database failed.
    pub fn bind(&self, pattern: impl AsRef<str>, queue: &QueueName) -> Bind<'_> {
        Bind::new(self, pattern.as_ref(), queue)
    }

    /// Ends a binding; the jobs that it has made stay. Await the answer, which is whether there was one.
    ///
    /// # Errors
    /// When it is awaited: the pattern breaks the rule, or the database failed.
    pub fn unbind(&self, pattern: impl AsRef<str>, queue: &QueueName) -> Unbind<'_> {
        Unbind::new(self, pattern.as_ref(), queue)
    }

    /// All bindings, by pattern, queue and kind.
    ///
    /// # Errors
    /// The migrations are missing or the database failed.
    pub async fn bindings(&self) -> Result<Vec<Binding>, DatabaseError> {
        let schema = &self.shared.schema;
        self.shared.run(async |connection| statements::bindings(connection, schema).await).await
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
