//! From the notifications of a process to its subscriptions.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use pg_queue_core::topics::{self as statements, Attributes, Body, Carried, Topic, TopicPattern, channels, unpack};
use serde::de::DeserializeOwned;
use sqlx::PgConnection;
use tokio::{
    sync::{
        mpsc::{self, error::TrySendError},
        oneshot,
    },
    task::yield_now,
};

use super::subscription::{SubscribeError, Subscription};
use crate::{ListenError, Listener, RecvError, shared::Shared};

/// How many messages a subscription holds that were not yet taken.
const BUFFER: usize = 4096;

/// After how many messages those who receive them get a chance to take theirs: a notification carries hundreds of short ones, and
/// tokio lets a task take 128 from a channel before it is another one's turn.
const TURN: usize = 100;

/// What a subscription is told. Cheap to clone: one message may go to thousands.
#[derive(Debug, Clone)]
pub(super) enum Arrived {
    Message(Topic, Option<Arc<Attributes>>, Arc<str>),
    Gap,
}

/// Starts the task that hands messages out when somebody subscribes, and again when it has ended.
#[derive(Debug, Default)]
pub(crate) struct Switchboard {
    orders: Mutex<Option<mpsc::UnboundedSender<Order>>>,
    next_id: AtomicU64,
}

/// What the task is asked.
#[derive(Debug)]
enum Order {
    Subscribe {
        id: u64,
        subscriber: Subscriber,
        answer: oneshot::Sender<Result<(), ListenError>>,
    },
    Leave(u64),
    /// A long message, or nothing if it is gone.
    Fetched(Topic, Attributes, Option<String>),
}

#[derive(Debug)]
struct Subscriber {
    pattern: TopicPattern,
    channels: Vec<String>,
    arrived: mpsc::Sender<Arrived>,
    lost: Arc<AtomicU64>,
}

impl Subscriber {
    /// Never waits: what finds the buffer full is lost, and counted.
    fn tell(&self, arrived: Arrived) {
        if let Err(TrySendError::Full(_)) = self.arrived.try_send(arrived) {
            self.lost.fetch_add(1, Relaxed);
        }
    }
}

/// Ends a subscription when it is dropped.
#[derive(Debug)]
pub(super) struct Leaving {
    id: u64,
    orders: mpsc::UnboundedSender<Order>,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        // Nobody to tell when the task has ended.
        drop(self.orders.send(Order::Leave(self.id)));
    }
}

impl Switchboard {
    pub(super) async fn subscribe<M: DeserializeOwned>(
        &self,
        shared: &Arc<Shared>,
        pattern: TopicPattern,
    ) -> Result<Subscription<M>, SubscribeError> {
        let (sender, arrived) = mpsc::channel(BUFFER);
        let (answer, answered) = oneshot::channel();
        let lost = Arc::<AtomicU64>::default();
        let id = self.next_id.fetch_add(1, Relaxed);
        let channels = channels(&shared.schema, &pattern);
        let subscriber = Subscriber { pattern, channels, arrived: sender, lost: Arc::clone(&lost) };
        let orders = self.order(shared, Order::Subscribe { id, subscriber, answer });
        // From here on it leaves, also if this call is given up.
        let subscription = Subscription::new(arrived, lost, Leaving { id, orders });
        answered.await.map_err(|_| ListenError::Closed)??;
        Ok(subscription)
    }

    fn order(&self, shared: &Arc<Shared>, order: Order) -> mpsc::UnboundedSender<Order> {
        let mut running = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        let order = match &*running {
            Some(orders) => match orders.send(order) {
                Ok(()) => return orders.clone(),
                Err(mpsc::error::SendError(order)) => order,
            },
            None => order,
        };
        let (orders, receiver) = mpsc::unbounded_channel();
        let sent = orders.send(order);
        debug_assert!(sent.is_ok(), "its receiver is here");
        *running = Some(orders.clone());
        drop(running);
        let exchange = Exchange { shared: Arc::clone(shared), orders: orders.downgrade(), board: Board::default() };
        tokio::spawn(exchange.run(receiver));
        orders
    }

    /// The task has nobody left and wants to end. Answers whether it may.
    fn end(&self, orders: &mut mpsc::UnboundedReceiver<Order>) -> Option<Order> {
        let mut running = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        match orders.try_recv() {
            Ok(order) => Some(order),
            Err(_) => {
                *running = None;
                None
            }
        }
    }
}

/// Who wants what.
#[derive(Debug, Default)]
struct Board {
    subscribers: HashMap<u64, Subscriber>,
    /// By topic, of those that want a single one: a thousand of them cost a message no more than one.
    exact: HashMap<Topic, Vec<u64>>,
    patterns: Vec<u64>,
    /// How many subscribers each channel has.
    channels: HashMap<String, usize>,
}

impl Board {
    fn enter(&mut self, id: u64, subscriber: Subscriber) {
        match subscriber.pattern.topic() {
            Some(topic) => self.exact.entry(topic).or_default().push(id),
            None => self.patterns.push(id),
        }
        for channel in &subscriber.channels {
            *self.channels.entry(channel.clone()).or_default() += 1;
        }
        self.subscribers.insert(id, subscriber);
    }

    /// Answers the channels that nobody wants any more.
    fn leave(&mut self, id: u64) -> Vec<String> {
        let Some(subscriber) = self.subscribers.remove(&id) else { return Vec::new() };
        match subscriber.pattern.topic() {
            Some(topic) => {
                if let Some(ids) = self.exact.get_mut(&topic) {
                    ids.retain(|other| *other != id);
                    if ids.is_empty() {
                        self.exact.remove(&topic);
                    }
                }
            }
            None => self.patterns.retain(|other| *other != id),
        }
        let mut unwanted = Vec::new();
        for channel in subscriber.channels {
            let Some(count) = self.channels.get_mut(&channel) else { continue };
            *count -= 1;
            if *count == 0 {
                self.channels.remove(&channel);
                unwanted.push(channel);
            }
        }
        unwanted
    }

