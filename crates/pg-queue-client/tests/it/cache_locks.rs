//! Locks with a fencing number.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    time::Duration,
};

use pg_queue_client::RenewError;
use pg_queue_core::cache::LockError;
use tokio::{
    task::{JoinSet, yield_now},
    time::timeout,
};

use crate::support::{Db, LONG, database, eventually};

const MINUTE: Duration = Duration::from_secs(60);

/// Ends the lease of whoever holds a lock, as if its time were over.
async fn end_all(db: &Db) {
    sqlx::query("update pg_queue_locks set until = now()").execute(&db.pool).await.unwrap();
}

#[tokio::test]
async fn one_holds_a_lock_and_each_holder_has_a_higher_number() {
    let db = database().await;
    let other = db.elsewhere();
    let first = db.mgr.cache.lock("l", 60).await.unwrap().unwrap();
    assert!(other.cache.lock("l", 60).await.unwrap().is_none());
    assert!(other.cache.lock("another", 60).await.unwrap().is_some());
    assert!(other.cache.namespace("n").unwrap().lock("l", 60).await.unwrap().is_some());
    let mut last = first.fence();
    assert!(first.release().await.unwrap());
    for _ in 0..50 {
        let lock = other.cache.lock("l", 60).await.unwrap().unwrap();
        assert!(lock.fence() > last);
        last = lock.fence();
        // Forgotten or not, the number does not go back.
        assert!(lock.release().await.unwrap());
        sqlx::query("delete from pg_queue_locks where name = '\\x00'::bytea || 'l'").execute(&db.pool).await.unwrap();
    }
    assert!(matches!(other.cache.lock("l", 0).await, Err(LockError::InvalidTtl(_))));
}

#[tokio::test]
async fn a_lock_is_renewed_lost_and_given_back_when_it_is_dropped() {
    let db = database().await;
    let mut lock = db.mgr.cache.lock("l", 60).await.unwrap().unwrap();
    lock.renew().await.unwrap();
    assert!(lock.is_held());
    end_all(&db).await;
    assert!(matches!(lock.renew().await, Err(RenewError::Lost(_))));
    assert!(!lock.is_held());
    let second = db.mgr.cache.lock("l", 60).await.unwrap().unwrap();
    assert!(!lock.release().await.unwrap(), "it is another one's");
    drop(second);
    let third = timeout(LONG, db.mgr.cache.lock_within("l", 60, MINUTE)).await.unwrap().unwrap();
    assert!(third.is_some());
    let waited = db.mgr.cache.lock_within("l", 60, Duration::from_millis(30)).await.unwrap();
    assert!(waited.is_none());
}

#[tokio::test]
async fn work_is_done_while_the_lock_is_held_and_stopped_when_it_is_lost() {
    let db = database().await;
    let ttl = Duration::from_secs(3);
    let mut lock = db.mgr.cache.lock("l", ttl).await.unwrap().unwrap();
    let renewed = "select count(*) from pg_queue_locks where until > now() and holder is not null";
    let began = std::time::Instant::now();
    let longer = async {
        eventually("more than its time has passed", async || began.elapsed() > ttl * 4 / 3).await;
        db.count(renewed).await
    };
    assert_eq!(lock.hold(longer).await.unwrap(), 1);
    let ends = async {
        end_all(&db).await;
        std::future::pending::<()>().await;
    };
    assert!(timeout(LONG, lock.hold(ends)).await.unwrap().is_err());
    assert!(!lock.is_held());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_in_several_processes_hold_a_lock_one_after_the_other() {
    let db = database().await;
    let (inside, entered) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let mut callers = JoinSet::new();
    for _ in 0..4 {
        let mgr = db.elsewhere();
        for _ in 0..4 {
            let (cache, inside, entered) = (mgr.cache.clone(), Arc::clone(&inside), Arc::clone(&entered));
            callers.spawn(async move {
                for _ in 0..5 {
                    let lock = cache.lock_within("l", 60, MINUTE).await.unwrap().unwrap();
                    assert_eq!(inside.fetch_add(1, SeqCst), 0);
                    yield_now().await;
                    entered.fetch_add(1, SeqCst);
                    assert_eq!(inside.fetch_sub(1, SeqCst), 1);
                    assert!(lock.release().await.unwrap());
                }
            });
        }
    }
    timeout(LONG, callers.join_all()).await.unwrap();
    assert_eq!(entered.load(SeqCst), 80);
}

/// A holder that was stopped for longer than its lock's time writes as if it still held it. The number keeps it from that.
#[tokio::test]
async fn of_two_who_believe_that_they_hold_a_lock_only_the_later_one_writes() {
    let db = database().await;
    sqlx::raw_sql("create table guarded (fence bigint not null, by text); insert into guarded values (0)")
        .execute(&db.pool)
        .await
        .unwrap();
    let write = async |fence: i64, by: &'static str| {
        let update = "update guarded set fence = $1, by = $2 where fence <= $1";
        sqlx::query(update).bind(fence).bind(by).execute(&db.pool).await.unwrap().rows_affected() == 1
    };
    for _ in 0..20 {
        let stopped = db.mgr.cache.lock("l", 60).await.unwrap().unwrap();
        assert!(write(stopped.fence(), "first").await);
        end_all(&db).await;
        let later = db.mgr.cache.lock("l", 60).await.unwrap().unwrap();
        // It does not know that its time is over: its own clock has not gone on.
        assert!(stopped.is_held());
        assert!(write(later.fence(), "later").await);
        assert!(!write(stopped.fence(), "first").await);
        assert!(write(later.fence(), "later").await);
        assert!(later.release().await.unwrap());
    }
}

#[tokio::test]
async fn something_is_done_once() {
    let db = database().await;
    let mut callers = JoinSet::new();
    for _ in 0..20 {
        let cache = db.elsewhere().cache;
        callers.spawn(async move { cache.once("payment:1", 3600).await.unwrap() });
    }
    assert_eq!(callers.join_all().await.into_iter().filter(|first| *first).count(), 1);
    let cache = &db.mgr.cache;
    cache.durable().clear().await.unwrap();
    assert!(!cache.once("payment:1", 3600).await.unwrap(), "flags are no values");
    assert!(cache.namespace("n").unwrap().once("payment:1", 3600).await.unwrap());
    assert!(cache.forget_once("payment:1").await.unwrap());
    assert!(!cache.forget_once("payment:1").await.unwrap());
    assert!(cache.once("payment:1", 3600).await.unwrap());
    sqlx::query("update pg_queue_cache_durable set expires_at = now()").execute(&db.pool).await.unwrap();
    assert!(cache.once("payment:1", 3600).await.unwrap());
}
