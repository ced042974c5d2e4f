//! Who listens on what.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::mpsc;

use super::{
    Notification, RecvError,
    hub::{Channel, SubscriberId},
};

/// What a subscriber is told.
#[derive(Debug)]
pub(super) enum Event {
    Notification(Notification),
    Gap,
}

impl Event {
    pub(super) fn into_result(self) -> Result<Notification, RecvError> {
        match self {
            Self::Notification(notification) => Ok(notification),
            Self::Gap => Err(RecvError::Gap),
        }
    }
}

/// The supervisor's end of a [`Listener`](super::Listener).
#[derive(Debug)]
pub(super) struct Subscriber {
    pub(super) events: mpsc::Sender<Event>,
    pub(super) lost: Arc<AtomicU64>,
}

impl Subscriber {
    /// Never waits: a full buffer loses the event and counts it. A gap that finds the buffer full is counted as well, so
    /// that the subscriber is told of a loss either way.
    fn tell(&self, event: Event) {
        if let Err(mpsc::error::TrySendError::Full(_)) = self.events.try_send(event) {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// What a new wish to listen means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// The subscriber had it already.
    Old,
    /// Others listen on this channel already.
    Shared,
    /// Nobody else listens on this channel: the server has to be told.
    First,
}

/// All subscribers of a process and their channels.
#[derive(Debug, Default)]
pub(super) struct Registry {
    subscribers: HashMap<SubscriberId, Subscriber>,
    /// By the server's name of the channel: who wants it, and under which name.
    channels: HashMap<String, HashMap<SubscriberId, String>>,
}

impl Registry {
    pub(super) fn attach(&mut self, id: SubscriberId, subscriber: Subscriber) {
        self.subscribers.insert(id, subscriber);
    }

    /// Removes a subscriber. Answers the channels that nobody wants any more.
    pub(super) fn detach(&mut self, id: SubscriberId) -> Vec<String> {
        self.subscribers.remove(&id);
        self.unlisten_all(id)
    }

    /// Enters a wish.
    pub(super) fn listen(&mut self, id: SubscriberId, channel: &Channel) -> Wish {
        let wanted = self.channels.entry(channel.on_server.clone()).or_default();
        let wish = match (wanted.contains_key(&id), wanted.is_empty()) {
            (true, _) => Wish::Old,
            (false, true) => Wish::First,
            (false, false) => Wish::Shared,
        };
        wanted.insert(id, channel.name.clone());
        wish
    }

    /// Takes a wish back. Answers whether nobody wants the channel any more.
    pub(super) fn unlisten(&mut self, id: SubscriberId, channel: &str) -> bool {
        let Some(wanted) = self.channels.get_mut(channel) else { return false };
        wanted.remove(&id);
        let unwanted = wanted.is_empty();
        if unwanted {
            self.channels.remove(channel);
        }
        unwanted
    }

    /// Takes all wishes of a subscriber back. Answers the channels that nobody wants any more.
    pub(super) fn unlisten_all(&mut self, id: SubscriberId) -> Vec<String> {
        let mut unwanted = Vec::new();
        self.channels.retain(|name, wanted| {
            wanted.remove(&id);
            if wanted.is_empty() {
                unwanted.push(name.clone());
            }
            !wanted.is_empty()
        });
        unwanted
    }

    pub(super) fn channels(&self) -> impl Iterator<Item = &str> {
        self.channels.keys().map(String::as_str)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.subscribers.is_empty()
    }

    /// Hands a notification to whoever wants its channel.
    pub(super) fn dispatch(&self, channel: &str, payload: &str) {
        for (id, name) in self.channels.get(channel).into_iter().flatten() {
            if let Some(subscriber) = self.subscribers.get(id) {
                let notification = Notification { channel: name.clone(), payload: payload.to_owned() };
                subscriber.tell(Event::Notification(notification));
            }
        }
    }

    /// Tells one subscriber that notifications may have been missed.
    pub(super) fn tell_gap_to(&self, id: SubscriberId) {
        if let Some(subscriber) = self.subscribers.get(&id) {
            subscriber.tell(Event::Gap);
        }
    }

    /// Tells everybody that notifications may have been missed.
    pub(super) fn tell_gap(&self) {
        for subscriber in self.subscribers.values() {
            subscriber.tell(Event::Gap);
        }
    }
}
