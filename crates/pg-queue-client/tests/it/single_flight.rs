//! `get_or_set`: one caller loads, the others wait.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use pg_queue_client::GetOrSetError;
use pg_queue_core::cache::CacheError;
use tokio::{
    sync::{Barrier, oneshot},
    task::JoinSet,
};

use crate::support::{Db, database, eventually};

/// How many keys are being loaded, as the handle's own debug output tells.
fn loading(db: &Db) -> String {
    let shown = format!("{:?}", db.mgr.cache);
    shown.split("loading").nth(1).expect("the field `loading`").to_owned()
}

fn assert_nothing_is_loading(db: &Db) {
    assert!(loading(db).contains("data: {}"), "{}", loading(db));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hundred_callers_load_once() {
    let db = database().await;
    for round in 0..20 {
        let key = Arc::new(format!("key {round}"));
        let loads = Arc::new(AtomicU32::new(0));
        let barrier = Arc::new(Barrier::new(100));
        let mut callers = JoinSet::new();
        for _ in 0..100 {
            let (cache, key) = (db.mgr.cache.clone(), Arc::clone(&key));
            let (loads, barrier) = (Arc::clone(&loads), Arc::clone(&barrier));
            callers.spawn(async move {
                barrier.wait().await;
                let load = || async {
                    tokio::task::yield_now().await;
                    Ok::<u32, String>(loads.fetch_add(1, Ordering::SeqCst))
                };
                cache.get_or_set(&key, 300, load).await.unwrap()
            });
        }
        assert!(callers.join_all().await.into_iter().all(|value| value == 0));
        assert_eq!(loads.load(Ordering::SeqCst), 1);
        assert_nothing_is_loading(&db);
    }
}

#[tokio::test]
async fn a_cached_value_is_not_loaded() {
    let db = database().await;
    db.mgr.cache.set("k", &7, 300).await.unwrap();
    let value: u8 =
        db.mgr.cache.get_or_set("k", Duration::from_secs(300), || async { Err("not called") }).await.unwrap();
    assert_eq!(value, 7);
    assert_nothing_is_loading(&db);
}

#[tokio::test]
async fn a_value_of_another_type_is_loaded_anew() {
    let db = database().await;
    db.mgr.cache.set("k", &"of an earlier version", 300).await.unwrap();
    let value: u8 = db.mgr.cache.get_or_set("k", 300, || async { Ok::<u8, String>(7) }).await.unwrap();
    assert_eq!((value, db.mgr.cache.get("k").await.unwrap()), (7, Some(7)));
}

#[tokio::test]
async fn a_failure_lets_the_next_caller_load() {
    let db = database().await;
    let (fail, failing) = oneshot::channel::<()>();
    let (started, start) = oneshot::channel();
    let first = tokio::spawn({
        let cache = db.mgr.cache.clone();
        async move {
            let load = || async {
                started.send(()).unwrap();
                drop(failing.await);
                Err::<u8, _>(std::io::Error::other("no luck"))
            };
            cache.get_or_set("k", 300, load).await
        }
    });
    start.await.unwrap();
    let second = tokio::spawn({
        let cache = db.mgr.cache.clone();
        async move { cache.get_or_set("k", 300, || async { Ok::<u8, String>(2) }).await }
    });
    eventually("the second one waits", async || loading(&db).contains("\"k\"") && !second.is_finished()).await;
    fail.send(()).unwrap();
    let error = first.await.unwrap().unwrap_err();
    assert!(matches!(error, GetOrSetError::Load(_)));
    assert_eq!(error.to_string(), "loading the value failed: no luck");
    assert_eq!(second.await.unwrap().unwrap(), 2);
    assert_nothing_is_loading(&db);
}

#[tokio::test]
async fn every_error_of_a_loader_passes_the_question_mark() {
    type Boxed = Box<dyn std::error::Error + Send + Sync>;
    async fn fails(db: &Db) -> Result<u8, Boxed> {
        let _: u8 = db.mgr.cache.get_or_set("a", 300, || async { Ok::<_, String>(1) }).await?;
        let _: u8 = db.mgr.cache.get_or_set("b", 300, || async { Ok::<_, std::num::ParseIntError>(1) }).await?;
        Ok(db.mgr.cache.get_or_set("c", 300, || async { Err::<u8, Boxed>("no luck".into()) }).await?)
    }
    let error = fails(&database().await).await.unwrap_err();
    assert_eq!(error.to_string(), "loading the value failed: no luck");
}

#[tokio::test]
async fn a_panic_lets_the_next_caller_load() {
    let db = database().await;
    let cache = db.mgr.cache.clone();
    let first = tokio::spawn(async move {
        let load = || async { panic!("as it should") };
        cache.get_or_set::<u8, String, _, _>("k", 300, load).await
    });
    assert!(first.await.unwrap_err().is_panic());
    assert_nothing_is_loading(&db);
    assert_eq!(db.mgr.cache.get_or_set("k", 300, || async { Ok::<u8, String>(2) }).await.unwrap(), 2);
}

#[tokio::test]
async fn a_dropped_caller_lets_the_next_one_load() {
    let db = database().await;
    let (started, start) = oneshot::channel();
    let first = tokio::spawn({
        let cache = db.mgr.cache.clone();
        async move {
            let load = || async {
                started.send(()).unwrap();
                std::future::pending::<Result<u8, String>>().await
            };
            cache.get_or_set("k", 300, load).await
        }
    });
    start.await.unwrap();
    let second = tokio::spawn({
        let cache = db.mgr.cache.clone();
        async move { cache.get_or_set("k", 300, || async { Ok::<u8, String>(2) }).await }
    });
    first.abort();
    assert_eq!(second.await.unwrap().unwrap(), 2);
    eventually("nothing is loading", async || loading(&db).contains("data: {}")).await;
}

#[tokio::test]
async fn other_keys_do_not_wait() {
    let db = database().await;
    let (started, start) = oneshot::channel();
    let slow = tokio::spawn({
        let cache = db.mgr.cache.clone();
        async move {
            let load = || async {
                started.send(()).unwrap();
                std::future::pending::<Result<u8, String>>().await
            };
            cache.get_or_set("slow", 300, load).await
        }
    });
    start.await.unwrap();
    assert_eq!(db.mgr.cache.get_or_set("quick", 300, || async { Ok::<u8, String>(2) }).await.unwrap(), 2);
    slow.abort();
}

#[tokio::test]
async fn a_time_to_live_that_cannot_be_used_is_refused_before_loading() {
    let db = database().await;
    let load = || async { Err::<u8, _>("not called") };
    let error = db.mgr.cache.get_or_set("k", 0, load).await.unwrap_err();
    assert!(matches!(error, GetOrSetError::Cache(CacheError::InvalidTtl(_))), "{error}");
}
