//! Keeping the one listener connection alive.

use std::{sync::Arc, time::Duration};

use pg_queue_core::{Backoff, DatabaseError, Schema};
use sqlx::{
    Executor,
    postgres::{PgConnectOptions, PgListener, PgPoolOptions},
};
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval, sleep, timeout},
};

use super::{ListenError, hub::Command, registry::Registry};
use crate::connection;

/// How often a silent connection is asked for a sign of life, and how long it may take to give one. Together they bound
/// the time until a half-open connection is noticed: 15 s. sqlx has no keepalive of its own.
const PROBE_EVERY: Duration = Duration::from_secs(10);
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// The pauses between attempts to connect.
const RECONNECT: Backoff = Backoff::Exponential { base: Duration::from_millis(100), max: Duration::from_secs(10) };

/// Serves the listeners of a process until the last of them and the last handle are gone.
///
/// Two states, connected and not. Commands are served in both, so that nobody hangs while the server is away.
pub(super) async fn run(options: PgConnectOptions, schema: Schema, mut commands: mpsc::UnboundedReceiver<Command>) {
    let mut registry = Registry::default();
    let mut was_connected = false;
    let mut failures: u16 = 0;
    loop {
        if registry.is_empty() {
            // Nobody listens: no connection either, until somebody comes.
            was_connected = false;
            let Some(command) = commands.recv().await else { return };
            match connect(&options, &schema, &registry).await {
                Ok(connection) => {
                    failures = 0;
                    let mut connected = Connected { connection, registry: &mut registry };
                    if connected.obey(command).await.is_ok() {
                        let ended = connected.serve(&mut commands).await;
                        if ended {
                            return;
                        }
                    }
                    was_connected = true;
                }
                Err(error) => refuse(command, &mut registry, &Arc::new(error)),
            }
            continue;
        }
        let error = match connect(&options, &schema, &registry).await {
            Ok(connection) => {
                if was_connected || failures > 0 {
                    tracing::info!("listener connected again");
                    registry.tell_gap();
                }
                (was_connected, failures) = (true, 0);
                let connected = Connected { connection, registry: &mut registry };
                if connected.serve(&mut commands).await {
                    return;
                }
                continue;
            }
            Err(error) => Arc::new(error),
        };
        failures = failures.saturating_add(1);
        let pause = RECONNECT.jittered(failures);
        tracing::warn!(%error, failures, ?pause, "listener has no connection");
        let pause = sleep(pause);
        tokio::pin!(pause);
        loop {
            tokio::select! {
                () = &mut pause => break,
                command = commands.recv() => match command {
                    Some(command) => refuse(command, &mut registry, &error),
                    None => return,
                },
            }
        }
    }
}

/// Opens a connection and listens on everything that is wanted.
async fn connect(
    options: &PgConnectOptions,
    schema: &Schema,
    registry: &Registry,
) -> Result<PgListener, DatabaseError> {
    let failed = |error| DatabaseError::new(error, schema);
    // The pool below hides why it cannot connect; this tells it at once.
    drop(connection::connect(options, schema).await?);
    let pool =
        PgPoolOptions::new().max_connections(1).acquire_timeout(PROBE_TIMEOUT).connect_lazy_with(options.clone());
    let mut connection = PgListener::connect_with(&pool).await.map_err(failed)?;
    // Reconnecting is this file's business: only here is everybody told.
    connection.eager_reconnect(false);
    timeout(PROBE_TIMEOUT, connection.listen_all(registry.channels())).await.map_err(no_answer)?.map_err(failed)?;
    Ok(connection)
}

fn no_answer<E>(_: E) -> DatabaseError {
    DatabaseError::Unreachable(std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer"))
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
            registry.unlisten(id, channel.as_deref());
            drop(answer.send(Ok(())));
        }
        Command::Detach { id } => drop(registry.detach(id)),
    }
}

/// The connection was lost.
struct Lost;

struct Connected<'a> {
    connection: PgListener,
    registry: &'a mut Registry,
}

impl Connected<'_> {
    /// Hands out notifications and obeys commands until the connection is lost, nobody listens any more (`false`), or
    /// all handles are gone (`true`).
    async fn serve(mut self, commands: &mut mpsc::UnboundedReceiver<Command>) -> bool {
        let mut probe = interval(PROBE_EVERY);
        probe.set_missed_tick_behavior(MissedTickBehavior::Delay);
        probe.reset();
        while !self.registry.is_empty() {
            tokio::select! {
                command = commands.recv() => match command {
                    Some(command) => if self.obey(command).await.is_err() { return false },
                    None => return true,
                },
                received = self.connection.try_recv() => match received {
                    Ok(Some(notification)) => {
                        self.registry.dispatch(notification.channel(), notification.payload());
                        probe.reset();
                    }
                    Ok(None) => return false,
                    Err(error) => {
                        tracing::warn!(%error, "listener lost its connection");
                        return false;
                    }
                },
                _ = probe.tick() => {
                    let alive = timeout(PROBE_TIMEOUT, self.connection.execute(include_str!("probe.sql"))).await;
                    if !matches!(alive, Ok(Ok(_))) {
                        tracing::warn!("listener's connection does not answer");
                        return false;
                    }
                }
            }
        }
        false
    }

    /// Does what is asked. An error means that the connection is lost.
    async fn obey(&mut self, command: Command) -> Result<(), Lost> {
        match command {
            Command::Attach { id, subscriber, channels, answer } => {
                self.registry.attach(id, subscriber);
                let new: Vec<String> = (channels.iter())
                    .filter(|channel| self.registry.listen(id, channel))
                    .map(|channel| channel.on_server.clone())
                    .collect();
                let listening = self.listen(&new).await;
                if let Some(answer) = answer {
                    drop(answer.send(Ok(())));
                } else {
                    // It could not wait for the connection, so what came before this moment may have been missed.
                    self.registry.tell_gap_to(id);
                }
                listening.map_err(|_| Lost)
            }
            Command::Listen { id, channels, answer } => {
                let new: Vec<String> = (channels.iter())
                    .filter(|channel| self.registry.listen(id, channel))
                    .map(|channel| channel.on_server.clone())
                    .collect();
                match self.listen(&new).await {
                    Ok(()) => {
                        drop(answer.send(Ok(())));
                        Ok(())
                    }
                    Err(error) => {
                        for channel in &channels {
                            self.registry.unlisten(id, Some(&channel.on_server));
                        }
                        drop(answer.send(Err(ListenError::NotConnected(Arc::new(error)))));
                        Err(Lost)
                    }
                }
            }
            Command::Unlisten { id, channel, answer } => {
                let unwanted = self.registry.unlisten(id, channel.as_deref());
                drop(answer.send(Ok(())));
                self.unlisten(unwanted).await
            }
            Command::Detach { id } => {
                let unwanted = self.registry.detach(id);
                self.unlisten(unwanted).await
            }
        }
    }

    async fn listen(&mut self, channels: &[String]) -> Result<(), DatabaseError> {
        if channels.is_empty() {
            return Ok(());
        }
        let listening = self.connection.listen_all(channels.iter().map(String::as_str));
        timeout(PROBE_TIMEOUT, listening)
            .await
            .map_err(no_answer)?
            .map_err(|e| DatabaseError::new(e, &Schema::default()))
    }

    async fn unlisten(&mut self, channels: Vec<String>) -> Result<(), Lost> {
        for channel in channels {
            let done = timeout(PROBE_TIMEOUT, self.connection.unlisten(&channel)).await;
            if !matches!(done, Ok(Ok(()))) {
                return Err(Lost);
            }
        }
        Ok(())
    }
}
