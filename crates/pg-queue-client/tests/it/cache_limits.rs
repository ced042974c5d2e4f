//! Limits on how often something is done.

use std::time::{Duration, Instant};

use pg_queue_core::cache::{Allowed, CacheError};
use tokio::task::JoinSet;

use crate::support::{database, eventually};

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn so_many_are_allowed_and_the_next_one_is_told_when() {
    let db = database().await;
    let cache = &db.mgr.cache;
    for _ in 0..5 {
        assert!(cache.allow("k", 5, HOUR).await.unwrap().is_now());
    }
    let Allowed::After(after) = cache.allow("k", 5, HOUR).await.unwrap() else { panic!("five were allowed") };
    assert!(after <= HOUR / 5 && after > HOUR / 5 - Duration::from_secs(60), "{after:?}");
    assert!(cache.allow("other", 5, HOUR).await.unwrap().is_now());
    assert!(cache.namespace("n").unwrap().allow("k", 5, HOUR).await.unwrap().is_now());
    // As if a fifth of the hour had passed.
    sqlx::query("update pg_queue_limits set full_at = full_at - interval '720 s'").execute(&db.pool).await.unwrap();
    assert!(cache.allow("k", 5, HOUR).await.unwrap().is_now());
    assert!(!cache.allow("k", 5, HOUR).await.unwrap().is_now());
    sqlx::query("update pg_queue_limits set full_at = now() - interval '10 days'").execute(&db.pool).await.unwrap();
    let mut allowed = 0;
    while cache.allow("k", 5, HOUR).await.unwrap().is_now() {
        allowed += 1;
    }
    assert_eq!(allowed, 5, "a bucket holds no more than the limit, however long nobody came");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn among_many_in_several_processes_exactly_so_many_are_allowed() {
    let db = database().await;
    for limit in [1, 7, 100, 450] {
        let mut callers = JoinSet::new();
        for _ in 0..4 {
            let mgr = db.elsewhere();
            for _ in 0..100 {
                let cache = mgr.cache.clone();
                callers.spawn(async move { cache.allow(format!("{limit}"), limit, HOUR).await.unwrap().is_now() });
            }
        }
        let allowed = callers.join_all().await.into_iter().filter(|allowed| *allowed).count();
        assert_eq!(allowed, usize::try_from(limit).unwrap().min(400));
    }
}

#[tokio::test]
async fn over_time_no_more_is_allowed_than_the_rate() {
    let db = database().await;
    let began = Instant::now();
    let mut allowed = 0_u32;
    // Beyond what the bucket held at first, however slow the calls are.
    while began.elapsed() < Duration::from_secs(1) || allowed <= 10 {
        match db.mgr.cache.allow("k", 10, Duration::from_millis(200)).await.unwrap() {
            Allowed::Now => allowed += 1,
            Allowed::After(after) => assert!(after <= Duration::from_millis(20), "{after:?}"),
        }
    }
    let most = 10.0 + began.elapsed().as_secs_f64() * 50.0 + 1.0;
    assert!(f64::from(allowed) <= most, "{allowed} in {:?}", began.elapsed());
}

#[tokio::test]
async fn limits_that_cannot_be_used_are_refused_and_full_buckets_are_cleaned_up() {
    let db = database().await;
    let cache = &db.mgr.cache;
    for (limit, per) in [(0, HOUR), (1, Duration::ZERO), (1, Duration::MAX)] {
        assert!(matches!(cache.allow("k", limit, per).await, Err(CacheError::InvalidLimit(_))));
    }
    assert!(cache.allow("short", 1, Duration::from_millis(1)).await.unwrap().is_now());
    assert!(cache.allow("long", 1, HOUR).await.unwrap().is_now());
    eventually("the short one is full again, and gone", async || {
        cache.cleanup_expired().await.unwrap();
        db.count("select count(*) from pg_queue_limits").await == 1
    })
    .await;
    assert!(!cache.allow("long", 1, HOUR).await.unwrap().is_now());
}
