//! Notifications to whoever listens. Needs PostgreSQL's programs, or `DATABASE_URL`.

use std::time::Duration;

use pg_queue::{PgQueue, RecvError};
use pg_queue_embedded::{Database, Server, Settings};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let server = Server::from_env_or_start(Settings::for_tests())?;
    let database = Database::create(&server).await?;
    let mgr = PgQueue::new(database.pool().await?);

    // Any number of listeners share one connection of this process.
    let mut orders = mgr.create_listener().await?;
    orders.listen("orders").await?;
    let mut everything = mgr.create_listener().await?;
    everything.listen_all(["orders", "users"]).await?;

    mgr.notify.notify("orders", "order 17 was paid").await?;
    mgr.notify.notify("users", "ada has signed up").await?;

    let paid = orders.recv().await?;
    println!("orders listener: {} on {}", paid.payload, paid.channel);
    for _ in 0..2 {
        // After a lost connection `recv` says so once; whoever keeps state by notifications looks at the tables again.
        match everything.recv().await {
            Ok(message) => println!("listener of everything: {} on {}", message.payload, message.channel),
            Err(RecvError::Gap) => println!("something may have been missed: looking again"),
            Err(error) => return Err(error.into()),
        }
    }
    orders.unlisten("orders").await?;
    mgr.notify.notify("orders", "nobody hears this").await?;
    anyhow::ensure!(orders.recv_timeout(Duration::from_millis(100)).await?.is_none());
    println!("after unlisten: silence");
    Ok(())
}
