//! The server crashes while the cache is in use.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering::SeqCst},
    },
    time::Duration,
};

use pg_queue_client::{GetOrSetError, PgQueue};
use pg_queue_core::cache::CacheError;
use pg_queue_embedded::{Halt, Server, Settings};
#[cfg(unix)]
use rustix::process::{Pid, Signal, kill_process};
use sqlx::{PgPool, postgres::PgPoolOptions};
use tokio::{task::JoinSet, time::timeout};

use crate::support::{LONG, eventually};

/// A server of the test's own, on disk, whose log writer leaves a commit that did not wait in memory.
async fn server() -> (Arc<Server>, PgPool) {
    let settings = Settings::durable().with("wal_writer_delay", "10s").with("restore_command", "false");
    let server = Arc::new(Server::start(settings).unwrap());
    let pool = PgPoolOptions::new().max_connections(20).connect_lazy(&server.admin_url()).unwrap();
    pg_queue_client::migrate(&pool).await.unwrap();
    (server, pool)
}

/// Ends the server without letting it write anything more, and starts it again.
async fn crash(server: &Arc<Server>) {
    let crashing = Arc::clone(server);
    let crashed = tokio::task::spawn_blocking(move || {
        crashing.halt(Halt::Immediate).unwrap();
        crashing.resume().unwrap();
    });
    crashed.await.unwrap();
}

/// Ends one of the server's processes with `kill -9`, after which the server ends all others and recovers by itself.
#[cfg(unix)]
async fn kill_one(pool: &PgPool) {
    let mut connection = pool.acquire().await.unwrap();
    let pid: i32 = sqlx::query_scalar("select pg_backend_pid()").fetch_one(&mut *connection).await.unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    // Not before it is gone: who asks earlier may be answered by the server as it was.
    eventually("it is gone", async || sqlx::query("select 1").execute(&mut *connection).await.is_err()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_emptied_cache_is_loaded_once_by_all_who_ask() {
    let (server, pool) = server().await;
    let loads = Arc::new(AtomicU32::new(0));
    let over = Arc::new(AtomicBool::new(false));
    let answers = Arc::new(AtomicU32::new(0));
    let mut callers = JoinSet::new();
    for _ in 0..2 {
        let mgr = PgQueue::new(pool.clone());
        for _ in 0..100 {
            let cache = mgr.cache.clone();
            let (loads, over, answers) = (Arc::clone(&loads), Arc::clone(&over), Arc::clone(&answers));
            callers.spawn(async move {
                while !over.load(SeqCst) {
                    let load = || async { Ok::<u32, String>(loads.fetch_add(1, SeqCst)) };
                    match cache.get_or_set("k", 3600, load).await {
                        Ok(value) => {
                            assert!(value < loads.load(SeqCst));
                            answers.fetch_add(1, SeqCst);
                        }
                        Err(GetOrSetError::Cache(CacheError::Database(_))) => tokio::task::yield_now().await,
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
    }
    for crashes in 1..=4 {
        eventually("it is loaded", async || loads.load(SeqCst) == crashes).await;
        match crashes % 2 {
            #[cfg(unix)]
            0 => kill_one(&pool).await,
            _ => crash(&server).await,
        }
        answers.store(0, SeqCst);
        eventually("everybody goes on", async || answers.load(SeqCst) > 2000).await;
        assert_eq!(loads.load(SeqCst), crashes + 1, "once after each crash");
    }
    over.store(true, SeqCst);
    timeout(LONG, callers.join_all()).await.unwrap();
}

#[tokio::test]
async fn what_has_a_log_is_there_after_a_crash_and_no_number_comes_back() {
    let (server, pool) = server().await;
    let mgr = PgQueue::new(pool.clone());
    let cache = &mgr.cache;
    cache.set("k", &1, 3600).await.unwrap();
    cache.durable().set("early", &1, 3600).await.unwrap();
    assert!(cache.once("flag", 3600).await.unwrap());
    // Also where whoever set the database up does not wait for the disk.
    sqlx::raw_sql("alter role current_user set synchronous_commit = off").execute(&pool).await.unwrap();
    pool.close().await;
    let pool = PgPoolOptions::new().connect_lazy(&server.admin_url()).unwrap();
    let mgr = PgQueue::new(pool.clone());
    let cache = &mgr.cache;
    let mut last = 0;
    for _ in 0..3 {
        let lock = cache.lock("l", Duration::from_secs(3600)).await.unwrap().unwrap();
        assert!(lock.fence() > last, "{} after {last}", lock.fence());
        last = lock.fence();
        cache.durable().set("late", &1, 3600).await.unwrap();
        crash(&server).await;
        eventually("the server is there", async || cache.get::<u8>("k").await.is_ok()).await;
        assert!(cache.lock("l", 60).await.unwrap().is_none(), "it is still held");
        sqlx::query("update pg_queue_locks set until = now()").execute(&pool).await.unwrap();
        drop(lock);
    }
    assert_eq!(cache.get::<u8>("k").await.unwrap(), None);
    assert_eq!(cache.durable().get::<u8>("early").await.unwrap(), Some(1));
    // What was set in the last moment may be lost, and is when the server's log writer sleeps.
    assert_eq!(cache.durable().get::<u8>("late").await.unwrap(), None);
    assert!(!cache.once("flag", 3600).await.unwrap());
}
