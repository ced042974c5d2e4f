//! Values with a time to live, loaded once. Needs PostgreSQL's programs, or `DATABASE_URL`.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use pg_queue::PgQueue;
use pg_queue_embedded::{Database, Server, Settings};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Profile {
    name: String,
    followers: u64,
}

static LOADS: AtomicU32 = AtomicU32::new(0);

/// Stands for something slow: an API, a report over millions of rows.
async fn load_profile(name: &str) -> Result<Profile, std::io::Error> {
    LOADS.fetch_add(1, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_millis(200)).await;
    Ok(Profile { name: name.to_owned(), followers: 1815 })
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let server = Server::from_env_or_start(Settings::for_tests())?;
    let database = Database::create(&server).await?;
    let mgr = PgQueue::new(database.pool().await?);
    mgr.migrate().await?;

    // Fifty requests want the same value at once: one loads, the others wait for it.
    let requests: Vec<_> = (0..50)
        .map(|_| {
            let mgr = mgr.clone();
            tokio::spawn(async move { mgr.cache.get_or_set("profile:ada", 300, || load_profile("ada")).await })
        })
        .collect();
    for request in requests {
        request.await??;
    }
    println!("50 requests, {} load(s)", LOADS.load(Ordering::Relaxed));
    anyhow::ensure!(LOADS.load(Ordering::Relaxed) == 1);

    let cached: Option<Profile> = mgr.cache.get("profile:ada").await?;
    println!("from the cache: {cached:?}");
    mgr.cache.set("greeting", &"hello", Duration::from_secs(60)).await?;
    let deleted = mgr.cache.delete("greeting").await?;
    let gone: Option<String> = mgr.cache.get("greeting").await?;
    println!("deleted: {deleted}, then: {gone:?}");
    anyhow::ensure!(cached.is_some() && deleted && gone.is_none());
    println!("expired values removed: {}", mgr.cache.cleanup_expired().await?);
    Ok(())
}
