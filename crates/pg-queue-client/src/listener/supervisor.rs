//! Keeping the one listener connection alive.

use std::{sync::Arc, time::Duration};

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
    line::{Fault, Line},
    registry::Registry,
};

/// The pauses between attempts to connect.
const RECONNECT: Backoff = Backoff::Exponential { base: Duration::from_millis(100), max: Duration::from_secs(10) };

/// A connection that ends sooner than this counts as an attempt that failed: whatever ends it at once shall not be met
/// by attempts without a pause.
const STABLE: Duration = Duration::from_secs(1);

/// Serves the listeners of a process until the last of them and the last handle are gone.
///
/// Three states: nobody listens and there is no connection; connected; and waiting to try again. Commands are served in
/// all of them, so that nobody hangs while the server is away.
pub(super) async fn run(address: Address, mut commands: mpsc::UnboundedReceiver<Command>) {
    let mut registry = Registry::default();
    let mut silent = None;
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
        let error = match Line::open(&address, registry.channels(), &mut silent).await {
            Ok(line) => {
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
                        error
                    }
                }
            }
            Err(error) => {
                failures = failures.saturating_add(1);
                let error = Arc::new(error);
                if let Some(command) = first {
                    refuse(command, &mut registry, &error);
                }
                error
            }
        };
        if registry.is_empty() {
            continue;
        }
        tracing::warn!(%error, failures, "listener has no connection");
        if failures > 0 && !pause(RECONNECT.jittered(failures), &mut commands, &mut registry, &error).await {
            return;
        }
    }
}

/// Waits, refusing what cannot be done without a connection. `false` when the last handle is gone.
async fn pause(
    length: Duration,
    commands: &mut mpsc::UnboundedReceiver<Command>,
    registry: &mut Registry,
    error: &Arc<DatabaseError>,
) -> bool {
    let over = sleep(length);
    tokio::pin!(over);
    // Without listeners there is nothing to wait for.
    while !registry.is_empty() {
        tokio::select! {
            () = &mut over => break,
            command = commands.recv() => match command {
                Some(command) => refuse(command, registry, error),
                None => return false,
            },
        }
    }
    true
}

/// What is asked while there is no connection. Wishes are entered only from those who can wait for it.
fn refuse(command: Command, registry: &mut Registry, error: &Arc<DatabaseError>) {
    let refusal = || Err(ListenError::NotConnected(Arc::clone(error)));
    match command {
        Command::Attach { id, subscriber, channels, answer: None } => {
            registry.attach(id, subscriber);
            for channel in &channels {
                registry.listen(id, channel);
            }
        }
        Command::Attach { answer: Some(answer), .. } | Command::Listen { answer, .. } => drop(answer.send(refusal())),
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
