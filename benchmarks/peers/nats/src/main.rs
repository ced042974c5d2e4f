//! NATS through async-nats 0.51.0: one client that publishes and flushes, one that has all subscriptions.

use std::{process::ExitCode, sync::Arc};

use anyhow::{Context, Result};
use async_nats::{Client, ConnectOptions, Event, Subscriber};
use bench_harness::{About, Messenger, Params, Payload, Received};
use futures_util::StreamExt;
use tokio::sync::Notify;

struct Nats {
    client: Client,
    dropped: Arc<Notify>,
}

struct Subscription {
    subscriber: Subscriber,
    /// Messages that found the buffer of a subscription full. The client does not count them.
    dropped: Arc<Notify>,
}

impl Messenger for Nats {
    type Subscription = Subscription;

    fn about() -> About {
        About {
            name: "async-nats 0.51.0 (Rust)".into(),
            settings:
                "one client; awaited are publish and flush: the message is in the socket, and nothing acknowledged"
                    .into(),
            bulk: String::new(),
        }
    }

    async fn open(url: &str, _: usize, _: &Params) -> Result<Self> {
        let dropped = Arc::<Notify>::default();
        let teller = Arc::clone(&dropped);
        let options = ConnectOptions::new().event_callback(move |event| {
            if let Event::SlowConsumer(_) = event {
                teller.notify_one();
            }
            async {}
        });
        Ok(Nats { client: options.connect(url).await?, dropped })
    }

    async fn publish(&self, _: usize, topic: &str, message: &Payload) -> Result<()> {
        self.client.publish(topic.to_owned(), serde_json::to_vec(message)?.into()).await?;
        self.client.flush().await?;
        Ok(())
    }

    async fn subscribe(&self, topic: &str) -> Result<Subscription> {
        let subscriber = self.client.subscribe(topic.to_owned()).await?;
        // The server obeys in order, but is asked only when the buffer is written.
        self.client.flush().await?;
        Ok(Subscription { subscriber, dropped: Arc::clone(&self.dropped) })
    }

    async fn next(subscription: &mut Subscription) -> Result<Received> {
        let message = tokio::select! {
            () = subscription.dropped.notified() => return Ok(Received::Gap),
            message = subscription.subscriber.next() => message.context("the subscription has ended")?,
        };
        Ok(Received::Message(serde_json::from_slice(&message.payload)?))
    }
}

fn main() -> ExitCode {
    bench_harness::main_of_messenger::<Nats>()
}
