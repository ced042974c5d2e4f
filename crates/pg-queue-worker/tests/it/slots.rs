//! Slots for handlers, and who waits for whom.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use pg_queue_client::PgQueue;
use pg_queue_core::Job;
use pg_queue_worker::{Context, Handler, Outcome, Worker};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::support::{App, Db, Ended, Running, db, soon, start, tasks};

#[derive(Serialize, Deserialize, Job)]
#[job(crate = "pg_queue_core", queue = "watched")]
struct Watching;

impl Handler<()> for Watching {
    async fn run(self, _: Context<()>) -> Ended {
        Ok(Outcome::Complete)
    }
}

/// A worker with nothing to do but to notice who is dead.
async fn watcher(db: &Db) -> Running {
    db.execute("select pg_queue_create_queue('watched')").await;
    start(Worker::builder().register::<Watching>().heartbeat(Duration::from_secs(1)).build(&db.queue, ()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn handlers_that_use_up_the_pool_do_not_hold_up_the_worker() {
    let db = db().await;
    let watcher = watcher(&db).await;
    db.execute("create table runs (n bigint)").await;
    db.push_many(0..50).await;
    let small = PgQueue::new(db.database.pool_of(2).await.unwrap());
    let (begun, mut begins) = mpsc::unbounded_channel();
    let app = App::new(move |n, ctx| {
        begun.send(Instant::now()).unwrap();
        async move {
            let mut connection = ctx.pool().acquire().await?;
            sqlx::query("insert into runs values ($1)").bind(n).execute(&mut *connection).await?;
            // 50 of them, 2 at a time: 5 s, and three heartbeats are 3.
            sqlx::query("select pg_sleep(0.2)").execute(&mut *connection).await?;
            Ok(Outcome::Complete)
        }
    });
    let worker = start(tasks().concurrency(50).build(&small, app).unwrap());
    let first = soon(begins.recv()).await.unwrap();
    let mut last = first;
    for _ in 1..50 {
        last = soon(begins.recv()).await.unwrap();
    }
    assert!(last - first < Duration::from_secs(2), "they hold or wait for connections all at once");
    db.until("select count(*) = 0 from queue_work").await;
    assert!(first.elapsed() > Duration::from_millis(4500));
    let summary = worker.stop().await;
    assert_eq!((summary.completed, summary.retried, summary.lost_leases), (50, 0, 0));
    assert_eq!(db.get::<i64>("select count(*) from runs").await, 50);
    assert_eq!(db.get::<i64>("select count(*) from pg_queue_workers where dead_at is not null").await, 0);
    watcher.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_jobs_run_at_once_than_there_are_slots() {
    let db = db().await;
    db.push_many(0..500).await;
    let (running, most) = (Arc::new(AtomicI64::new(0)), Arc::new(AtomicI64::new(0)));
    let (now, seen) = (running.clone(), most.clone());
    let app = App::new(move |n, _| {
        seen.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
        let now = now.clone();
        async move {
            crate::support::work_for(Duration::from_millis((n % 5).unsigned_abs())).await;
            now.fetch_sub(1, SeqCst);
            if n % 50 == 0 { Err("now and then".into()) } else { Ok(Outcome::Complete) }
        }
    });
    let worker = start(tasks().concurrency(7).build(&db.queue, app).unwrap());
    db.until("select count(*) = 0 from queue_work").await;
    let summary = worker.stop().await;
    assert_eq!((summary.completed, summary.discarded, summary.retried), (490, 10, 20));
    assert_eq!(running.load(SeqCst), 0);
    assert_eq!(most.load(SeqCst), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn handlers_that_block_the_runtime_do_not_stop_the_heart() {
    let db = db().await;
    let watcher = watcher(&db).await;
    db.push_many(0..2).await;
    let (sender, mut blocked) = mpsc::unbounded_channel();
    let app = App::new(move |_, ctx| {
        let sender = sender.clone();
        async move {
            crate::support::block_for(Duration::from_secs(4));
            sender.send(ctx.is_cancelled()).unwrap();
            Ok(Outcome::Complete)
        }
    });
    // On a thread and a runtime of its own, which the handlers bring to a standstill.
    let url = db.database.url().to_owned();
    let worker = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let queue = PgQueue::connect(&url).await.unwrap();
            let worker = tasks().build(&queue, app).unwrap();
            worker
                .run_until(async move {
                    for _ in 0..2 {
                        assert_eq!(blocked.recv().await, Some(false), "nobody was cancelled");
                    }
                })
                .await
                .unwrap()
        })
    });
    let summary = soon(tokio::task::spawn_blocking(|| worker.join().unwrap())).await.unwrap();
    assert_eq!((summary.completed, summary.retried, summary.lost_leases), (2, 0, 0));
    assert_eq!(db.get::<i64>("select count(*) from pg_queue_workers where dead_at is not null").await, 0);
    watcher.stop().await;
}
