//! A member of a group.

use std::{marker::PhantomData, sync::Arc, time::Duration};

use pg_queue_core::logs::{
    self as statements, BatchId, GroupError, GroupName, GroupSettings, InvalidGroupName, LogError, LogName, Start,
};
use serde::de::DeserializeOwned;
use sqlx::PgConnection;

use super::{
    batch::{Batch, Member},
    waiting::Waiting,
};
use crate::{at_hand, shared::Shared};

/// How long a batch is its member's, unless told otherwise, without a sign of life.
const LEASE: Duration = Duration::from_secs(30);

/// The shortest lease: it is kept up three times as often.
const SHORTEST_LEASE: Duration = Duration::from_millis(100);

/// A group that is about to be opened. Made by [`Logs::group`](super::Logs::group).
#[derive(Debug)]
#[must_use = "a group is opened by `open`"]
pub struct GroupBuilder<M> {
    shared: Arc<Shared>,
    log: LogName,
    group: String,
    start: Start,
    settings: GroupSettings,
    lease: Duration,
    messages: PhantomData<fn() -> M>,
}

impl<M: DeserializeOwned> GroupBuilder<M> {
    /// Joins the group; makes it if there is none. One that is there stays where it is.
    ///
    /// # Errors
    /// Its name breaks the rule, it is there with other settings, the log is missing, or the database failed.
    pub async fn open(self) -> Result<Group<M>, OpenError> {
        let Self { shared, log, group, start, settings, lease, .. } = self;
        let (table, group) = (log.table(&shared.schema), GroupName::new(group)?);
        shared.run(async |connection| statements::open(connection, &table, &group, start, settings).await).await?;
        let waiting = Waiting::new(&shared, &log);
        let member = Arc::new(Member { shared, table, group, lease: lease.max(SHORTEST_LEASE) });
        Ok(Group { member, waiting, messages: PhantomData })
    }
}

impl<M> GroupBuilder<M> {
    pub(super) fn new(shared: Arc<Shared>, log: LogName, group: String) -> Self {
        let (start, settings) = (Start::default(), GroupSettings::default());
        Self { shared, log, group, start, settings, lease: LEASE, messages: PhantomData }
    }

    /// Where the group begins if this makes it. Default: with what is published from now on.
    pub fn start(mut self, start: Start) -> Self {
        self.start = start;
        self
    }

    /// A message that has failed so often is parked, at least 1. The same for all members. Default: 5.
    pub fn max_attempts(mut self, attempts: u16) -> Self {
        self.settings.max_attempts = attempts;
        self
    }

    /// How long after its first failure a message is tried again; twice as long after each further one, up to an hour. The same
    /// for all members. Default: 1 s.
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.settings.retry_after = after;
        self
    }

    /// How long this member may be silent before its batches are given to others, at least 100 ms. Default: 30 s.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }
}

/// A member of a group: receives messages of the log, other ones than the other members.
#[derive(Debug)]
pub struct Group<M> {
    member: Arc<Member>,
    waiting: Waiting,
    messages: PhantomData<fn() -> M>,
}

impl<M: DeserializeOwned> Group<M> {
    /// Waits for messages; takes up to `most` of them. Dropped while a statement is on its way, it may leave a batch that comes
    /// again once its lease has run out.
    ///
    /// # Errors
    /// The group or the log is missing, the server was restored from a dump, or the database failed. Call it again when that may
    /// be over: nothing is lost.
    pub async fn receive(&mut self, most: u32) -> Result<Batch<M>, GroupError> {
        loop {
            if let Some(batch) = self.try_receive(most).await? {
                self.waiting.found(&self.member).await;
                return Ok(batch);
            }
            self.waiting.wait(&self.member).await;
        }
    }

    /// Takes up to `most` messages, if there are any.
    ///
    /// # Errors
    /// Those of [`receive`](Self::receive).
    pub async fn try_receive(&mut self, most: u32) -> Result<Option<Batch<M>>, GroupError> {
        let Member { shared, table, group, lease } = &*self.member;
        let id = BatchId::random();
        let mut connection = at_hand::Connection::acquire(shared).await.map_err(LogError::from)?;
        let receive =
            async |connection: &mut PgConnection| statements::receive(connection, table, group, most, *lease, id).await;
        let messages = connection.run(receive).await?;
        connection.put_back();
        Ok((!messages.is_empty()).then(|| Batch::new(Arc::clone(&self.member), id, messages)))
    }
}

impl<M> Group<M> {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &GroupName {
        &self.member.group
    }

    /// The log that it reads.
    #[must_use]
    pub fn log(&self) -> &LogName {
        self.member.table.log()
    }
}

/// Why a group was not opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Its name breaks the rule.
    #[error(transparent)]
    InvalidName(#[from] InvalidGroupName),
    /// It is there with other settings, the log is missing, or the database failed.
    #[error(transparent)]
    Group(#[from] GroupError),
}
