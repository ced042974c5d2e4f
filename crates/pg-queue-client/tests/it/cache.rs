//! Values with a time to live.

use std::time::{Duration, SystemTime};

use pg_queue_core::cache::CacheError;
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
    let keys = [String::new(), "'; drop table".to_owned(), format!("{long}a"), format!("{long}b"), "K".to_owned()];
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
    assert!(matches!(cache.get::<u8>("a\0b").await, Err(CacheError::InvalidKey)));
    let unprintable = std::collections::HashMap::from([((1, 2), 3)]);
    assert!(matches!(cache.set("k", &unprintable, 1).await, Err(CacheError::Serialize { .. })));
    cache.set("k", &"text", 60).await.unwrap();
    let error = cache.get::<u8>("k").await.unwrap_err();
    assert!(matches!(error, CacheError::Decode { .. }), "{error}");
    assert!(error.to_string().contains("under \"k\""), "{error}");
}
