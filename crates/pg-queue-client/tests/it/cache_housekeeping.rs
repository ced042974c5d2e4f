//! Keeping a table within its size.

use std::time::Duration;

use pg_queue_client::Housekeeping;
use pg_queue_core::cache::Expiry;

use crate::support::{Db, database, eventually};

async fn fill(db: &Db, from: u32, count: u32, expiry: Expiry) {
    let value = "x".repeat(400);
    db.mgr.cache.set_many((from..from + count).map(|n| (format!("{n:06}"), &value)), expiry).await.unwrap();
}

#[tokio::test]
async fn what_has_expired_is_removed_and_the_rest_is_measured() {
    let db = database().await;
    let past = Expiry::At(std::time::SystemTime::UNIX_EPOCH);
    fill(&db, 0, 3000, past).await;
    fill(&db, 3000, 1000, Expiry::from(3600)).await;
    fill(&db, 4000, 500, Expiry::Never).await;
    let tidied = db.mgr.cache.tidy_up(Housekeeping::new()).await.unwrap();
    assert_eq!((tidied.expired, tidied.evicted, tidied.values), (3000, 0, 1500));
    assert!((1500 * 450..1500 * 700).contains(&tidied.bytes), "{tidied:?}");
    assert_eq!(db.count("select count(*) from pg_queue_cache").await, 1500);
    // Vacuumed, so that what comes next fills the gaps.
    let pages = "select pg_relation_size('pg_queue_cache')";
    let before = db.count(pages).await;
    fill(&db, 10_000, 2500, past).await;
    assert!(db.count(pages).await <= before + 8192 * 2, "{} after {before}", db.count(pages).await);
}

#[tokio::test]
async fn what_is_too_much_is_evicted_the_oldest_first() {
    let db = database().await;
    let cache = &db.mgr.cache;
    for part in 0..10 {
        fill(&db, part * 500, 500, Expiry::Never).await;
    }
    // Not as much as is there, so that nothing happens.
    let all = cache.tidy_up(Housekeeping::new().max_bytes(1 << 30)).await.unwrap();
    assert_eq!((all.values, all.evicted), (5000, 0));
    let half = Housekeeping::new().max_bytes(all.bytes / 2);
    let tidied = cache.tidy_up(half).await.unwrap();
    assert!(tidied.bytes <= all.bytes / 2, "{tidied:?}");
    assert!(tidied.bytes >= all.bytes * 3 / 10, "no more than needed: {tidied:?}");
    assert_eq!(tidied.values + tidied.evicted, 5000);
    assert_eq!(cache.statistics().evictions, tidied.evicted);
    assert_eq!(cache.get::<String>("000000").await.unwrap(), None, "the oldest");
    assert!(cache.get::<String>("004999").await.unwrap().is_some(), "the newest");
    let again = cache.tidy_up(half).await.unwrap();
    assert_eq!(again.evicted, 0);
}

/// Or what was done once would be done again.
#[tokio::test]
async fn flags_are_not_evicted() {
    let db = database().await;
    let cache = db.mgr.cache.durable();
    assert!(cache.once("payment:1", 3600).await.unwrap());
    for n in 0..10 {
        cache.set(format!("{n}"), &n, Expiry::Never).await.unwrap();
    }
    let tidied = cache.tidy_up(Housekeeping::new().max_bytes(1)).await.unwrap();
    // But for the newest.
    assert_eq!((tidied.evicted, tidied.values), (9, 1));
    assert!(!cache.once("payment:1", 3600).await.unwrap());
}

/// Values come and expire all the time; the table is no longer than a few of their lives.
#[tokio::test]
async fn under_churn_the_table_stays_small() {
    let db = database().await;
    let house = tokio::spawn({
        let cache = db.mgr.cache.clone();
        async move {
            loop {
                cache.tidy_up(Housekeeping::new()).await.unwrap();
            }
        }
    });
    let size = "select pg_table_size('pg_queue_cache')";
    let mut sizes = Vec::new();
    for round in 0..40 {
        fill(&db, round * 1000, 1000, Expiry::from(Duration::from_millis(1))).await;
        eventually("they are removed", async || db.count("select count(*) from pg_queue_cache").await < 1000).await;
        sizes.push(db.count(size).await);
    }
    house.abort();
    let (early, late) = (sizes[9], sizes[39]);
    assert!(late <= early * 2, "it grows: {sizes:?}");
}
