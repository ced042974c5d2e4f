//! PostgreSQL's own notifications, as an application sends and receives them that has nothing else: one for each message.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use anyhow::Result;
use bench_baselines::Connections;
use bench_harness::{About, Messenger, Params, Payload, Received};
use sqlx::postgres::PgListener;

struct Notify {
    url: String,
    connections: Connections,
}

impl Messenger for Notify {
    type Subscription = PgListener;

    fn about() -> About {
        About {
            name: "pg_notify through sqlx".into(),
            settings:
                "a prepared statement and a connection for each task, a connection for each subscriber; awaited is the \
                commit"
                    .into(),
            bulk: String::new(),
        }
    }

    async fn open(url: &str, tasks: usize, _: &Params) -> Result<Self> {
        Ok(Notify { url: url.to_owned(), connections: Connections::open(url, tasks).await? })
    }

    async fn publish(&self, task: usize, topic: &str, message: &Payload) -> Result<()> {
        let notify = sqlx::query("select pg_notify($1, $2)").bind(topic).bind(serde_json::to_string(message)?);
        notify.execute(&mut *self.connections.of(task).await).await?;
        Ok(())
    }

    async fn subscribe(&self, topic: &str) -> Result<PgListener> {
        let mut listener = PgListener::connect(&self.url).await?;
        listener.listen(topic).await?;
        Ok(listener)
    }

    async fn next(listener: &mut PgListener) -> Result<Received> {
        Ok(match listener.try_recv().await? {
            Some(notification) => Received::Message(serde_json::from_str(notification.payload())?),
            None => Received::Gap,
        })
    }
}

fn main() -> ExitCode {
    bench_harness::main_of_messenger::<Notify>()
}
