//! Values with a time to live.

use std::time::{Duration, SystemTime};

use pg_queue_client::{Housekeeping, LoadOptions, LocalTier, TimeLeft};
use pg_queue_core::cache::{CacheError, Expiry};
use serde::{Deserialize, Serialize};

use crate::support::{database, eventually};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Profile {
    name: String,
}

#[tokio::test]
async fn a_value_is_set_got_replaced_and_deleted() {
    let db = database().await;
    let cache = &db.mgr.cache;
    assert_eq!(cache.get::<Profile>("k").await.unwrap(), None);
    let profile = Profile { name: "Ada \u{0} \u{1f600}".to_owned() };
    cache.set("k", &profile, 300).await.unwrap();
    assert_eq!(cache.get("k").await.unwrap(), Some(profile));
    cache.set("k", &1, Duration::from_secs(300)).await.unwrap();
    assert_eq!(cache.get("k").await.unwrap(), Some(1));
    assert!(cache.delete("k").await.unwrap());
    assert!(!cache.delete("k").await.unwrap());
    assert_eq!(cache.get::<u8>("k").await.unwrap(), None);
}

#[tokio::test]
async fn an_expired_value_is_not_there_and_is_cleaned_up() {
    let db = database().await;
    let cache = &db.mgr.cache;
    let past = SystemTime::now() - Duration::from_secs(60);
    cache.set_with_expiry("past", &1, past).await.unwrap();
    cache.set_with_expiry("future", &1, SystemTime::now() + Duration::from_secs(600)).await.unwrap();
    cache.set("short", &1, Duration::from_millis(1)).await.unwrap();
    assert_eq!(cache.get::<u8>("past").await.unwrap(), None);
    assert!(!cache.delete("past").await.unwrap());
    cache.set_with_expiry("past", &1, past).await.unwrap();
    eventually("the short one expires", async || cache.get::<u8>("short").await.unwrap().is_none()).await;
    assert_eq!(cache.cleanup_expired().await.unwrap(), 2);
    assert_eq!(db.count("select count(*) from pg_queue_cache").await, 1);
    assert_eq!(cache.get::<u8>("future").await.unwrap(), Some(1));
}

#[tokio::test]
async fn long_and_strange_keys_are_kept_apart() {
    let db = database().await;
    let cache = &db.mgr.cache;
    let long = "k".repeat(5000);
    let keys = [
        String::new(),
        "a\0b".to_owned(),
        "'; drop table".to_owned(),
        format!("{long}a"),
        format!("{long}b"),
        "K".to_owned(),
    ];
    for (n, key) in keys.iter().enumerate() {
        cache.set(key, &n, 60).await.unwrap();
    }
    for (n, key) in keys.iter().enumerate() {
        assert_eq!(cache.get(key).await.unwrap(), Some(n));
    }
}

#[tokio::test]
async fn each_mistake_has_its_error() {
    let db = database().await;
    let cache = &db.mgr.cache;
    assert!(matches!(cache.set("k", &1, 0).await, Err(CacheError::InvalidTtl(_))));
    assert!(matches!(cache.set("k", &1, u64::MAX).await, Err(CacheError::InvalidTtl(_))));
    let unprintable = std::collections::HashMap::from([((1, 2), 3)]);
    assert!(matches!(cache.set("k", &unprintable, 1).await, Err(CacheError::Serialize { .. })));
    cache.set("k", &"text", 60).await.unwrap();
    let error = cache.get::<u8>("k").await.unwrap_err();
    assert!(matches!(error, CacheError::Decode { .. }), "{error}");
    assert!(error.to_string().contains("under \"k\""), "{error}");
}

#[tokio::test]
async fn bytes_are_kept_as_they_are() {
    let db = database().await;
    let cache = &db.mgr.cache;
    let bytes: Vec<u8> = (0..=255).collect();
    cache.set_bytes([0xff, 0x00], bytes.clone(), 60).await.unwrap();
    assert_eq!(cache.get_bytes([0xff, 0x00]).await.unwrap(), Some(bytes));
    assert_eq!(cache.get_bytes("none").await.unwrap(), None);
    // Compressed, or not to be compressed, by the server: what comes back is the same.
    for long in
        [vec![b'a'; 3 << 20], (0..3_u32 << 20).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect()]
    {
        cache.set_bytes("long", long.clone(), 60).await.unwrap();
        assert_eq!(cache.get_bytes("long").await.unwrap(), Some(long));
    }
}

