//! Cancelling jobs while they run, and limits of their time.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use pg_queue_client::CancelOutcome;
use pg_queue_core::{Job, JobId};
use pg_queue_worker::{Failure, Outcome};
use tokio::sync::{Notify, mpsc};

use crate::support::{App, Db, Dropped, Ended, Slow, Task, db, soon, start, tasks, work};

const EMPTY: &str = "select count(*) = 0 from queue_work";

async fn push(db: &Db, n: i64) -> JobId {
    Task { n }.enqueue(&db.queue).await.unwrap().id()
}

async fn cancel(db: &Db, id: JobId) {
    assert_eq!(db.queue.queue.cancel(&work(), id).await.unwrap(), CancelOutcome::Cancelling);
}

/// Handlers that wait until they are cancelled, and then end as `end` says.
fn waiting(end: impl Fn(i64) -> Ended + Send + Sync + 'static) -> (App, mpsc::UnboundedReceiver<i64>) {
    let (begun, begins) = mpsc::unbounded_channel();
    let end = Arc::new(end);
    let app = App::new(move |n, ctx| {
        begun.send(n).unwrap();
        let end = end.clone();
        async move {
            ctx.cancelled().await;
            end(n)
        }
    });
    (app, begins)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_job_is_cancelled_at_once_and_its_own_error_is_kept() {
    let db = db().await;
    let id = push(&db, 1).await;
    let (app, mut begins) = waiting(|_| Err("stopped at page 7".into()));
    // Its next look at its leases is a minute away: only the notification can be that quick.
    let worker = start(tasks().heartbeat(Duration::from_secs(60)).build(&db.queue, app).unwrap());
    soon(begins.recv()).await.unwrap();
    let began = Instant::now();
    cancel(&db, id).await;
    db.until(EMPTY).await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    let summary = worker.stop().await;
    assert_eq!((summary.cancelled, summary.retried, summary.completed), (1, 0, 0));
    assert_eq!(db.errors("pg_queue_history").await, ["the job was cancelled while it ran: stopped at page 7"]);
    assert!(db.get::<bool>("select state = 'cancelled' and attempt = 1 from pg_queue_history").await);
    assert!(db.get::<bool>("select (errors->0->>'duration_ms')::int >= 0 from pg_queue_history").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_that_nobody_heard_of_is_seen_after_the_next_beat() {
    let db = db().await;
    push(&db, 1).await;
    let (app, mut begins) = waiting(|_| Err("stopped".into()));
    let worker = start(tasks().build(&db.queue, app).unwrap());
    soon(begins.recv()).await.unwrap();
    // As if the notification had been lost.
    db.execute("update queue_work set cancel_requested_at = now()").await;
    db.until(EMPTY).await;
    assert_eq!(worker.stop().await.cancelled, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_does_not_heed_is_dropped_after_the_grace() {
    let db = db().await;
    let id = push(&db, 1).await;
    let (begun, mut begins) = mpsc::unbounded_channel();
    let (dropped, mut drops) = mpsc::unbounded_channel();
    let app = App::new(move |_, _| {
        let guard = Dropped(dropped.clone());
        begun.send(()).unwrap();
        async move {
            std::future::pending::<()>().await;
            drop(guard);
            Ok(Outcome::Complete)
        }
    });
    let grace = Duration::from_millis(700);
    let worker = start(tasks().cancel_grace(grace).build(&db.queue, app).unwrap());
    soon(begins.recv()).await.unwrap();
    let asked = Instant::now();
    cancel(&db, id).await;
    let took = soon(drops.recv()).await.unwrap() - asked;
    assert!((grace..grace + Duration::from_secs(3)).contains(&took), "{took:?}");
    db.until(EMPTY).await;
    assert_eq!(worker.stop().await.cancelled, 1);
    assert_eq!(db.errors("pg_queue_history").await, ["the job was cancelled while it ran"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_handler_that_succeeds_or_decides_for_itself_is_taken_at_its_word() {
    let db = db().await;
    let mut ids = Vec::new();
    for n in 0..4 {
        ids.push(push(&db, n).await);
    }
    let (app, mut begins) = waiting(|n| match n {
        0 => Ok(Outcome::Complete),
        1 => Err(Failure::discard("no such user")),
        // It shall not come back, though.
        2 => Ok(Outcome::Snooze(Duration::from_secs(3600))),
        _ => Err(Failure::retry_after(Duration::from_secs(3600), "later")),
    });
    let worker = start(tasks().build(&db.queue, app).unwrap());
    for _ in 0..4 {
        soon(begins.recv()).await.unwrap();
    }
    for id in ids {
        cancel(&db, id).await;
    }
    db.until(EMPTY).await;
    let summary = worker.stop().await;
    assert_eq!((summary.completed, summary.discarded, summary.cancelled), (1, 1, 2));
    assert_eq!((summary.snoozed, summary.retried), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_may_cancel_its_own_job() {
    let db = db().await;
    push(&db, 0).await;
    push(&db, 1).await;
    let app = App::new(|n, _| async move {
        if n == 0 { Ok(Outcome::Cancel) } else { Err(Failure::cancel("the order was withdrawn")) }
    });
    let worker = start(tasks().build(&db.queue, app).unwrap());
    db.until(EMPTY).await;
    assert_eq!(worker.stop().await.cancelled, 2);
    assert_eq!(db.get::<i64>("select count(*) from pg_queue_history where state = 'cancelled'").await, 2);
    assert_eq!(db.errors("pg_queue_history").await, ["the order was withdrawn"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_cancel_does_not_disturb_the_others() {
    let db = db().await;
    let mut ids = Vec::new();
    for n in 0..20 {
        ids.push(push(&db, n).await);
    }
    let (begun, mut begins) = mpsc::unbounded_channel();
    let go_on = Arc::new(Notify::new());
    let goes_on = go_on.clone();
    let app = App::new(move |_, ctx| {
        begun.send(()).unwrap();
        let goes_on = goes_on.clone();
        async move {
            tokio::select! {
                () = goes_on.notified() => Ok(Outcome::Complete),
                () = ctx.cancelled() => Err("cancelled".into()),
            }
        }
    });
    let worker = start(tasks().concurrency(20).build(&db.queue, app).unwrap());
    for _ in 0..20 {
        soon(begins.recv()).await.unwrap();
    }
    for id in &ids[..5] {
        cancel(&db, *id).await;
    }
    db.until("select count(*) = 15 from queue_work").await;
    go_on.notify_waiters();
    db.until(EMPTY).await;
    let summary = worker.stop().await;
    assert_eq!((summary.cancelled, summary.completed, summary.lost_leases), (5, 15, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_jobs_own_timeout_takes_the_place_of_its_kinds() {
    let db = db().await;
    let began = Instant::now();
    // Its kind has a second.
    Slow { n: 0 }.enqueue(&db.queue).timeout(Duration::from_millis(100)).max_attempts(1).await.unwrap();
    Slow { n: 1 }.enqueue(&db.queue).timeout(Duration::from_secs(2)).max_attempts(1).await.unwrap();
    Slow { n: 2 }.enqueue(&db.queue).no_timeout().max_attempts(1).await.unwrap();
    let app = App::new(|n, ctx| async move {
        if n == 2 {
            crate::support::work_for(Duration::from_millis(2500)).await;
            return Ok(Outcome::Complete);
        }
        ctx.cancelled().await;
        Err("cancelled".into())
    });
    let worker = start(tasks().build(&db.queue, app).unwrap());
    db.until(EMPTY).await;
    assert!(began.elapsed() >= Duration::from_millis(2500));
    let summary = worker.stop().await;
    assert_eq!((summary.completed, summary.discarded), (1, 2));
    let mut errors = db.errors("pg_queue_history").await;
    errors.sort();
    assert_eq!(errors, ["the handler took longer than 100ms: cancelled", "the handler took longer than 2s: cancelled"]);
}

/// Anybody who can connect can notify, and a notification may come late: after the job was cancelled, and retried.
#[tokio::test(flavor = "multi_thread")]
async fn a_notification_alone_cancels_nothing() {
    let db = db().await;
    let ids = [push(&db, 0).await, push(&db, 1).await, push(&db, 2).await];
    let (begun, mut begins) = mpsc::unbounded_channel();
    let go_on = Arc::new(Notify::new());
    let goes_on = go_on.clone();
    let app = App::new(move |_, ctx| {
        begun.send(()).unwrap();
        let goes_on = goes_on.clone();
        async move {
            tokio::select! {
                () = ctx.cancelled() => Err("cancelled".into()),
                () = goes_on.notified() => Ok(Outcome::Complete),
            }
        }
    });
    let worker = start(tasks().heartbeat(Duration::from_secs(60)).build(&db.queue, app).unwrap());
    for _ in 0..3 {
        soon(begins.recv()).await.unwrap();
    }
    // Once this one is gone, the worker listens.
    cancel(&db, ids[2]).await;
    db.until("select count(*) = 2 from queue_work").await;
    db.execute(&format!("select pg_notify('pg_queue.public', 'cancel:work:{}')", ids[0])).await;
    // The next one is heard after it.
    cancel(&db, ids[1]).await;
    db.until("select count(*) < 2 from queue_work").await;
    go_on.notify_one();
    db.until(EMPTY).await;
    let summary = worker.stop().await;
    assert_eq!((summary.completed, summary.cancelled), (1, 2));
}

/// Libraries cancel the tokens that they are given, when they are done.
#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_cancels_its_token_does_not_cancel_itself() {
    let db = db().await;
    push(&db, 1).await;
    let app = App::new(|_, ctx| async move {
        drop(ctx.job().cancellation().drop_guard());
        crate::support::work_for(Duration::from_millis(300)).await;
        assert!(!ctx.is_cancelled());
        Ok(Outcome::Complete)
    });
    let worker = start(tasks().cancel_grace(Duration::from_millis(50)).build(&db.queue, app).unwrap());
    db.until(EMPTY).await;
    let summary = worker.stop().await;
    assert_eq!((summary.completed, summary.retried), (1, 0));
}
