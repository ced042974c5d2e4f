//! Redis through redis-rs 1.8.1: PUBLISH over one multiplexed connection, and a connection for each subscriber.

use std::process::ExitCode;

use anyhow::{Context, Result};
use bench_harness::{About, Messenger, Params, Payload, Received};
use futures_util::StreamExt;
use redis::{
    Client,
    aio::{MultiplexedConnection, PubSub},
};

struct Redis {
    client: Client,
    connection: MultiplexedConnection,
}

impl Messenger for Redis {
    type Subscription = PubSub;

    fn about() -> About {
        About {
            name: "redis 1.8.1 (Rust)".into(),
            settings: "one multiplexed connection, one for each subscriber; awaited is the answer to PUBLISH".into(),
            bulk: String::new(),
        }
    }

    async fn open(url: &str, _: usize, _: &Params) -> Result<Self> {
        let client = Client::open(url)?;
        let connection = client.get_multiplexed_async_connection().await?;
        Ok(Redis { client, connection })
    }

    async fn publish(&self, _: usize, topic: &str, message: &Payload) -> Result<()> {
        let body = serde_json::to_string(message)?;
        let mut connection = self.connection.clone();
        let _: i64 = redis::cmd("PUBLISH").arg(topic).arg(body).query_async(&mut connection).await?;
        Ok(())
    }

    async fn subscribe(&self, topic: &str) -> Result<PubSub> {
        let mut subscription = self.client.get_async_pubsub().await?;
        subscription.subscribe(topic).await?;
        Ok(subscription)
    }

    /// The server cuts off who is too slow: then this is an error.
    async fn next(subscription: &mut PubSub) -> Result<Received> {
        let message = subscription.on_message().next().await.context("the server has cut it off")?;
        Ok(Received::Message(serde_json::from_slice(message.get_payload_bytes())?))
    }
}

fn main() -> ExitCode {
    bench_harness::main_of_messenger::<Redis>()
}
