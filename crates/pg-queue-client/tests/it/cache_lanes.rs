//! Calls of the cache that share statements.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Barrier, task::JoinSet, time::timeout};

use crate::support::{LONG, database, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_caller_has_the_answer_to_its_own_call() {
    let db = database().await;
    let barrier = Arc::new(Barrier::new(64));
    let mut callers = JoinSet::new();
    for caller in 0..64_u32 {
        let (cache, barrier) = (db.mgr.cache.clone(), Arc::clone(&barrier));
        callers.spawn(async move {
            barrier.wait().await;
            for round in 0..50_u32 {
                // Some keys are everybody's, some the caller's own.
                let (own, shared) = (format!("own {caller}"), format!("shared {}", round % 3));
                cache.set(&own, &(caller, round), 60).await.unwrap();
                cache.set(&shared, &round, 60).await.unwrap();
                assert_eq!(cache.get(&own).await.unwrap(), Some((caller, round)));
                assert!(cache.get::<u32>(&shared).await.unwrap().is_some());
                assert_eq!(cache.get::<u32>(format!("none {caller}")).await.unwrap(), None);
                assert_eq!(cache.incr(format!("n {caller}"), 2, 60).await.unwrap(), i64::from(round + 1) * 2);
            }
        });
    }
    callers.join_all().await;
}

#[tokio::test]
async fn calls_that_come_together_share_statements() {
    let db = database().await;
    db.mgr.cache.set("k", &1, 60).await.unwrap();
    let mut locked = db.pool.begin().await.unwrap();
    sqlx::query("lock table pg_queue_cache in access exclusive mode").execute(&mut *locked).await.unwrap();
    let mut callers = JoinSet::new();
    for caller in 0..500 {
        let cache = db.mgr.cache.clone();
        callers.spawn(async move {
            match caller % 3 {
                0 => assert_eq!(cache.get("k").await.unwrap(), Some(1)),
                1 => cache.set(format!("{caller}"), &1, 60).await.unwrap(),
                _ => drop(cache.incr("n", 1, 60).await.unwrap()),
            }
        });
    }
    let waiting = "select count(*) from pg_locks where not granted and database = (select oid from pg_database where datname = current_database())";
    let mut outside = db.database.pool_of(1).await.unwrap().acquire().await.unwrap();
    eventually("some statements wait", async || {
        sqlx::query_scalar::<_, i64>(waiting).fetch_one(&mut *outside).await.unwrap() > 0
    })
    .await;
    let most: i64 = sqlx::query_scalar(waiting).fetch_one(&mut *outside).await.unwrap();
    // One or two of each kind; one more for each second that this takes.
    assert!(most <= 12, "{most} connections wait, and there are twenty");
    locked.rollback().await.unwrap();
    timeout(LONG, callers.join_all()).await.unwrap();
    assert_eq!(db.mgr.cache.get("n").await.unwrap(), Some(166));
}

#[tokio::test]
async fn a_row_that_somebody_has_locked_holds_up_its_own_callers_only() {
    let db = database().await;
    for key in ["locked", "free"] {
        db.mgr.cache.set(key, &1, 60).await.unwrap();
    }
    let mut transaction = db.pool.begin().await.unwrap();
    let lock = "select from pg_queue_cache where key = '\\x00'::bytea || 'locked' for update";
    sqlx::query(lock).execute(&mut *transaction).await.unwrap();
    let set = |key: &'static str| {
        let cache = db.mgr.cache.clone();
        tokio::spawn(async move { cache.set(key, &2, 60).await })
    };
    let stuck = [set("locked"), set("locked"), set("locked")];
    eventually("a set of the free one passes", async || {
        timeout(Duration::from_millis(200), db.mgr.cache.set("free", &2, 60)).await.is_ok()
    })
    .await;
    assert_eq!(db.mgr.cache.get("locked").await.unwrap(), Some(1), "reading waits for nobody");
    assert!(stuck.iter().all(|it| !it.is_finished()));
    transaction.rollback().await.unwrap();
    for set in stuck {
        set.await.unwrap().unwrap();
    }
    assert_eq!(db.mgr.cache.get("locked").await.unwrap(), Some(2));
}

#[tokio::test]
async fn callers_that_go_away_hold_up_nobody() {
    let db = database().await;
    for round in 0..100_u64 {
        let mut callers = JoinSet::new();
        for n in 0..20 {
            let cache = db.mgr.cache.clone();
            callers.spawn(async move { cache.set(format!("{n}"), &round, 60).await });
        }
        // Whatever they are at.
        drop(timeout(Duration::from_micros(round * 20), callers.join_next()).await);
        callers.abort_all();
        timeout(LONG, db.mgr.cache.set("k", &round, 60)).await.unwrap().unwrap();
        assert_eq!(timeout(LONG, db.mgr.cache.get("k")).await.unwrap().unwrap(), Some(round));
    }
}

#[test]
fn a_handle_outlives_the_runtimes_that_use_it() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let long_lived = runtime();
    let db = long_lived.block_on(database());
    let mgr = long_lived.block_on(async { db.without_reuse() });
    for round in 0..20_u64 {
        runtime().block_on(async {
            let mut callers = JoinSet::new();
            for n in 0..10 {
                let cache = mgr.cache.clone();
                callers.spawn(async move { cache.set(format!("{n}"), &round, 60).await });
            }
            tokio::task::yield_now().await;
            timeout(LONG, mgr.cache.set("k", &round, 60)).await.unwrap().unwrap();
            assert_eq!(timeout(LONG, mgr.cache.get("k")).await.unwrap().unwrap(), Some(round));
            // Left half-way when the runtime ends.
            callers.detach_all();
        });
    }
    long_lived.block_on(async move { drop(db) });
}