    fn wanting(&self, topic: &Topic) -> impl Iterator<Item = &Subscriber> {
        let exact = self.exact.get(topic).into_iter().flatten().filter_map(|id| self.subscribers.get(id));
        let patterns = self.patterns.iter().filter_map(|id| self.subscribers.get(id));
        exact.chain(patterns.filter(|subscriber| subscriber.pattern.matches(topic.as_str())))
    }

    fn tell(&self, topic: &Topic, attributes: Attributes, body: &str) {
        let attributes = (!attributes.is_empty()).then(|| Arc::new(attributes));
        let arrived = Arrived::Message(topic.clone(), attributes, Arc::from(body));
        self.wanting(topic).for_each(|it| it.tell(arrived.clone()));
    }

    fn tell_gap(&self) {
        self.subscribers.values().for_each(|subscriber| subscriber.tell(Arrived::Gap));
    }
}

/// The task.
struct Exchange {
    shared: Arc<Shared>,
    orders: mpsc::WeakUnboundedSender<Order>,
    board: Board,
}

impl Exchange {
    async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Order>) {
        let mut listener: Option<Listener> = None;
        let mut in_turn = 0;
        loop {
            let order = tokio::select! {
                biased;
                order = orders.recv() => order,
                received = receive(&mut listener) => {
                    match received {
                        Ok(payload) => {
                            in_turn += self.hand_out(&payload);
                            while in_turn >= TURN {
                                in_turn -= TURN;
                                yield_now().await;
                            }
                        }
                        Err(RecvError::Gap | RecvError::Lagged(_)) => self.board.tell_gap(),
                        // The runtime ends. Subscriptions end with this task.
                        Err(RecvError::Closed) => return,
                    }
                    continue;
                }
            };
            let mut next = order;
            while let Some(order) = next.take() {
                self.obey(order, &mut listener).await;
                if self.board.subscribers.is_empty() {
                    match self.shared.switchboard.end(&mut orders) {
                        Some(order) => next = Some(order),
                        None => return,
                    }
                }
            }
        }
    }

    async fn obey(&mut self, order: Order, listener: &mut Option<Listener>) {
        match order {
            Order::Subscribe { id, subscriber, answer } => {
                let listening = self.listen(listener, &subscriber.channels).await;
                if listening.is_ok() {
                    self.board.enter(id, subscriber);
                }
                // One who has gone away says so by itself.
                drop(answer.send(listening));
            }
            Order::Leave(id) => {
                for channel in self.board.leave(id) {
                    if let Some(listener) = listener
                        && let Err(error) = listener.unlisten(&channel).await
                    {
                        tracing::debug!(%error, "a channel without subscribers is still listened to");
                    }
                }
            }
            Order::Fetched(topic, attributes, Some(body)) => self.board.tell(&topic, attributes, &body),
            Order::Fetched(topic, _, None) => self.board.wanting(&topic).for_each(|it| it.tell(Arrived::Gap)),
        }
    }

    async fn listen(&self, listener: &mut Option<Listener>, channels: &[String]) -> Result<(), ListenError> {
        let open = match listener {
            Some(listener) => listener,
            None => listener.insert(self.shared.hub.attach().await?),
        };
        let new = channels.iter().filter(|channel| !self.board.channels.contains_key(*channel));
        open.listen_all(new.map(String::as_str)).await
    }

    /// Answers how many messages there were.
    fn hand_out(&self, payload: &str) -> usize {
        let mut count = 0;
        for carried in unpack(payload) {
            let handed = carried.and_then(|carried| self.hand_out_one(&carried));
            if handed.is_none() {
                tracing::warn!(
                    "a notification could not be read: another version of pg-queue has sent it, or somebody else"
                );
                self.board.tell_gap();
                break;
            }
            count += 1;
        }
        count
    }

    /// `None` when it cannot be read.
    fn hand_out_one(&self, carried: &Carried<'_>) -> Option<()> {
        let Ok(topic) = Topic::new(carried.topic) else { return Some(()) };
        if self.board.wanting(&topic).next().is_none() {
            return Some(());
        }
        let attributes = carried.attributes()?;
        match carried.body {
            Body::Inline(body) => self.board.tell(&topic, attributes, body),
            Body::Stored(id) => self.fetch(topic, attributes, id),
        }
        Some(())
    }

    /// Fetches a long message, beside what else arrives.
    fn fetch(&self, topic: Topic, attributes: Attributes, id: i64) {
        let (shared, orders) = (Arc::clone(&self.shared), self.orders.clone());
        tokio::spawn(async move {
            let fetch =
                async |connection: &mut PgConnection| statements::fetch(connection, &shared.schema, &[id]).await;
            let body = match shared.run(fetch).await {
                Ok(rows) => rows.into_iter().next().map(|(_, body)| body),
                Err(error) => {
                    tracing::warn!(%error, %topic, "a long message could not be fetched");
                    None
                }
            };
            if let Some(orders) = orders.upgrade() {
                // The task may have ended, with the last subscription.
                drop(orders.send(Order::Fetched(topic, attributes, body)));
            }
        });
    }
}

/// The next notification, once there is a listener.
async fn receive(listener: &mut Option<Listener>) -> Result<String, RecvError> {
    match listener {
        Some(listener) => listener.recv().await.map(|notification| notification.payload),
        None => std::future::pending().await,
    }
}
