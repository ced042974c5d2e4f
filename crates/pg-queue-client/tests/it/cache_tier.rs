//! Values in a process's own memory, and how they follow changes.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use pg_queue_client::{Cache, LocalTier, PgQueue};
use pg_queue_core::cache::Expiry;
use tokio::{
    task::yield_now,
    time::{sleep, timeout},
};

use crate::support::{Db, LONG, database, eventually};

const HOUR: Duration = Duration::from_secs(3600);

fn kept(mgr: &PgQueue, max_age: Duration) -> Cache {
    mgr.cache.with_local_tier(LocalTier::new(16 << 20, max_age))
}

/// Waits until this cache is told of changes, and has thrown away what it kept before.
async fn hears(db: &Db, cache: &Cache) {
    let writer = &db.elsewhere().cache;
    writer.set("marker", &0, 600).await.unwrap();
    assert_eq!(cache.get("marker").await.unwrap(), Some(0));
    let registered = "select count(*) from pg_queue_cache_tiers where until > now()";
    eventually("it wants to be told", async || db.count(registered).await > 0).await;
    // Twice: the first time it may be the beginning of the connection that has emptied the memory.
    for n in 1..=2 {
        eventually("it is read from memory", async || {
            let before = cache.statistics().local_hits;
            assert_eq!(cache.get("marker").await.unwrap(), Some(n - 1));
            cache.statistics().local_hits > before
        })
        .await;
        writer.set("marker", &n, 600).await.unwrap();
        // Without being told it would not see the change in this test's time.
        let seen = async {
            while cache.get::<i32>("marker").await.unwrap() != Some(n) {
                yield_now().await;
            }
        };
        timeout(LONG, seen).await.unwrap();
    }
}

/// Changes the value behind the library's back.
async fn overwrite(db: &Db, value: i32) {
    let update =
        "update pg_queue_cache set value = convert_to($1::text, 'UTF8') where key <> '\\x00'::bytea || 'marker'";
    sqlx::query(update).bind(value).execute(&db.pool).await.unwrap();
}

#[tokio::test]
async fn a_value_is_read_from_memory_until_it_is_too_old() {
    let db = database().await;
    // Before the memory hears of changes: it hears of those of its own process too, a moment later.
    db.mgr.cache.set("k", &1, 600).await.unwrap();
    hears(&db, &kept(&db.mgr, HOUR)).await;
    let cache = kept(&db.mgr, Duration::from_secs(1));
    let read = Instant::now();
    assert_eq!(cache.get("k").await.unwrap(), Some(1));
    overwrite(&db, 2).await;
    eventually("the change is seen", async || cache.get("k").await.unwrap() == Some(2)).await;
    assert!(read.elapsed() >= Duration::from_secs(1), "not before it was too old");
    let eternal = kept(&db.mgr, HOUR);
    assert_eq!(eternal.get("k").await.unwrap(), Some(2));
    overwrite(&db, 3).await;
    assert_eq!(eternal.get("k").await.unwrap(), Some(2));
    assert_eq!(eternal.get_many(["k", "k"]).await.unwrap(), [Some(2), Some(2)]);
    assert_eq!(db.mgr.cache.get("k").await.unwrap(), Some(3), "others ask the server");
}