#[tokio::test]
async fn many_values_are_set_got_and_deleted() {
    let db = database().await;
    let cache = &db.mgr.cache;
    cache.set_many((0..2500).map(|n| (format!("k{n}"), n)), 60).await.unwrap();
    let keys: Vec<String> = (0..3000).rev().map(|n| format!("k{}", n % 2600)).collect();
    let got: Vec<Option<u32>> = cache.get_many(&keys).await.unwrap();
    for (at, n) in (0..3000).rev().enumerate() {
        assert_eq!(got[at], Some(n % 2600).filter(|n| *n < 2500));
    }
    assert_eq!(cache.delete_many(&keys).await.unwrap(), 2500);
    let none: [&str; 0] = [];
    assert!(cache.get_many::<u8>(none).await.unwrap().is_empty());
    assert_eq!(cache.delete_many(none).await.unwrap(), 0);
}

#[tokio::test]
async fn a_value_is_set_only_where_none_is_or_in_place_of_its_version() {
    let db = database().await;
    let cache = &db.mgr.cache;
    assert!(cache.set_if_absent("k", &1, 60).await.unwrap());
    assert!(!cache.set_if_absent("k", &2, 60).await.unwrap());
    let got = cache.get_versioned::<u8>("k").await.unwrap().unwrap();
    let second = cache.compare_and_swap("k", got.version, &(got.value + 1), 60).await.unwrap().unwrap();
    assert_eq!(cache.compare_and_swap("k", got.version, &9, 60).await.unwrap(), None);
    assert_eq!(cache.get_versioned::<u8>("k").await.unwrap().map(|it| (it.value, it.version)), Some((2, second)));
}

#[tokio::test]
async fn a_hundred_who_compare_and_swap_lose_nothing() {
    let db = database().await;
    db.mgr.cache.set("n", &0, 60).await.unwrap();
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let cache = db.mgr.cache.clone();
        callers.spawn(async move {
            for _ in 0..5 {
                loop {
                    let got = cache.get_versioned::<u32>("n").await.unwrap().unwrap();
                    if cache.compare_and_swap("n", got.version, &(got.value + 1), 60).await.unwrap().is_some() {
                        break;
                    }
                }
            }
        });
    }
    callers.join_all().await;
    assert_eq!(db.mgr.cache.get("n").await.unwrap(), Some(100));
}

#[tokio::test]
async fn a_time_to_live_is_told_and_changed() {
    let db = database().await;
    let cache = &db.mgr.cache;
    assert_eq!(cache.ttl("k").await.unwrap(), None);
    assert!(!cache.touch("k", 60).await.unwrap());
    cache.set("k", &1, Expiry::Never).await.unwrap();
    assert_eq!(cache.ttl("k").await.unwrap(), Some(TimeLeft::Unlimited));
    assert!(cache.touch("k", 60).await.unwrap());
    let Some(TimeLeft::Some(left)) = cache.ttl("k").await.unwrap() else { panic!("it has a time to live") };
    assert!(left <= Duration::from_secs(60) && left > Duration::from_secs(30), "{left:?}");
    assert!(matches!(cache.touch("k", 0).await, Err(CacheError::InvalidTtl(_))));
}

