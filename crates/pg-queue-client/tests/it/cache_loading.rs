//! Loading a missing value once, among several processes.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use pg_queue_client::{GetOrSetError, LoadOptions, LocalTier, PgQueue, TimeLeft};
use pg_queue_core::cache::{self, CacheTable, Key, LoadToken, Namespace};
use tokio::{
    sync::{Barrier, oneshot},
    task::{JoinSet, yield_now},
    time::timeout,
};

use crate::support::{Db, LONG, database, eventually};

fn processes(db: &Db, count: usize) -> Vec<PgQueue> {
    (0..count).map(|_| db.elsewhere()).collect()
}

fn key(key: &str) -> Key {
    Key::new(&Namespace::default(), key.as_bytes())
}

/// A load that has begun and ends when it is told to.
fn begun(mgr: &PgQueue, options: LoadOptions) -> (oneshot::Receiver<()>, oneshot::Sender<u32>, Loading) {
    let ((begin, began), (end, ended)) = (oneshot::channel(), oneshot::channel());
    let cache = mgr.cache.clone();
    let loading = tokio::spawn(async move {
        let load = || async {
            begin.send(()).unwrap();
            ended.await
        };
        cache.get_or_load("k", options, load).await
    });
    (began, end, loading)
}

type Loading = tokio::task::JoinHandle<Result<u32, GetOrSetError<oneshot::error::RecvError>>>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_callers_in_four_processes_load_once_also_after_the_table_was_emptied() {
    let db = database().await;
    let processes = processes(&db, 4);
    for round in 0..5 {
        let loads = Arc::new(AtomicU32::new(0));
        let barrier = Arc::new(Barrier::new(1000));
        let mut callers = JoinSet::new();
        for caller in 0..1000 {
            let cache = processes[caller % 4].cache.clone();
            let (loads, barrier) = (Arc::clone(&loads), Arc::clone(&barrier));
            callers.spawn(async move {
                barrier.wait().await;
                let load = || async {
                    for _ in 0..100 {
                        yield_now().await;
                    }
                    Ok::<u32, String>(loads.fetch_add(1, Ordering::SeqCst))
                };
                cache.get_or_set("k", 300, load).await.unwrap()
            });
        }
        let got = timeout(LONG, callers.join_all()).await.unwrap();
        assert!(got.into_iter().all(|value| value == 0));
        assert_eq!(loads.load(Ordering::SeqCst), 1, "round {round}");
        // As a crash of the server does.
        sqlx::query("truncate pg_queue_cache").execute(&db.pool).await.unwrap();
    }
    let loads: u64 = processes.iter().map(|mgr| mgr.cache.statistics().loads).sum();
    assert_eq!(loads, 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_that_expires_again_and_again_under_load_is_loaded_once_each_time() {
    const TTL: Duration = Duration::from_millis(100);
    const LOADS: usize = 10;
    let db = database().await;
    let loads = Arc::new(Mutex::new(Vec::new()));
    let mut callers = JoinSet::new();
    for mgr in processes(&db, 2) {
        for _ in 0..50 {
            let (cache, loads) = (mgr.cache.clone(), Arc::clone(&loads));
            callers.spawn(async move {
                while loads.lock().unwrap().len() < LOADS {
                    let load = || async {
                        loads.lock().unwrap().push(Instant::now());
                        Ok::<u32, String>(1)
                    };
                    cache.get_or_set("k", TTL, load).await.unwrap();
                }
            });
        }
    }
    timeout(LONG, callers.join_all()).await.unwrap();
    let loads = loads.lock().unwrap();
    for two in loads.windows(2) {
        // A value lives from when it is stored, which is after its load began.
        assert!(two[1] - two[0] >= TTL, "two loads within {:?}", two[1] - two[0]);
    }
}

#[tokio::test]
async fn the_stale_value_is_shown_while_one_loads() {
    let db = database().await;
    let processes = processes(&db, 2);
    let options = LoadOptions::new(300).stale_for(Duration::from_secs(3600));
    let load = || async { Ok::<u32, String>(1) };
    assert_eq!(processes[0].cache.get_or_load("k", options, load).await.unwrap(), 1);
    let expire = "update pg_queue_cache set expires_at = now()";
    sqlx::query(expire).execute(&db.pool).await.unwrap();
    assert_eq!(processes[0].cache.get::<u32>("k").await.unwrap(), None, "a get does not show it");
    let (began, end, loading) = begun(&processes[0], options);
    began.await.unwrap();
    for mgr in &processes {
        let never = || async { Err::<u32, _>("not called") };
        let shown = timeout(LONG, mgr.cache.get_or_load("k", options, never)).await.unwrap();
        assert_eq!(shown.unwrap(), 1);
    }
    end.send(2).unwrap();
    assert_eq!(loading.await.unwrap().unwrap(), 2);
    assert_eq!(processes[1].cache.get("k").await.unwrap(), Some(2));
    // Beyond its time it is not even stale.
    sqlx::query("update pg_queue_cache set expires_at = now(), kept_until = now()").execute(&db.pool).await.unwrap();
    let load = || async { Ok::<u32, String>(3) };
    assert_eq!(processes[1].cache.get_or_load("k", options, load).await.unwrap(), 3);
}

#[tokio::test]
async fn a_process_that_died_while_loading_is_replaced() {
    let db = database().await;
    let (table, stands) = (CacheTable::unlogged(db.mgr.schema()), Duration::from_millis(500));
    let died = Instant::now();
    assert!(cache::claim_load(&db.pool, &table, &key("k"), LoadToken::random(), stands, None).await.unwrap());
    assert_eq!(db.mgr.cache.get::<u32>("k").await.unwrap(), None);
    let value = timeout(LONG, db.mgr.cache.get_or_set("k", 300, || async { Ok::<u32, String>(1) })).await.unwrap();
    assert_eq!(value.unwrap(), 1);
    assert!(died.elapsed() >= Duration::from_millis(400));
}

#[tokio::test]
async fn a_load_that_takes_long_is_nobody_elses_as_long_as_its_process_lives() {
    let db = database().await;
    let processes = processes(&db, 2);
    let options = LoadOptions::new(300).take_over_after(Duration::from_secs(1));
    let (began, end, loading) = begun(&processes[0], options);
    began.await.unwrap();
    let waits = options.wait(Duration::from_secs(2));
    let never = || async { Err::<u32, _>("not called") };
    let error = processes[1].cache.get_or_load("k", waits, never).await.unwrap_err();
    assert!(matches!(&error, GetOrSetError::Waited { key, .. } if key == "k"), "{error}");
    // In the same process, too.
    let error = processes[0].cache.get_or_load("k", waits, never).await.unwrap_err();
    assert!(matches!(error, GetOrSetError::Waited { .. }), "{error}");
    end.send(7).unwrap();
    assert_eq!(loading.await.unwrap().unwrap(), 7);
    assert_eq!(processes[1].cache.get("k").await.unwrap(), Some(7));
}

#[tokio::test]
async fn a_failure_and_a_panic_let_another_process_load() {
    let db = database().await;
    let processes = processes(&db, 3);
    let error = processes[0].cache.get_or_set("k", 300, || async { Err::<u32, _>("no luck") }).await.unwrap_err();
    assert!(matches!(error, GetOrSetError::Load("no luck")));
    assert_eq!(db.count("select count(*) from pg_queue_cache").await, 0, "it leaves nothing behind");
    let panics = tokio::spawn({
        let cache = processes[1].cache.clone();
        async move { cache.get_or_set::<u32, String, _, _>("k", 300, || async { panic!("as it should") }).await }
    });
    assert!(panics.await.unwrap_err().is_panic());
    let began = Instant::now();
    let value = processes[2].cache.get_or_set("k", 300, || async { Ok::<u32, String>(1) }).await;
    assert_eq!(value.unwrap(), 1);
    // Also where a value has expired: its row is there, and stays.
    sqlx::query("update pg_queue_cache set expires_at = now()").execute(&db.pool).await.unwrap();
    let error = processes[0].cache.get_or_set("k", 300, || async { Err::<u32, _>("no luck") }).await.unwrap_err();
    assert!(matches!(error, GetOrSetError::Load("no luck")));
    let value = processes[1].cache.get_or_set("k", 300, || async { Ok::<u32, String>(2) }).await;
    assert_eq!(value.unwrap(), 2);
    assert!(began.elapsed() < Duration::from_secs(8), "it did not wait until the claim had run out");
}

#[tokio::test]
async fn what_was_deleted_or_set_while_it_was_loaded_is_not_stored() {
    let db = database().await;
    let other = db.elsewhere();
    for change in 0..5 {
        let (began, end, loading) = begun(&db.mgr, LoadOptions::new(300));
        began.await.unwrap();
        match change {
            0 => assert!(!other.cache.delete("k").await.unwrap(), "there is no value yet"),
            1 => other.cache.set("k", &5, 300).await.unwrap(),
            2 => assert_eq!(other.cache.delete_by_prefix("k").await.unwrap(), 0),
            3 => assert!(other.cache.set_if_absent("k", &5, 300).await.unwrap()),
            _ => assert_eq!(other.cache.incr("k", 5, 300).await.unwrap(), 5),
        }
        end.send(1).unwrap();
        assert_eq!(loading.await.unwrap().unwrap(), 1, "whoever loaded it has it");
        let expected = (change % 2 == 1 || change == 4).then_some(5);
        assert_eq!(other.cache.get("k").await.unwrap(), expected, "change {change}");
        other.cache.delete("k").await.unwrap();
    }
}

#[tokio::test]
async fn that_there_is_nothing_is_remembered() {
    let db = database().await;
    let cache = &db.mgr.cache;
    let options = LoadOptions::new(300).missing_for(Duration::from_secs(60));
    let none = || async { Ok::<Option<u32>, String>(None) };
    assert_eq!(cache.find_or_load("none", options, none).await.unwrap(), None);
    let never = || async { Err::<Option<u32>, _>("not called") };
    assert_eq!(cache.find_or_load("none", options, never).await.unwrap(), None);
    let Some(TimeLeft::Some(left)) = cache.ttl("none").await.unwrap() else { panic!("it expires") };
    assert!(left <= Duration::from_secs(60), "{left:?}");
    assert_eq!(cache.find_or_load("some", options, || async { Ok::<_, String>(Some(1)) }).await.unwrap(), Some(1));
    assert_eq!(cache.find_or_load("some", options, never).await.unwrap(), Some(1));
}

#[tokio::test]
async fn a_value_is_loaded_early_by_chance_and_lives_for_a_random_time() {
    let db = database().await;
    let cache = &db.mgr.cache;
    let loads = AtomicU32::new(0);
    let load = || async { Ok::<u32, String>(loads.fetch_add(1, Ordering::SeqCst)) };
    let early = LoadOptions::new(300).early(Duration::from_secs(3600));
    eventually("it is loaded although it has not expired", async || {
        cache.get_or_load("early", early, load).await.unwrap() > 0
    })
    .await;
    let options = LoadOptions::new(1000).jitter(0.5);
    let mut lives = Vec::new();
    for n in 0..20 {
        let key = format!("jitter {n}");
        cache.get_or_load(&key, options, || async { Ok::<u32, String>(1) }).await.unwrap();
        let Some(TimeLeft::Some(left)) = cache.ttl(&key).await.unwrap() else { panic!("it expires") };
        lives.push(left.as_secs());
    }
    assert!(lives.iter().all(|left| (400..=1000).contains(left)), "{lives:?}");
    assert!(lives.iter().max() > lives.iter().min(), "{lives:?}");
}

#[tokio::test]
async fn hits_misses_and_loads_are_counted() {
    let db = database().await;
    let cache = db.mgr.cache.with_local_tier(LocalTier::new(1 << 20, Duration::from_secs(3600)));
    assert_eq!(cache.get::<u8>("k").await.unwrap(), None);
    assert_eq!(cache.get_or_set("k", 300, || async { Ok::<u8, String>(1) }).await.unwrap(), 1);
    for _ in 0..3 {
        assert_eq!(cache.get("k").await.unwrap(), Some(1));
    }
    assert_eq!(cache.get_many(["k", "none"]).await.unwrap(), [Some(1), None]);
    let counted = db.mgr.cache.statistics();
    assert_eq!((counted.hits, counted.misses, counted.loads), (4, 3, 1), "{counted:?}");
    // What was kept before the process was told of changes is thrown away when it is.
    eventually("the memory serves", async || {
        assert_eq!(cache.get("k").await.unwrap(), Some(1));
        db.mgr.cache.statistics().local_hits >= 3
    })
    .await;
}
