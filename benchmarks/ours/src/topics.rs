//! Messages to topics.

use anyhow::{Context, Result, bail};
use bench_harness::{About, Messenger, Params, Payload, Received};
use futures_util::StreamExt;
use pg_queue::{
    PgQueue,
    topics::{Event, Subscription},
};
use sqlx::postgres::PgPoolOptions;

use crate::CONNECTIONS;

/// A client. Its pool opens a connection when a message is published: who only subscribes has none but the one that listens.
pub(crate) struct Messages(PgQueue);

impl Messenger for Messages {
    type Subscription = Subscription<Payload>;

    fn about() -> About {
        About {
            name: "pg-queue of this tree: topics".into(),
            settings:
                "a pool of 10 connections; awaited is topics.publish, which returns when the notification is committed"
                    .into(),
            bulk: String::new(),
        }
    }

    async fn open(url: &str, _: usize, _: &Params) -> Result<Self> {
        Ok(Messages(PgQueue::new(PgPoolOptions::new().max_connections(CONNECTIONS).connect_lazy(url)?)))
    }

    async fn publish(&self, _: usize, topic: &str, message: &Payload) -> Result<()> {
        Ok(self.0.topics.publish(topic, message).await?)
    }

    async fn subscribe(&self, topic: &str) -> Result<Subscription<Payload>> {
        Ok(self.0.topics.subscribe(topic).await?)
    }

    async fn next(subscription: &mut Subscription<Payload>) -> Result<Received> {
        match subscription.next().await.context("the subscription has ended")? {
            Event::Message(received) => Ok(Received::Message(received.message)),
            Event::Lagged(count) => Ok(Received::Lost(count)),
            Event::Gap => Ok(Received::Gap),
            event => bail!("what was received is no message: {event:?}"),
        }
    }
}
