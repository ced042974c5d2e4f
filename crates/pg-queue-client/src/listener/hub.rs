//! The way from a handle to the supervisor of its connection.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use pg_queue_core::topics::{InvalidChannel, server_channel};
use tokio::sync::{mpsc, oneshot};

use super::{ListenError, Listener, address::Address, registry::Subscriber, supervisor};

/// How many notifications a listener holds that were not yet received.
const BUFFER: usize = 4096;

/// A listener's number within the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct SubscriberId(u64);

/// A channel under both of its names.
#[derive(Debug, Clone)]
pub(super) struct Channel {
    pub(super) name: String,
    pub(super) on_server: String,
}

impl Channel {
    pub(super) fn new(name: &str) -> Result<Self, InvalidChannel> {
        Ok(Self { name: name.to_owned(), on_server: server_channel(name)?.into_owned() })
    }
}

/// Where the supervisor says whether it did what it was asked.
pub(super) type Answer = oneshot::Sender<Result<(), ListenError>>;

/// What the supervisor is asked.
#[derive(Debug)]
pub(super) enum Command {
    /// Enters a subscriber. With an answer it is entered only if there is a connection; without one in any case.
    Attach {
        id: SubscriberId,
        subscriber: Subscriber,
        channels: Vec<Channel>,
        answer: Option<Answer>,
    },
    Listen {
        id: SubscriberId,
        channels: Vec<Channel>,
        answer: Answer,
    },
    Unlisten {
        id: SubscriberId,
        channel: Option<String>,
        answer: Answer,
    },
    Detach {
        id: SubscriberId,
    },
}

/// Starts the supervisor when it is first needed, and again when the runtime that drove it has ended.
#[derive(Debug)]
pub(crate) struct Hub {
    address: Address,
    commands: Mutex<Option<mpsc::UnboundedSender<Command>>>,
    next_id: AtomicU64,
    deaf: Arc<AtomicBool>,
}

impl Hub {
    pub(crate) fn new(address: Address) -> Self {
        Self { address, commands: Mutex::default(), next_id: AtomicU64::new(0), deaf: Arc::default() }
    }

    /// Whether it is known that notifications do not arrive.
    pub(crate) fn is_deaf(&self) -> bool {
        self.deaf.load(Ordering::Relaxed)
    }

    /// A listener, if there is a connection.
    pub(crate) async fn attach(&self) -> Result<Listener, ListenError> {
        let (answer, answered) = oneshot::channel();
        let listener = self.enter(Vec::new(), Some(answer))?;
        answered.await.map_err(|_| ListenError::Closed)??;
        Ok(listener)
    }

    /// A listener, now or whenever there is a connection.
    pub(crate) fn attach_in_background(&self, channels: &[&str]) -> Result<Listener, ListenError> {
        let channels = channels.iter().map(|name| Channel::new(name)).collect::<Result<_, _>>()?;
        self.enter(channels, None)
    }

    fn enter(&self, channels: Vec<Channel>, answer: Option<Answer>) -> Result<Listener, ListenError> {
        let id = SubscriberId(self.next_id.fetch_add(1, Ordering::Relaxed));
        let (sender, events) = mpsc::channel(BUFFER);
        let lost = Arc::new(AtomicU64::new(0));
        let subscriber = Subscriber { events: sender, lost: Arc::clone(&lost) };
        let commands = self.commands();
        commands.send(Command::Attach { id, subscriber, channels, answer }).map_err(|_| ListenError::Closed)?;
        Ok(Listener { id, commands, events, lost })
    }

    fn commands(&self) -> mpsc::UnboundedSender<Command> {
        let mut running = self.commands.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(commands) = running.as_ref().filter(|commands| !commands.is_closed()) {
            return commands.clone();
        }
        let (commands, receiver) = mpsc::unbounded_channel();
        tokio::spawn(supervisor::run(self.address.clone(), receiver, Arc::clone(&self.deaf)));
        *running = Some(commands.clone());
        commands
    }
}
