//! Serving listeners while there is a connection.

use std::{collections::BTreeSet, time::Duration};

use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval},
};

use super::{
    ListenError,
    hub::{Channel, Command, SubscriberId},
    line::{Fault, Line},
    registry::{Registry, Wish},
};

/// How often a silent connection is asked for a sign of life. With the time it has to give one, this bounds the time
/// until a half-open connection is noticed: 15 s. sqlx has no keepalive of its own.
const PROBE_EVERY: Duration = Duration::from_secs(10);

/// After how many notifications the listeners get a chance to take theirs, long before their buffers are full.
const TURN: u32 = 64;

/// Why a connection is not served any longer.
pub(super) enum End {
    /// Nobody listens.
    Unwanted,
    /// The last handle is gone, and with it the last listener.
    NoHandles,
    /// The connection is lost.
    Fault(Fault),
}

pub(super) struct Connected<'a> {
    line: Line,
    registry: &'a mut Registry,
    /// Channels that the server still sends, though nobody wants them. They are given up one by one between other
    /// things: a listener that leaves thousands of them behind must not hold up the others.
    unwanted: BTreeSet<String>,
}

impl<'a> Connected<'a> {
    pub(super) fn new(line: Line, registry: &'a mut Registry) -> Self {
        Self { line, registry, unwanted: BTreeSet::new() }
    }

    pub(super) fn into_line(self) -> Line {
        self.line
    }

    /// Hands out notifications and obeys commands, beginning with `first`, until there is a reason to end.
    pub(super) async fn serve(
        &mut self,
        first: Option<Command>,
        commands: &mut mpsc::UnboundedReceiver<Command>,
    ) -> End {
        let mut done = match first {
            Some(command) => self.obey(command).await,
            None => Ok(()),
        };
        let mut probe = interval(PROBE_EVERY);
        probe.set_missed_tick_behavior(MissedTickBehavior::Delay);
        probe.reset();
        let mut turn = 0;
        loop {
            match done {
                Ok(()) => {}
                Err(Fault::Refused(error)) => tracing::warn!(%error, "the server refuses something to the listener"),
                Err(fault) => return End::Fault(fault),
            }
            if self.registry.is_empty() {
                return End::Unwanted;
            }
            done = tokio::select! {
                command = commands.recv() => match command {
                    Some(command) => self.obey(command).await,
                    None => return End::NoHandles,
                },
                received = self.line.next() => match received {
                    Ok(notification) => {
                        self.registry.dispatch(notification.channel(), notification.payload());
                        probe.reset();
                        turn = (turn + 1) % TURN;
                        if turn == 0 {
                            tokio::task::yield_now().await;
                        }
                        Ok(())
                    }
                    Err(fault) => Err(fault),
                },
                () = async {}, if !self.unwanted.is_empty() => self.give_up_one().await,
                _ = probe.tick() => self.line.probe().await,
            };
        }
    }

    /// Does what is asked.
    async fn obey(&mut self, command: Command) -> Result<(), Fault> {
        match command {
            Command::Attach { id, subscriber, channels, answer } => {
                self.registry.attach(id, subscriber);
                let listening = self.listen(id, &channels).await;
                match (answer, &listening) {
                    (Some(answer), _) => drop(answer.send(Ok(()))),
                    // It could not wait for the connection, so what came before this moment may have been missed.
                    (None, Ok(())) => self.registry.tell_gap_to(id),
                    (None, Err(Fault::Refused(_))) => {}
                    // Its wishes stand: it is told when there is a connection again, which listens on its channels.
                    (None, Err(_)) => {
                        for channel in &channels {
                            self.registry.listen(id, channel);
                        }
                    }
                }
                listening
            }
            Command::Listen { id, channels, answer } => {
                let listening = self.listen(id, &channels).await;
                drop(answer.send(listening.clone().map_err(|fault| match fault {
                    Fault::Refused(error) => ListenError::Refused(error),
                    fault => ListenError::NotConnected(fault.error()),
                })));
                listening
            }
            Command::Unlisten { id, channel, answer } => {
                match channel {
                    Some(channel) if self.registry.unlisten(id, &channel) => drop(self.unwanted.insert(channel)),
                    Some(_) => {}
                    None => self.unwanted.extend(self.registry.unlisten_all(id)),
                }
                drop(answer.send(Ok(())));
                Ok(())
            }
            Command::Detach { id } => {
                self.unwanted.extend(self.registry.detach(id));
                Ok(())
            }
        }
    }

    /// Enters wishes and tells the server of those that are new to it; takes them back when that fails.
    async fn listen(&mut self, id: SubscriberId, channels: &[Channel]) -> Result<(), Fault> {
        let mut entered = Vec::new();
        let mut new = Vec::new();
        for channel in channels {
            match self.registry.listen(id, channel) {
                Wish::Old => continue,
                // The server has not been told yet that nobody wants it.
                Wish::First if !self.unwanted.remove(&channel.on_server) => new.push(channel.on_server.clone()),
                Wish::First | Wish::Shared => {}
            }
            entered.push(&channel.on_server);
        }
        let listening = self.line.listen(&new).await;
        if listening.is_err() {
            for channel in entered {
                if self.registry.unlisten(id, channel) && !new.contains(channel) {
                    self.unwanted.insert(channel.clone());
                }
            }
        }
        listening
    }

    async fn give_up_one(&mut self) -> Result<(), Fault> {
        match self.unwanted.pop_first() {
            Some(channel) => self.line.unlisten(&channel).await,
            None => Ok(()),
        }
    }
}
