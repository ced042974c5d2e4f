//! The end of a worker.

use std::{
    future::{Future, poll_fn},
    task::Poll,
    time::{Duration, Instant},
};

use pg_queue_worker::Outcome;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::support::{App, Dropped, Ended, db, eventually, soon, start, tasks};

const UNTOUCHED: &str = "select count(*) > 0 and bool_and(attempt = 0 and lease_token is null and lease_worker is null
    and errors is null) from queue_work";

#[tokio::test(flavor = "multi_thread")]
async fn running_handlers_finish() {
    let db = db().await;
    db.push_many(0..6).await;
    let (begun, mut begins) = mpsc::unbounded_channel();
    let (go_on, goes_on) = watch::channel(false);
    let app = App::new(move |_, ctx| {
        begun.send(()).unwrap();
        let mut goes_on = goes_on.clone();
        async move {
            goes_on.wait_for(|go_on| *go_on).await?;
            assert!(!ctx.is_cancelled());
            Ok(Outcome::Complete) as Ended
        }
    });
    let worker = start(tasks().concurrency(4).build(&db.queue, app).unwrap());
    for _ in 0..4 {
        soon(begins.recv()).await.unwrap();
    }
    worker.signal();
    go_on.send(true).unwrap();
    let summary = worker.ended().await;
    // One or two more, if a slot was free again before the signal was seen.
    let left = db.jobs().await;
    assert_eq!(summary.completed, 6 - left.unsigned_abs());
    assert!(summary.completed >= 4 && summary.retried == 0, "{summary:?}");
    assert!(left == 0 || db.get::<bool>(UNTOUCHED).await);
    assert!(db.workers().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn handlers_that_take_too_long_are_dropped_and_their_jobs_go_back_unharmed() {
    let db = db().await;
    db.push_many(0..3).await;
    let (begun, mut begins) = mpsc::unbounded_channel();
    let (dropped, mut drops) = mpsc::unbounded_channel();
    let (told, mut cancels) = mpsc::unbounded_channel();
    let app = App::new(move |n, ctx| {
        let (guard, told) = (Dropped(dropped.clone()), told.clone());
        begun.send(()).unwrap();
        async move {
            ctx.cancelled().await;
            told.send(Instant::now()).unwrap();
            match n {
                // Whoever is told to end and says so has not failed.
                0 => Err("cancelled".into()),
                1 => Ok(Outcome::Complete),
                _ => {
                    std::future::pending::<()>().await;
                    drop(guard);
                    Ok(Outcome::Complete)
                }
            }
        }
    });
    let timeout = Duration::from_millis(300);
    let worker = start(tasks().shutdown_timeout(timeout).build(&db.queue, app).unwrap());
    for _ in 0..3 {
        soon(begins.recv()).await.unwrap();
    }
    let began = Instant::now();
    worker.signal();
    for _ in 0..3 {
        assert!(soon(cancels.recv()).await.unwrap() - began >= timeout);
    }
    let summary = worker.ended().await;
    assert_eq!((summary.completed, summary.released, summary.retried), (1, 2, 0));
    let mut last = began;
    for _ in 0..3 {
        last = soon(drops.recv()).await.unwrap();
    }
    // The grace is 5 s.
    assert!((Duration::from_millis(5000)..Duration::from_millis(8000)).contains(&(last - began)), "{:?}", last - began);
    assert_eq!(db.jobs().await, 2);
    assert!(db.get::<bool>(UNTOUCHED).await);
    assert!(db.workers().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_the_workers_future_ends_everything_and_gives_the_jobs_back() {
    let db = db().await;
    db.push_many(0..8).await;
    let (begun, mut begins) = mpsc::unbounded_channel();
    let (dropped, mut drops) = mpsc::unbounded_channel();
    let app = App::new(move |_, _| {
        let guard = Dropped(dropped.clone());
        begun.send(()).unwrap();
        async move {
            std::future::pending::<()>().await;
            drop(guard);
            Ok(Outcome::Complete) as Ended
        }
    });
    let worker = start(tasks().concurrency(5).build(&db.queue, app).unwrap());
    for _ in 0..5 {
        soon(begins.recv()).await.unwrap();
    }
    worker.drop_future().await;
    for _ in 0..5 {
        soon(drops.recv()).await.unwrap();
    }
    eventually("the worker has signed off", async || db.workers().await.is_empty()).await;
    assert_eq!(db.jobs().await, 8);
    assert!(db.get::<bool>(UNTOUCHED).await);
    // Nothing of it is left.
    db.until(
        "select count(*) = 0 from pg_stat_activity where datname = current_database()
         and query like '%pg_queue_workers%' and pid <> pg_backend_pid() and query not like '%pg_stat_activity%'
         and query not like 'select id, dead_at%'",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_the_future_of_a_worker_that_shuts_down_ends_its_patience() {
    let db = db().await;
    db.push(1).await;
    let (begun, mut begins) = mpsc::unbounded_channel();
    let app = App::new(move |_, _| {
        begun.send(()).unwrap();
        std::future::pending()
    });
    let worker = start(tasks().build(&db.queue, app).unwrap());
    soon(begins.recv()).await.unwrap();
    worker.signal();
    let began = Instant::now();
    worker.drop_future().await;
    eventually("the worker has signed off", async || db.workers().await.is_empty()).await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert!(db.get::<bool>(UNTOUCHED).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_claim_brings_that_was_in_flight_at_the_end_goes_back() {
    let db = db().await;
    let app = App::new(|_, _| async { Ok(Outcome::Complete) });
    let worker = tasks().poll_interval(Duration::from_millis(10)).build(&db.queue, app).unwrap();
    let stop = CancellationToken::new();
    let mut worker = Box::pin(worker.run_until(stop.cancelled()));
    // The claim waits for the table, and finds a job when it gets it.
    let claims = async {
        db.until("select count(*) > 0 from pg_queue_waiters").await;
        db.lock_out_claims().await
    };
    let mut operator = tokio::select! {
        operator = claims => operator,
        _ = &mut worker => panic!("it was not told to end"),
    };
    let push = "insert into queue_work (kind, payload) values ('task', '{\"n\": 1}')";
    sqlx::query(push).execute(&mut *operator).await.unwrap();
    stop.cancel();
    // It hears the signal in this turn.
    poll_fn(|turn| Poll::Ready(worker.as_mut().poll(turn).is_ready())).await;
    operator.commit().await.unwrap();
    let summary = soon(worker).await.unwrap();
    assert_eq!((summary.completed, summary.released), (0, 1));
    assert!(db.get::<bool>(UNTOUCHED).await);
    assert!(db.workers().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_that_come_and_go_leave_nothing_behind() {
    let db = db().await;
    db.execute("create table effects (job bigint not null)").await;
    db.push_many(0..400).await;
    let mut done = 0;
    // Each is stopped in the middle of its work, and sometimes dropped.
    for round in 0.. {
        let app = App::new(|_, ctx| async move { crate::support::effect(&ctx).await });
        let worker = start(tasks().concurrency(8).shutdown_timeout(Duration::ZERO).build(&db.queue, app).unwrap());
        eventually("some jobs are done", async || {
            let (jobs, _) = db.effects().await;
            jobs >= (done + 20).min(400)
        })
        .await;
        if round % 3 == 2 {
            worker.drop_future().await;
        } else {
            worker.stop().await;
        }
        (done, _) = db.effects().await;
        if done == 400 {
            break;
        }
    }
    eventually("all workers have signed off", async || db.workers().await.is_empty()).await;
    assert_eq!(db.effects().await, (400, 400));
    assert_eq!(db.jobs().await, 0);
    assert_eq!(db.get::<i64>("select count(*) from pg_queue_history").await, 0);
}
