//! What a worker does that does not have the lease it thinks it has, or has one it does not know of.

use std::{sync::Arc, time::Duration};

use pg_queue_worker::Outcome;
use tokio::sync::{Notify, mpsc};

use crate::support::{App, Dropped, Ended, db, eventually, soon, start, tasks};

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledgement_after_the_lease_has_passed_on_changes_nothing() {
    let db = db().await;
    db.push_many(0..4).await;
    let (begun, mut begins) = mpsc::unbounded_channel();
    let go_on = Arc::new(Notify::new());
    let goes_on = go_on.clone();
    let app = App::new(move |n, _| {
        let go_on = goes_on.clone();
        let begun = begun.clone();
        async move {
            let went_on = go_on.notified();
            begun.send(()).unwrap();
            went_on.await;
            match n {
                0 => Ok(Outcome::Complete),
                1 => Ok(Outcome::Snooze(Duration::from_secs(9))),
                2 => Err("an error".into()),
                _ => Err(pg_queue_worker::Failure::discard("an error")),
            }
        }
    });
    let worker = start(tasks().build(&db.queue, app).unwrap());
    for _ in 0..4 {
        soon(begins.recv()).await.unwrap();
    }
    db.execute("update queue_work set lease_token = 1, lease_worker = 1").await;
    let before: String = db.get("select string_agg(q::text, '|' order by id) from queue_work as q").await;
    go_on.notify_waiters();
    let summary = worker.stop().await;
    assert_eq!((summary.lost_leases, summary.completed + summary.retried + summary.snoozed), (4, 0));
    assert_eq!(db.get::<String>("select string_agg(q::text, '|' order by id) from queue_work as q").await, before);
    assert_eq!(db.get::<i64>("select count(*) from pg_queue_history").await, 0);
}

/// As if a claim had been committed and its answer lost.
const LOST_CLAIM: &str = "insert into queue_work (kind, payload, attempt, lease_worker, lease_token)
    select 'task', '{\"n\": 1}', 1, id, 4711 from pg_queue_workers where dead_at is null";

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_whose_reply_was_lost_goes_back() {
    let db = db().await;
    let (sender, mut ran) = mpsc::unbounded_channel();
    let app = App::new(move |_, ctx| {
        sender.send(ctx.attempt()).unwrap();
        async { Ok(Outcome::Complete) }
    });
    // A heartbeat that outlasts the test: the worker keeps its id.
    let builder = tasks().heartbeat(Duration::from_secs(60)).poll_interval(Duration::from_millis(100));
    let worker = start(builder.build(&db.queue, app).unwrap());
    db.until("select count(*) > 0 from pg_queue_waiters").await;
    db.execute(LOST_CLAIM).await;
    db.break_a_claim().await;
    assert_eq!(soon(ran.recv()).await, Some(1), "the attempt that nobody made is not counted");
    db.until("select count(*) = 0 from queue_work").await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_may_hold_jobs_unknowingly_does_not_vanish_with_them() {
    let db = db().await;
    let (sender, mut ran) = mpsc::unbounded_channel();
    let app = || {
        let sender = sender.clone();
        App::new(move |_, ctx| {
            sender.send(ctx.attempt()).unwrap();
            async { Ok(Outcome::Complete) }
        })
    };
    let builder = || tasks().poll_interval(Duration::from_millis(100));
    let worker = start(builder().heartbeat(Duration::from_secs(60)).build(&db.queue, app()).unwrap());
    db.until("select count(*) > 0 from pg_queue_waiters").await;
    db.execute(LOST_CLAIM).await;
    db.break_a_claim().await;
    // Before it has looked for them.
    worker.stop().await;
    assert_eq!(db.workers().await.iter().map(|(_, dead)| *dead).collect::<Vec<_>>(), [true]);
    let other = start(builder().build(&db.queue, app()).unwrap());
    assert_eq!(soon(ran.recv()).await, Some(2));
    assert_eq!(other.stop().await.rescued, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_is_dropped_whose_lease_was_forgotten_while_the_connection_was_lost() {
    let db = db().await;
    db.push(1).await;
    db.push(2).await;
    let (begun, mut begins) = mpsc::unbounded_channel();
    let (dropped, mut drops) = mpsc::unbounded_channel();
    let go_on = Arc::new(Notify::new());
    let goes_on = go_on.clone();
    let app = App::new(move |n, _| {
        begun.send(()).unwrap();
        let guard = (n == 1).then(|| Dropped(dropped.clone()));
        let go_on = goes_on.clone();
        async move {
            go_on.notified().await;
            drop(guard);
            Ok(Outcome::Complete) as Ended
        }
    });
    let worker = start(tasks().build(&db.queue, app).unwrap());
    for _ in 0..2 {
        soon(begins.recv()).await.unwrap();
    }
    // As after a failover to a standby that had not received the claim yet, and gave the job to somebody else.
    db.execute("update queue_work set lease_token = 1, lease_worker = 1 where payload->>'n' = '1'").await;
    db.terminate().await;
    soon(drops.recv()).await.unwrap();
    go_on.notify_one();
    eventually("the other job is completed", async || db.jobs().await == 1).await;
    let summary = worker.stop().await;
    // It is not certain that the lease was lost if the acknowledgement met a broken connection first.
    assert_eq!((summary.lost_leases + summary.retried, summary.completed), (1, 1));
}