#[tokio::test]
async fn reading_a_sliding_value_renews_it() {
    let db = database().await;
    let cache = &db.mgr.cache;
    let shorten = "update pg_queue_cache set expires_at = expires_at - interval '500 s'";
    let left = async || match cache.ttl("k").await.unwrap() {
        Some(TimeLeft::Some(left)) => left.as_secs(),
        other => panic!("{other:?}"),
    };
    cache.set("k", &1, Expiry::sliding(1000)).await.unwrap();
    sqlx::query(shorten).execute(&db.pool).await.unwrap();
    assert!(left().await <= 500);
    assert_eq!(cache.get("k").await.unwrap(), Some(1));
    assert!(left().await > 900, "a get renews it");
    sqlx::query(shorten).execute(&db.pool).await.unwrap();
    assert_eq!(cache.get_many(["k", "none"]).await.unwrap(), [Some(1), None]);
    assert!(left().await > 900, "so does get_many");
}

#[tokio::test]
async fn namespaces_and_durable_values_are_kept_apart() {
    let db = database().await;
    let plain = &db.mgr.cache;
    let space = plain.namespace("sessions").unwrap();
    let caches = [plain.clone(), space.clone(), plain.durable(), space.durable()];
    for (n, cache) in caches.iter().enumerate() {
        cache.set("k", &n, 60).await.unwrap();
        cache.set_tagged("tagged", &n, 60, ["t", "u"]).await.unwrap();
    }
    for (n, cache) in caches.iter().enumerate() {
        assert_eq!(cache.get_many(["k", "tagged"]).await.unwrap(), [Some(n), Some(n)]);
    }
    assert_eq!(space.delete_by_tag("t").await.unwrap(), 1);
    assert_eq!(space.get::<usize>("tagged").await.unwrap(), None);
    assert_eq!(space.durable().delete_by_prefix("k").await.unwrap(), 1);
    assert_eq!(plain.clear().await.unwrap(), 2);
    assert_eq!(space.get("k").await.unwrap(), Some(1));
    assert_eq!(plain.durable().get("k").await.unwrap(), Some(2));
    assert!(plain.namespace(&"n".repeat(101)).is_err());
}

#[tokio::test]
async fn counters_are_exact_however_many_add() {
    let db = database().await;
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let cache = db.mgr.cache.clone();
        callers.spawn(async move {
            let mut sums = Vec::new();
            for _ in 0..20 {
                sums.push(cache.incr("n", 1, 60).await.unwrap());
            }
            assert!(sums.is_sorted());
            sums
        });
    }
    let mut sums: Vec<i64> = callers.join_all().await.into_iter().flatten().collect();
    sums.sort_unstable();
    assert_eq!(sums, (1..=1000).collect::<Vec<_>>(), "each caller is told what its own addition came to");
    assert_eq!(db.mgr.cache.decr("n", 1001, 60).await.unwrap(), -1);
    assert_eq!(db.mgr.cache.get("n").await.unwrap(), Some(-1));
    db.mgr.cache.set("text", &"x", 60).await.unwrap();
    let error = db.mgr.cache.incr("text", 1, 60).await.unwrap_err();
    assert!(matches!(&error, CacheError::NoCounter { key } if key == "text"), "{error}");
    assert!(matches!(db.mgr.cache.decr("n", i64::MIN, 60).await, Err(CacheError::NoCounter { .. })));
}

#[tokio::test]
async fn a_value_is_taken_once() {
    let db = database().await;
    db.mgr.cache.set("k", &7, 60).await.unwrap();
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let cache = db.mgr.cache.clone();
        callers.spawn(async move { cache.get_and_delete::<u8>("k").await.unwrap() });
    }
    let taken: Vec<u8> = callers.join_all().await.into_iter().flatten().collect();
    assert_eq!(taken, [7]);
}

#[tokio::test]
async fn a_value_of_another_type_may_count_as_none() {
    let db = database().await;
    let cache = db.mgr.cache.lenient();
    cache.set("k", &"text", 60).await.unwrap();
    assert_eq!(cache.get::<u8>("k").await.unwrap(), None);
    assert_eq!(cache.get_many::<u8>(["k"]).await.unwrap(), [None]);
    assert!(cache.get_versioned::<u8>("k").await.unwrap().is_none());
    assert_eq!(cache.get("k").await.unwrap(), Some("text".to_owned()));
}