#[tokio::test]
async fn a_value_is_not_shown_beyond_its_own_time_and_a_sliding_one_is_not_kept() {
    let db = database().await;
    let cache = kept(&db.mgr, HOUR);
    cache.set("short", &1, Duration::from_millis(300)).await.unwrap();
    let set = Instant::now();
    assert!(cache.get::<u8>("short").await.is_ok());
    eventually("it is gone", async || cache.get::<u8>("short").await.unwrap().is_none()).await;
    assert!(set.elapsed() < LONG);
    cache.set("slides", &1, Expiry::sliding(600)).await.unwrap();
    assert_eq!(cache.get("slides").await.unwrap(), Some(1));
    overwrite(&db, 2).await;
    assert_eq!(cache.get("slides").await.unwrap(), Some(2));
    assert_eq!(cache.get::<u8>("none").await.unwrap(), None);
    db.mgr.cache.set("none", &1, 60).await.unwrap();
    assert_eq!(cache.get("none").await.unwrap(), Some(1), "that there was none is not kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_the_same_process_a_change_is_seen_at_once() {
    let db = database().await;
    let cache = kept(&db.mgr, HOUR);
    for n in 0..500 {
        // By another clone of the handle, which has no tier.
        match n % 5 {
            0 => db.mgr.cache.set("k", &n, 600).await.unwrap(),
            1 => db.mgr.cache.set_many([("k", n)], 600).await.unwrap(),
            2 => drop(db.mgr.cache.incr("k", 1, 600).await.unwrap()),
            3 => {
                let version = db.mgr.cache.get_versioned::<i64>("k").await.unwrap().unwrap().version;
                assert!(db.mgr.cache.compare_and_swap("k", version, &n, 600).await.unwrap().is_some());
            }
            _ => db.mgr.cache.set_tagged("k", &n, 600, ["t"]).await.unwrap(),
        }
        assert_eq!(cache.get("k").await.unwrap(), Some(n));
    }
    for remove in 0..4 {
        db.mgr.cache.set_tagged("k", &1, 600, ["t"]).await.unwrap();
        assert_eq!(cache.get("k").await.unwrap(), Some(1));
        match remove {
            0 => assert!(db.mgr.cache.delete("k").await.unwrap()),
            1 => assert_eq!(db.mgr.cache.get_and_delete("k").await.unwrap(), Some(1)),
            2 => assert_eq!(db.mgr.cache.delete_by_prefix("k").await.unwrap(), 1),
            _ => assert_eq!(db.mgr.cache.delete_by_tag("t").await.unwrap(), 1),
        }
        assert_eq!(cache.get::<u8>("k").await.unwrap(), None);
    }
}

#[tokio::test]
async fn another_process_is_told_of_every_kind_of_change() {
    let db = database().await;
    let other = db.elsewhere();
    let (writer, reader) = (&other.cache.namespace("n").unwrap(), kept(&db.mgr, HOUR));
    hears(&db, &reader).await;
    let reader = reader.namespace("n").unwrap();
    writer.set("k", &0, 600).await.unwrap();
    for n in 1..=8 {
        // What is kept has no end of its own here: only by being told can the reader know.
        assert_eq!(reader.get("k").await.unwrap(), Some(n - 1));
        match n {
            1 => writer.set("k", &n, 600).await.unwrap(),
            2 => writer.set_many([("k", n)], 600).await.unwrap(),
            3 => drop(writer.incr("k", 1, 600).await.unwrap()),
            4 => writer.set_tagged("k", &n, 600, ["t"]).await.unwrap(),
            5 => assert_eq!(writer.delete_by_tag("t").await.unwrap(), 1),
            6 => drop(writer.get_and_delete::<i32>("k").await.unwrap()),
            7 => assert_eq!(writer.clear().await.unwrap(), 1),
            _ => assert!(writer.delete("k").await.unwrap()),
        }
        let expected = (n < 5).then_some(n);
        eventually("the reader knows", async || reader.get("k").await.unwrap() == expected).await;
        if n >= 5 {
            writer.set("k", &n, 600).await.unwrap();
        }
    }
}

#[tokio::test]
async fn nothing_is_notified_while_nobody_keeps_values() {
    let db = database().await;
    let mut listener = db.mgr.create_listener().await.unwrap();
    listener.listen("pg_queue.cache.public").await.unwrap();
    db.mgr.cache.set("k", &1, 60).await.unwrap();
    db.mgr.cache.set_many([("a", 1), ("b", 2)], 60).await.unwrap();
    db.mgr.cache.delete("k").await.unwrap();
    db.mgr.notify.notify("pg_queue.cache.public", "first").await.unwrap();
    let received = timeout(LONG, listener.recv()).await.unwrap().unwrap();
    assert_eq!(received.payload, "first");
}

#[tokio::test]
async fn what_was_missed_while_the_connection_was_gone_is_not_shown() {
    let db = database().await;
    let other = db.elsewhere();
    let reader = kept(&db.mgr, HOUR);
    hears(&db, &reader).await;
    other.cache.set("k", &1, 600).await.unwrap();
    assert_eq!(reader.get("k").await.unwrap(), Some(1));
    assert!(db.kill_listeners().await > 0);
    other.cache.set("k", &2, 600).await.unwrap();
    eventually("the gap has emptied the memory", async || reader.get("k").await.unwrap() == Some(2)).await;
}

/// The promise: once a change has returned in one process, no other one shows the old value beyond the tier's age, whatever
/// becomes of the notifications. `PG_QUEUE_TEST_TIER_TRIES=100000` sets so many values.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_value_is_shown_beyond_the_bound_while_listeners_are_killed() {
    const BOUND: Duration = Duration::from_millis(50);
    let tries = std::env::var("PG_QUEUE_TEST_TIER_TRIES").map_or(5000, |tries| tries.parse().unwrap());
    let db = database().await;
    let reader = kept(&db.mgr, BOUND);
    let other = db.elsewhere();
    other.cache.set("k", &0_u64, 600).await.unwrap();
    // Values, and when setting them had returned.
    let set = Arc::new(Mutex::new(VecDeque::from([(0_u64, Instant::now())])));
    let over = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn({
        let (set, over, cache) = (Arc::clone(&set), Arc::clone(&over), other.cache.clone());
        async move {
            for n in 1..=tries {
                cache.set("k", &n, 600).await.unwrap();
                set.lock().unwrap().push_back((n, Instant::now()));
                // Now and then it stands for longer than the bound.
                if rand::random_ratio(1, 500) {
                    sleep(BOUND.mul_f64(2.0 * rand::random::<f64>())).await;
                }
            }
            over.store(true, Ordering::SeqCst);
        }
    });
    let (mut reads, mut killed) = (0_u64, 0);
    let mut kill_at = Instant::now();
    while !over.load(Ordering::SeqCst) {
        reads += 1;
        let asked = Instant::now();
        let got: u64 = reader.get("k").await.unwrap().unwrap();
        {
            let mut set = set.lock().unwrap();
            // The last one that had returned for so long when this was asked.
            while set.get(1).is_some_and(|(_, returned)| *returned + BOUND < asked) {
                set.pop_front();
            }
            let (oldest, returned) = set[0];
            assert!(
                got >= oldest || returned + BOUND >= asked,
                "{got}, although {oldest} had been set for {:?}",
                asked - returned
            );
        }
        if asked >= kill_at {
            killed += db.kill_listeners().await;
            kill_at = Instant::now() + Duration::from_millis(500).mul_f64(rand::random());
        }
        if reads % 64 == 0 {
            yield_now().await;
        }
    }
    writer.await.unwrap();
    let local = reader.statistics().local_hits;
    assert!(local > reads / 10, "{local} of {reads} reads were from memory");
    assert!(killed > 0, "no listener was killed");
}
