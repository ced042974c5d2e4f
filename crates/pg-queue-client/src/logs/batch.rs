//! What a member has in hand.

use std::{
    collections::BTreeMap,
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use pg_queue_core::{
    DecodeError, from_json,
    logs::{self as statements, BatchId, FailedMessage, GroupError, GroupName, LogTable, LoggedMessage, Position},
};
use serde::de::DeserializeOwned;
use sqlx::PgConnection;
use tokio::{task::JoinHandle, time::sleep};

use crate::shared::Shared;

/// A message that was received from a log.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Delivered<M> {
    /// Where it is in the log.
    pub position: Position,
    /// How often the group has tried it, this time included.
    pub attempt: u16,
    /// When the transaction began that published it, on the server's clock.
    pub sent_at: SystemTime,
    /// What its publisher said about it.
    pub attributes: BTreeMap<String, String>,
    /// What it says, or why that is not what was expected.
    pub message: Result<M, UndecodableMessage>,
}

/// A message that is not what its group expects. Displays without the message itself, which is not for logs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UndecodableMessage {
    /// What it says, as JSON.
    pub json: String,
    /// Why it is not what was expected.
    pub error: DecodeError,
}

impl fmt::Display for UndecodableMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the message does not decode: {}", self.error)
    }
}

impl std::error::Error for UndecodableMessage {}

/// Messages that a member of a group has in hand, in the order of their positions.
///
/// They are the member's until it acknowledges them: their lease is kept up meanwhile, by a task. A batch that is dropped without
/// that comes again once its lease has run out, and each of its messages has failed once more.
#[derive(Debug)]
#[must_use = "a batch that is not acknowledged comes again"]
pub struct Batch<M> {
    member: Arc<Member>,
    id: BatchId,
    messages: Vec<Delivered<M>>,
    failed: BTreeMap<Position, String>,
    keeper: Keeper,
}

/// What all batches of a member need.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) shared: Arc<Shared>,
    pub(super) table: LogTable,
    pub(super) group: GroupName,
    pub(super) lease: Duration,
}

impl<M: DeserializeOwned> Batch<M> {
    pub(super) fn new(member: Arc<Member>, id: BatchId, messages: Vec<LoggedMessage>) -> Self {
        let mut failed = BTreeMap::new();
        let decode = |LoggedMessage { position, attempt, sent_at, attributes, body, .. }| {
            let message = from_json(body.as_bytes()).map_err(|error| UndecodableMessage { json: body, error });
            if let Err(error) = &message {
                // Somebody who knows it may be deployed soon; else it is parked in the end.
                failed.insert(position, error.to_string());
            }
            Delivered { position, attempt, sent_at, attributes, message }
        };
        let messages = messages.into_iter().map(decode).collect();
        let keeper = Keeper::start(Arc::clone(&member), id);
        Self { member, id, messages, failed, keeper }
    }
}

impl<M> Batch<M> {
    /// The messages: at least one.
    #[must_use]
    pub fn messages(&self) -> &[Delivered<M>] {
        &self.messages
    }

    /// Says that a message was not done, and why: it is tried again later, or parked if it has failed too often. Those that do
    /// not decode are failed already.
    pub fn fail(&mut self, position: Position, error: impl fmt::Display) {
        self.failed.insert(position, error.to_string());
    }

    /// Says that a message is done after all: one that does not decode and that nobody wants to see again.
    pub fn skip(&mut self, position: Position) {
        self.failed.remove(&position);
    }

    /// The batch is done, but for the messages that were [failed](Self::fail).
    ///
    /// # Errors
    /// The batch is lost, because the connection to the database was lost for longer than the lease, or the group was moved: then
    /// nothing of it is acknowledged. Or the database failed: then nobody knows.
    pub async fn acknowledge(self) -> Result<(), GroupError> {
        let shared = Arc::clone(&self.member.shared);
        shared.run(async |connection| self.acknowledge_on(connection).await).await
    }

    /// The batch is done with the transaction of this connection: with what that writes, each message has its effect exactly once.
    ///
    /// The lease is kept up no longer from here on; until the transaction ends, the batch is locked, and is nobody else's.
    ///
    /// # Errors
    /// Those of [`acknowledge`](Self::acknowledge). The transaction is to be rolled back then.
    pub async fn acknowledge_on(self, connection: &mut PgConnection) -> Result<(), GroupError> {
        let Self { member, id, failed, keeper, .. } = self;
        let failed: Vec<FailedMessage> =
            failed.into_iter().map(|(position, error)| FailedMessage { position, error }).collect();
        let done = statements::acknowledge(connection, &member.table, &member.group, id, &failed).await;
        // Until here: the statement may have had to wait.
        drop(keeper);
        done
    }
}

/// Keeps the lease of a batch up until it is dropped.
#[derive(Debug)]
struct Keeper(JoinHandle<()>);

impl Keeper {
    fn start(member: Arc<Member>, id: BatchId) -> Self {
        Self(tokio::spawn(async move {
            let Member { shared, table, group, lease } = &*member;
            loop {
                sleep(*lease / 3).await;
                let extend =
                    shared.run(async |connection| statements::extend(connection, table, group, id, *lease).await);
                match extend.await {
                    Ok(()) => {}
                    // Whoever acknowledges it is told.
                    Err(GroupError::Lost) => return,
                    Err(error) => {
                        tracing::warn!(%error, log = %table.log(), %group, "a batch's lease was not extended");
                    }
                }
            }
        }))
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.0.abort();
    }
}
