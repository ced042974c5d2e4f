//! Keeping the one listener connection alive.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use pg_queue_core::{Backoff, DatabaseError};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};

use super::{
    ListenError,
    address::Address,
    connected::{Connected, End},
    hub::Command,
    line::{Fault, Line, NotOpen},
    registry::Registry,
};

/// The pauses between attempts to connect.
const RECONNECT: Backoff = Backoff::Exponential { base: Duration::from_millis(100), max: Duration::from_secs(10) };

/// A connection that ends sooner than this counts as an attempt that failed: whatever ends it at once shall not be met
/// by attempts without a pause.
const STABLE: Duration = Duration::from_secs(1);

/// How long nothing is tried after notifications have not arrived. Somebody has to change an address or a pooler before they do.
const UNHEARD: Duration = Duration::from_secs(300);

/// Why there is no connection.
enum Why {
    Error(Arc<DatabaseError>),
    /// A pooler swallows what is sent to listeners.
    Unheard,
}

impl Why {
    fn refusal(&self) -> ListenError {
        match self {
            Self::Error(error) => ListenError::NotConnected(Arc::clone(error)),
            Self::Unheard => ListenError::Unheard,
        }
    }
}

/// Serves the listeners of a process until the last of them and the last handle are gone.
///
/// Three states: nobody listens and there is no connection; connected; and waiting to try again. Commands are served in
/// all of them, so that nobody hangs while the server is away. `deaf` tells others that notifications do not arrive.
pub(super) async fn run(address: Address, mut commands: mpsc::UnboundedReceiver<Command>, deaf: Arc<AtomicBool>) {
    let mut registry = Registry::default();
    let mut silent = None;
    let mut unheard_until: Option<Instant> = None;
    let mut failures: u16 = 0;
    loop {
        let mut first = None;
        if registry.is_empty() {
            failures = 0;
            match commands.recv().await {
                Some(command @ Command::Attach { .. }) => first = Some(command),
                // From a listener that was refused, and is gone.
                Some(_) => continue,
                None => return,
            }
        }
        let line = if unheard_until.is_some_and(|until| until > Instant::now()) {
            Err(NotOpen::Unheard)
        } else {
            Line::open(&address, registry.channels(), &mut silent).await
        };
        let why = match line {
            Ok(line) => {
                deaf.store(false, Relaxed);
                let opened = Instant::now();
                if first.is_none() {
                    tracing::info!("listener connected again");
                    registry.tell_gap();
                }
                let mut connected = Connected::new(line, &mut registry);
                match connected.serve(first, &mut commands).await {
                    End::Unwanted => continue,
                    End::NoHandles => return,
                    End::Fault(fault) => {
                        let error = fault.error();
                        if matches!(fault, Fault::Silent) {
                            silent = Some(connected.into_line());
                        }
                        failures = u16::from(opened.elapsed() < STABLE);
                        Why::Error(error)
                    }
                }
            }
            Err(why) => {
                let why = match why {
                    NotOpen::Failed(error) => {
                        failures = failures.saturating_add(1);
                        Why::Error(Arc::new(error))
                    }
                    NotOpen::Unheard => {
                        if unheard_until.is_none_or(|until| until <= Instant::now()) {
                            unheard_until = Some(Instant::now() + UNHEARD);
                        }
                        if !deaf.swap(true, Relaxed) {
                            tracing::warn!(
                                "notifications do not arrive: the listener goes through a pooler that hands out connections by \
                                 transaction. Jobs and replies are found by polling; give the builder a `listener_url` that \
                                 goes past the pooler"
                            );
                        }
                        Why::Unheard
                    }
                };
                if let Some(command) = first {
                    refuse(command, &mut registry, &why);
                }
                why
            }
        };
        if registry.is_empty() {
            continue;
        }
        let rest = match &why {
            Why::Error(error) => {
                tracing::warn!(%error, failures, "listener has no connection");
                (failures > 0).then(|| RECONNECT.jittered(failures))
            }
            Why::Unheard => unheard_until.map(|until| until.saturating_duration_since(Instant::now())),
        };
        if let Some(rest) = rest
            && !pause(rest, &mut commands, &mut registry, &why).await
        {
            return;
        }
    }
}

/// Waits, refusing what cannot be done without a connection. `false` when the last handle is gone.
async fn pause(
    length: Duration,
    commands: &mut mpsc::UnboundedReceiver<Command>,
    registry: &mut Registry,
    why: &Why,
) -> bool {
    let over = sleep(length);
    tokio::pin!(over);
    // Without listeners there is nothing to wait for.
    while !registry.is_empty() {
        tokio::select! {
            () = &mut over => break,
            command = commands.recv() => match command {
                Some(command) => refuse(command, registry, why),
                None => return false,
            },
        }
    }
    true
}

/// What is asked while there is no connection. Wishes are entered only from those who can wait for it.
fn refuse(command: Command, registry: &mut Registry, why: &Why) {
    match command {
        Command::Attach { id, subscriber, channels, answer: None } => {
            registry.attach(id, subscriber);
            for channel in &channels {
                registry.listen(id, channel);
            }
        }
        Command::Attach { answer: Some(answer), .. } | Command::Listen { answer, .. } => {
            drop(answer.send(Err(why.refusal())));
        }
        Command::Unlisten { id, channel, answer } => {
            match channel {
                Some(channel) => drop(registry.unlisten(id, &channel)),
                None => drop(registry.unlisten_all(id)),
            }
            drop(answer.send(Ok(())));
        }
        Command::Detach { id } => drop(registry.detach(id)),
    }
}
