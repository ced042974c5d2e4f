//! What must be able to carry messages to be measured.

use anyhow::Result;

use crate::{About, Params, Payload};

/// What a subscriber receives.
#[derive(Debug)]
pub enum Received {
    /// A message.
    Message(Payload),
    /// So many messages were lost, as the subscriber is told.
    Lost(u64),
    /// Messages may have been lost, as the subscriber is told; how many, nobody knows.
    Gap,
}

/// Publishers and subscribers, as far as they are put to work here. One value is one client, of either kind.
pub trait Messenger: Sized + Send + Sync + 'static {
    /// A subscriber's end.
    type Subscription: Send + 'static;

    /// Says who it is, and what a publisher has awaited when a call has returned.
    fn about() -> About;

    /// Makes what it needs on an empty server, where it needs anything.
    fn setup(url: &str, params: &Params) -> impl Future<Output = Result<()>> + Send {
        let _ = (url, params);
        async { Ok(()) }
    }

    /// Connects, or will when there is something to do. So many tasks will publish: none where there are subscribers.
    fn open(url: &str, tasks: usize, params: &Params) -> impl Future<Output = Result<Self>> + Send;

    /// Publishes one message, as an application does that wants to know that it is on its way; `task` is the one that calls,
    /// counted from 0.
    fn publish(&self, task: usize, topic: &str, message: &Payload) -> impl Future<Output = Result<()>> + Send;

    /// Subscribes to one topic. When this returns, nothing sent from then on is missed.
    fn subscribe(&self, topic: &str) -> impl Future<Output = Result<Self::Subscription>> + Send;

    /// Waits for the next message, or for being told that there was one.
    fn next(subscription: &mut Self::Subscription) -> impl Future<Output = Result<Received>> + Send;
}