/// The table emptied, dropped and made again while it is in use: errors that say what is wrong, and no panic.
#[tokio::test]
async fn the_table_may_be_emptied_or_missing_while_in_use() {
    let db = database().await;
    let cache = &db.mgr.cache;
    cache.set("k", &1, 60).await.unwrap();
    sqlx::query("truncate pg_queue_cache").execute(&db.pool).await.unwrap();
    assert_eq!(cache.get::<u8>("k").await.unwrap(), None);
    sqlx::query("alter table pg_queue_cache rename to elsewhere").execute(&db.pool).await.unwrap();
    let error = cache.get::<u8>("k").await.unwrap_err().to_string();
    assert!(error.contains("run `pg_queue::migrate(&pool)`"), "{error}");
    assert!(cache.set("k", &1, 60).await.is_err());
    assert!(cache.incr("n", 1, 60).await.is_err());
    sqlx::query("alter table elsewhere rename to pg_queue_cache").execute(&db.pool).await.unwrap();
    cache.set("k", &2, 60).await.unwrap();
    assert_eq!(cache.get("k").await.unwrap(), Some(2));
}

/// Web frameworks and workers spawn what they run: every call has to be fit for that.
#[tokio::test]
async fn every_call_can_be_made_in_a_spawned_task() {
    let db = database().await;
    let cache = db.mgr.cache.with_local_tier(LocalTier::new(1 << 20, Duration::from_secs(1)));
    let calls = tokio::spawn(async move {
        cache.set("k", &1, 60).await.unwrap();
        cache.set_bytes("b", [1, 2], 60).await.unwrap();
        cache.set_with_expiry("e", &1, SystemTime::now()).await.unwrap();
        cache.set_tagged("t", &1, 60, ["tag"]).await.unwrap();
        cache.set_many([("a", 1)], 60).await.unwrap();
        assert_eq!(cache.get("k").await.unwrap(), Some(1));
        assert_eq!(cache.get_many(["k", "a"]).await.unwrap(), [Some(1), Some(1)]);
        assert!(cache.get_bytes("b").await.unwrap().is_some());
        let version = cache.get_versioned::<u8>("k").await.unwrap().unwrap().version;
        assert!(cache.compare_and_swap("k", version, &2, 60).await.unwrap().is_some());
        assert!(!cache.set_if_absent("k", &3, 60).await.unwrap());
        assert!(cache.touch("k", 60).await.unwrap());
        assert!(cache.ttl("k").await.unwrap().is_some());
        assert_eq!(cache.incr("n", 2, 60).await.unwrap(), 2);
        assert_eq!(cache.decr("n", 1, 60).await.unwrap(), 1);
        assert_eq!(cache.get_and_delete("n").await.unwrap(), Some(1));
        assert!(cache.delete("k").await.unwrap());
        assert_eq!(cache.delete_many(["k", "a"]).await.unwrap(), 1);
        assert_eq!(cache.delete_by_tag("tag").await.unwrap(), 1);
        assert_eq!(cache.delete_by_prefix("b").await.unwrap(), 1);
        assert_eq!(cache.get_or_set("l", 60, || async { Ok::<_, String>(1) }).await.unwrap(), 1);
        let options = LoadOptions::new(60);
        assert_eq!(cache.find_or_load("f", options, || async { Ok::<Option<u8>, String>(None) }).await.unwrap(), None);
        let mut lock = cache.lock_within("lock", 60, Duration::from_secs(1)).await.unwrap().unwrap();
        assert_eq!(lock.hold(async { 1 }).await, Ok(1));
        lock.renew().await.unwrap();
        assert!(lock.release().await.unwrap());
        assert!(cache.allow("limit", 1, Duration::from_secs(60)).await.unwrap().is_now());
        assert!(cache.once("once", 60).await.unwrap());
        assert!(cache.forget_once("once").await.unwrap());
        cache.tidy_up(Housekeeping::new()).await.unwrap();
        cache.cleanup_expired().await.unwrap();
        cache.clear().await.unwrap();
    });
    calls.await.unwrap();
    let house = db.mgr.cache.clone();
    tokio::spawn(async move { house.keep_house(Housekeeping::new()).await }).abort();
}
