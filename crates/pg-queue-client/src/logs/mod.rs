//! Logs: durable topics, which keep their messages, and the groups that read them.
//!
//! [`Logs`] is `mgr.logs`. A message that was published stays in its log for as long as the log keeps it, whoever has read it. Each
//! group receives all messages, each of them by one of its members; where a group is, the database knows. A message is received at
//! least once; exactly once where the member acknowledges it in the transaction of its effects
//! ([`Batch::acknowledge_on`]).
//!
//! **Order.** Messages are received in the order in which they were published by transactions that came one after the other. A
//! transaction that is still open holds nobody up: what it has published is received once it has committed, after what was
//! committed before. Members of a group that work side by side, and messages that are tried again, change the order.

mod batch;
mod group;
mod publishing;
mod waiting;

use std::sync::Arc;

use pg_queue_core::DatabaseError;
use pg_queue_core::logs as statements;
pub use pg_queue_core::logs::{
    GroupError, GroupName, GroupSettings, GroupStatus, InvalidGroupName, InvalidLogName, InvalidPosition, LogDdlError,
    LogError, LogMessage, LogName, LogPublishError, LogStatus, ParkedMessage, Position, Retention, Start,
};
use serde::Serialize;
use sqlx::PgConnection;

pub use self::{
    batch::{Batch, Delivered, UndecodableMessage},
    group::{Group, GroupBuilder, OpenError},
};
use crate::{publisher, shared::Shared};

/// Publishes to logs, and opens groups that read them.
///
/// ```no_run
/// use pg_queue_client::logs::{LogName, Retention, Start};
///
/// # async fn example(mgr: pg_queue_client::PgQueue) -> Result<(), Box<dyn std::error::Error>> {
/// let orders = LogName::new("orders")?;
/// mgr.logs.create(&orders, Retention::age(std::time::Duration::from_secs(7 * 24 * 3600))).await?;
/// mgr.logs.publish(&orders, &"order 17 is paid").await?;
///
/// let mut billing = mgr.logs.group::<String>(&orders, "billing").start(Start::Beginning).open().await?;
/// let batch = billing.receive(100).await?;
/// for delivered in batch.messages() {
///     println!("{}: {:?}", delivered.position, delivered.message);
/// }
/// batch.acknowledge().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Logs {
    shared: Arc<Shared>,
}

impl Logs {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Makes a log, or sets for how long an existing one keeps its messages. The same as
    /// `select pg_queue_create_log('orders', keep => '7 days')`.
    ///
    /// # Errors
    /// A table of that name exists and is not ours, a retention of nothing, or the database failed.
    pub async fn create(&self, log: &LogName, retention: Retention) -> Result<(), LogDdlError> {
        let table = log.table(&self.shared.schema);
        self.shared.run(async |connection| statements::create(connection, &table, retention).await).await
    }

    /// Drops a log with its messages, its groups and what they have parked. Answers whether there was one.
    ///
    /// # Errors
    /// A transaction has it open for longer than 5 s, or the database failed.
    pub async fn drop(&self, log: &LogName) -> Result<bool, LogDdlError> {
        let table = log.table(&self.shared.schema);
        self.shared.run(async |connection| statements::drop(connection, &table).await).await
    }

    /// All logs, by name, and what they take on the disk.
    ///
    /// # Errors
    /// The database failed.
    pub async fn list(&self) -> Result<Vec<LogStatus>, DatabaseError> {
        let schema = &self.shared.schema;
        self.shared.run(async |connection| statements::list(connection, schema).await).await
    }

    /// Drops what a log need not keep any more. Any worker's maintenance does so every minute; this is for applications without
    /// one. Answers how many segments, of which there are about eight, were dropped.
    ///
    /// # Errors
    /// The database failed.
    pub async fn rotate(&self, log: &LogName) -> Result<u32, LogError> {
        let table = log.table(&self.shared.schema);
        self.shared.run(async |connection| statements::rotate(connection, &table).await).await
    }

    /// Publishes a message. When this returns, it is on the disk. Calls that come together share statements.
    ///
    /// # Errors
    /// The message does not serialize or is longer than 16 MiB, the log is missing, or the database failed.
    pub async fn publish<M>(&self, log: &LogName, message: &M) -> Result<Position, LogPublishError>
    where
        M: Serialize + Sync + ?Sized,
    {
        self.publish_message(log, LogMessage::new(message)?).await
    }

