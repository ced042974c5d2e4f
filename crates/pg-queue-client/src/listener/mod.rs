//! Receiving notifications over the one connection of a process.

mod address;
mod connected;
mod hub;
mod line;
mod pooled;
mod registry;
mod supervisor;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use pg_queue_core::{
    DatabaseError,
    topics::{InvalidChannel, server_channel},
};
use tokio::sync::{mpsc, oneshot};

pub(crate) use self::{address::Address, hub::Hub};
use self::{
    hub::{Answer, Channel, Command, SubscriberId},
    registry::Event,
};

/// A notification that was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// The channel, as it was given to [`Listener::listen`].
    pub channel: String,
    /// What was sent.
    pub payload: String,
}

/// Receives notifications.
///
/// All listeners of a process share one connection. It is supervised: after any kind of error it is opened again, with
/// growing pauses, and listens on the same channels as before. What was sent in between is lost, and each listener is
/// told so: [`recv`](Self::recv) answers [`RecvError::Gap`] once, and whoever keeps state by notifications looks at the
/// tables again. A connection that is dead without an error is noticed within 15 s.
///
/// A listener holds up to 4,096 notifications that were not yet received; then it loses the newest and says how many
/// ([`RecvError::Lagged`]). One slow listener does not hold up another.
#[derive(Debug)]
pub struct Listener {
    id: SubscriberId,
    commands: mpsc::UnboundedSender<Command>,
    events: mpsc::Receiver<Event>,
    lost: Arc<AtomicU64>,
}

impl Listener {
    /// Starts to receive what is sent on `channel`. When this returns, nothing sent from then on is missed.
    ///
    /// # Errors
    /// The name is empty or holds a NUL, or there is no connection at the moment.
    pub async fn listen(&mut self, channel: &str) -> Result<(), ListenError> {
        self.listen_all([channel]).await
    }

    /// Starts to receive what is sent on each of `channels`. When the future is dropped, it may do so all the same.
    ///
    /// # Errors
    /// A name is empty or holds a NUL, or there is no connection at the moment. Then nothing has changed.
    pub async fn listen_all<'n>(&mut self, channels: impl IntoIterator<Item = &'n str>) -> Result<(), ListenError> {
        let channels = channels.into_iter().map(Channel::new).collect::<Result<Vec<_>, _>>()?;
        self.ask(|id, answer| Command::Listen { id, channels, answer }).await
    }

    /// Stops to receive what is sent on `channel`. What was received already can still be taken.
    ///
    /// # Errors
    /// The name is empty or holds a NUL.
    pub async fn unlisten(&mut self, channel: &str) -> Result<(), ListenError> {
        let channel = server_channel(channel)?.into_owned();
        self.ask(|id, answer| Command::Unlisten { id, channel: Some(channel), answer }).await
    }

    /// Stops to receive anything.
    ///
    /// # Errors
    /// The runtime that drives the connection has ended.
    pub async fn unlisten_all(&mut self) -> Result<(), ListenError> {
        self.ask(|id, answer| Command::Unlisten { id, channel: None, answer }).await
    }

    /// Waits for the next notification. Cancel safe: nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// Notifications were or may have been lost, which the next call goes on from; or the runtime has ended.
    pub async fn recv(&mut self) -> Result<Notification, RecvError> {
        self.check_lost()?;
        match self.events.recv().await {
            Some(event) => event.into_result(),
            None => Err(RecvError::Closed),
        }
    }

    /// Waits for the next notification, at most for `timeout`; `None` when there was none.
    ///
    /// # Errors
    /// Those of [`recv`](Self::recv).
    pub async fn recv_timeout(&mut self, timeout: Duration) -> Result<Option<Notification>, RecvError> {
        match tokio::time::timeout(timeout, self.recv()).await {
            Ok(received) => received.map(Some),
            Err(_) => Ok(None),
        }
    }

    /// The next notification if it is here already.
    ///
    /// # Errors
    /// Those of [`recv`](Self::recv).
    pub fn try_recv(&mut self) -> Result<Option<Notification>, RecvError> {
        self.check_lost()?;
        match self.events.try_recv() {
            Ok(event) => event.into_result().map(Some),
            Err(mpsc::error::TryRecvError::Empty) => Ok(None),
            Err(mpsc::error::TryRecvError::Disconnected) => Err(RecvError::Closed),
        }
    }

    fn check_lost(&self) -> Result<(), RecvError> {
        match self.lost.swap(0, Ordering::Relaxed) {
            0 => Ok(()),
            lost => Err(RecvError::Lagged(lost)),
        }
    }

    async fn ask(&self, command: impl FnOnce(SubscriberId, Answer) -> Command) -> Result<(), ListenError> {
        let (answer, answered) = oneshot::channel();
        self.commands.send(command(self.id, answer)).map_err(|_| ListenError::Closed)?;
        answered.await.map_err(|_| ListenError::Closed)?
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // Nobody to tell when the supervisor has ended.
        drop(self.commands.send(Command::Detach { id: self.id }));
    }
}

/// Why a listener does not listen.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// The channel's name cannot be used.
    #[error(transparent)]
    InvalidChannel(#[from] InvalidChannel),
    /// There is no connection. It is being tried again; call again later.
    #[error("the listener has no connection: {0}")]
    NotConnected(#[source] Arc<DatabaseError>),
    /// The server does not let this connection listen, as on a standby.
    #[error("the server refuses to listen: {0}")]
    Refused(#[source] Arc<DatabaseError>),
    /// The connection goes through a pooler that hands out server connections by transaction: the server notifies, and nobody
    /// hears it.
    #[error(
        "notifications do not arrive: the listener's connection goes through a pooler by transaction; give the builder a \
         `listener_url` that goes past it"
    )]
    Unheard,
    /// The runtime that drives the connection has ended.
    #[error("the listener's connection has ended with the runtime that drove it")]
    Closed,
}

/// Why there is no notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecvError {
    /// The connection was lost and is there again: what was sent in between is lost. Look at the tables again and go on.
    #[error("the connection was lost for a while: notifications may have been missed")]
    Gap,
    /// This listener took its notifications too slowly; so many were thrown away. Look at the tables again and go on.
    #[error("{0} notifications were thrown away, because this listener took them too slowly")]
    Lagged(u64),
    /// The runtime that drives the connection has ended.
    #[error("the listener's connection has ended with the runtime that drove it")]
    Closed,
}
