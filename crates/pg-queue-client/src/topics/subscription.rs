//! A subscriber's end.

use std::{
    marker::PhantomData,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
};

use futures_util::Stream;
use pg_queue_core::{from_json, topics::InvalidTopic};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

use super::{
    event::{Event, Received, Undecodable},
    switchboard::{Arrived, Leaving},
};
use crate::ListenError;

/// Receives the messages of one subscription, as a stream of [`Event`]s. It ends only with the runtime that drives the listener
/// connection. Dropping it ends the subscription.
#[derive(Debug)]
#[must_use = "dropping it ends the subscription"]
pub struct Subscription<M> {
    arrived: mpsc::Receiver<Arrived>,
    lost: Arc<AtomicU64>,
    // Tells the switchboard when it is dropped.
    _leaving: Leaving,
    messages: PhantomData<fn() -> M>,
}

impl<M> Subscription<M> {
    pub(super) fn new(arrived: mpsc::Receiver<Arrived>, lost: Arc<AtomicU64>, leaving: Leaving) -> Self {
        Self { arrived, lost, _leaving: leaving, messages: PhantomData }
    }
}

impl<M: DeserializeOwned> Stream for Subscription<M> {
    type Item = Event<M>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event<M>>> {
        // Before what is there: that was sent earlier, but whoever has lost something is to know it soon.
        match self.lost.swap(0, Relaxed) {
            0 => {}
            lost => return Poll::Ready(Some(Event::Lagged(lost))),
        }
        self.arrived.poll_recv(context).map(|arrived| arrived.map(decode))
    }
}

fn decode<M: DeserializeOwned>(arrived: Arrived) -> Event<M> {
    let Arrived::Message(topic, attributes, body) = arrived else { return Event::Gap };
    match from_json(body.as_bytes()) {
        Ok(message) => {
            let attributes = attributes.map(Arc::unwrap_or_clone).unwrap_or_default();
            Event::Message(Received { topic, message, attributes })
        }
        Err(error) => Event::Undecodable(Undecodable { topic, json: String::from(&*body), error }),
    }
}

/// Why a subscription was not made.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum SubscribeError {
    /// The pattern breaks the rule.
    #[error(transparent)]
    InvalidTopic(#[from] InvalidTopic),
    /// There is no connection to listen on.
    #[error(transparent)]
    Listen(#[from] ListenError),
}