    /// The same with a message that was made before, with attributes or as JSON.
    ///
    /// # Errors
    /// Those of [`publish`](Self::publish), or its attributes are longer than 64 KiB.
    pub async fn publish_message(&self, log: &LogName, message: LogMessage) -> Result<Position, LogPublishError> {
        message.check()?;
        publisher::publish(&self.shared, log.clone(), message).await
    }

    /// Publishes many messages in their order, all or none.
    ///
    /// # Errors
    /// Those of [`publish`](Self::publish).
    pub async fn publish_many<M>(&self, log: &LogName, messages: &[M]) -> Result<Vec<Position>, LogPublishError>
    where
        M: Serialize + Sync,
    {
        let messages = messages.iter().map(LogMessage::new).collect::<Result<Vec<_>, _>>()?;
        let table = log.table(&self.shared.schema);
        let published =
            self.shared.run(async |connection| statements::publish(connection, &table, &messages).await).await?;
        self.shared.bells.ring(&log.wake_key());
        Ok(published)
    }

    /// Publishes messages on this connection: with its transaction, if it has one, and not if that is rolled back.
    ///
    /// # Errors
    /// Those of [`publish`](Self::publish). A missing log does not abort the transaction.
    pub async fn publish_on<M>(
        &self,
        connection: &mut PgConnection,
        log: &LogName,
        messages: &[M],
    ) -> Result<Vec<Position>, LogPublishError>
    where
        M: Serialize + Sync,
    {
        let messages = messages.iter().map(LogMessage::new).collect::<Result<Vec<_>, _>>()?;
        Ok(statements::publish_checked(connection, &log.table(&self.shared.schema), &messages).await?)
    }

    /// A group that reads the log: to be [opened](GroupBuilder::open).
    pub fn group<M>(&self, log: &LogName, group: impl AsRef<str>) -> GroupBuilder<M> {
        GroupBuilder::new(Arc::clone(&self.shared), log.clone(), group.as_ref().to_owned())
    }

    /// The groups of a log, by name, and where they stand.
    ///
    /// # Errors
    /// The database failed.
    pub async fn groups(&self, log: &LogName) -> Result<Vec<GroupStatus>, LogError> {
        let table = log.table(&self.shared.schema);
        self.shared.run(async |connection| statements::groups(connection, &table).await).await
    }

    /// Moves a group, to read again or to leave out. What its members have in hand is theirs no more, and what was to be tried again
    /// is forgotten; what is parked stays.
    ///
    /// # Errors
    /// The group is missing, or the database failed.
    pub async fn seek(&self, log: &LogName, group: &GroupName, to: Start) -> Result<(), GroupError> {
        let table = log.table(&self.shared.schema);
        self.shared.run(async |connection| statements::seek(connection, &table, group, to).await).await?;
        self.shared.bells.ring(&log.wake_key());
        Ok(())
    }

    /// Drops a group with all that it has seen and parked. Answers whether there was one.
    ///
    /// # Errors
    /// The database failed.
    pub async fn drop_group(&self, log: &LogName, group: &GroupName) -> Result<bool, LogError> {
        let table = log.table(&self.shared.schema);
        self.shared.run(async |connection| statements::drop_group(connection, &table, group).await).await
    }

    /// Up to `most` messages that the group has parked, because they failed too often; after this one, for the next page.
    ///
    /// # Errors
    /// The database failed.
    pub async fn parked(
        &self,
        log: &LogName,
        group: &GroupName,
        after: Option<Position>,
        most: u32,
    ) -> Result<Vec<ParkedMessage>, LogError> {
        let table = log.table(&self.shared.schema);
        self.shared.run(async |connection| statements::parked(connection, &table, group, after, most).await).await
    }

    /// Lets the group try these parked messages again, as if for the first time; all of them with `None`. Answers how many.
    ///
    /// # Errors
    /// The database failed.
    pub async fn retry_parked(
        &self,
        log: &LogName,
        group: &GroupName,
        positions: Option<&[Position]>,
    ) -> Result<u64, LogError> {
        let table = log.table(&self.shared.schema);
        let retry =
            self.shared.run(async |connection| statements::retry_parked(connection, &table, group, positions).await);
        let retried = retry.await?;
        self.shared.bells.ring(&log.wake_key());
        Ok(retried)
    }

    /// Throws these parked messages away; all of them with `None`. Answers how many.
    ///
    /// # Errors
    /// The database failed.
    pub async fn discard_parked(
        &self,
        log: &LogName,
        group: &GroupName,
        positions: Option<&[Position]>,
    ) -> Result<u64, LogError> {
        let table = log.table(&self.shared.schema);
        let discard =
            self.shared.run(async |connection| statements::discard_parked(connection, &table, group, positions).await);
        discard.await
    }
}
