//! Telling the database how attempts ended, when something is in the way.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use pg_queue_core::{Job, QueueName};
use pg_queue_worker::Outcome;
use tokio::sync::{Semaphore, mpsc};

use crate::support::{App, Ended, Task, db, soon, start, tasks};

/// Handlers that tell when they begin and end when they are let.
fn gated() -> (App, mpsc::UnboundedReceiver<i64>, Arc<Semaphore>) {
    let (begun, begins) = mpsc::unbounded_channel();
    let gate = Arc::new(Semaphore::new(0));
    let opened = gate.clone();
    let app = App::new(move |n, _| {
        begun.send(n).unwrap();
        let gate = gate.clone();
        async move {
            gate.acquire().await?.forget();
            Ok(Outcome::Complete) as Ended
        }
    });
    (app, begins, opened)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_row_holds_up_no_other() {
    let db = db().await;
    db.push_many(0..20).await;
    let (app, mut begins, gate) = gated();
    let worker = start(tasks().concurrency(20).build(&db.queue, app).unwrap());
    for _ in 0..20 {
        soon(begins.recv()).await.unwrap();
    }
    let mut operator = db.pool.begin().await.unwrap();
    sqlx::query("select from queue_work where payload->>'n' = '7' for update").execute(&mut *operator).await.unwrap();
    gate.add_permits(1000);
    db.until("select count(*) = 1 from queue_work").await;
    // Later ones pass it too.
    for n in 20..30 {
        db.push(n).await;
        assert_eq!(soon(begins.recv()).await, Some(n));
    }
    db.until("select count(*) = 1 from queue_work").await;
    operator.rollback().await.unwrap();
    db.until("select count(*) = 0 from queue_work").await;
    let summary = worker.stop().await;
    assert_eq!((summary.completed, summary.lost_leases), (30, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_acknowledgement_that_is_refused_holds_up_no_other() {
    let db = db().await;
    db.execute(
        "create function refuse() returns trigger language plpgsql as $$ begin raise exception 'refused'; end $$;
         create trigger refuse before delete on queue_work for each row
         when (old.payload->>'n' = '7') execute function refuse()",
    )
    .await;
    db.push_many(0..100).await;
    let (app, mut begins, gate) = gated();
    let worker = start(tasks().concurrency(100).build(&db.queue, app).unwrap());
    for _ in 0..100 {
        soon(begins.recv()).await.unwrap();
    }
    gate.add_permits(1000);
    db.until("select count(*) = 1 from queue_work").await;
    let began = Instant::now();
    for n in 100..120 {
        db.push(n).await;
        assert_eq!(soon(begins.recv()).await, Some(n));
    }
    db.until("select count(*) = 1 from queue_work").await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?} for 20 jobs beside it", began.elapsed());
    db.execute("drop trigger refuse on queue_work").await;
    db.until("select count(*) = 0 from queue_work").await;
    let summary = worker.stop().await;
    assert_eq!((summary.completed, summary.lost_leases), (120, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_dropped_under_its_running_jobs_holds_up_no_other() {
    let db = db().await;
    let doomed = QueueName::new("doomed").unwrap();
    db.queue.queue.create(&doomed).await.unwrap();
    let (app, mut begins, gate) = gated();
    for n in 0..5 {
        Task { n }.enqueue(&db.queue).queue(&doomed).await.unwrap();
    }
    let worker = start(tasks().queue(&doomed).concurrency(10).build(&db.queue, app).unwrap());
    for _ in 0..5 {
        soon(begins.recv()).await.unwrap();
    }
    db.execute("select pg_queue_drop_queue('doomed', true)").await;
    gate.add_permits(1000);
    let began = Instant::now();
    for n in 0..50 {
        db.push(n).await;
        soon(begins.recv()).await.unwrap();
    }
    db.until("select count(*) = 0 from queue_work").await;
    assert!(began.elapsed() < Duration::from_secs(10), "{:?} for 50 jobs beside it", began.elapsed());
    let summary = worker.stop().await;
    assert_eq!((summary.completed, summary.lost_leases), (50, 5));
    assert!(db.workers().await.is_empty(), "it ended cleanly");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_whose_table_is_locked_holds_up_no_other_for_long() {
    let db = db().await;
    let altered = QueueName::new("altered").unwrap();
    db.queue.queue.create(&altered).await.unwrap();
    let (app, mut begins, gate) = gated();
    Task { n: 1000 }.enqueue(&db.queue).queue(&altered).await.unwrap();
    let worker = start(tasks().queue(&altered).concurrency(10).build(&db.queue, app).unwrap());
    assert_eq!(soon(begins.recv()).await, Some(1000));
    let mut operator = db.pool.begin().await.unwrap();
    sqlx::query("lock table queue_altered in access exclusive mode").execute(&mut *operator).await.unwrap();
    gate.add_permits(1000);
    let began = Instant::now();
    for n in 0..30 {
        db.push(n).await;
        assert_eq!(soon(begins.recv()).await, Some(n));
    }
    // A few waits of a second each, with growing pauses between them.
    assert!(began.elapsed() < Duration::from_secs(15), "{:?} for 30 jobs beside it", began.elapsed());
    operator.rollback().await.unwrap();
    db.until("select count(*) = 0 from pg_queue_jobs").await;
    let summary = worker.stop().await;
    assert_eq!((summary.completed, summary.lost_leases), (31, 0));
}

/// On one thread, so that both end in one statement.
#[tokio::test]
async fn what_was_completed_is_not_called_lost_because_of_what_was_locked_beside_it() {
    let db = db().await;
    db.push_many(0..2).await;
    let (app, mut begins, gate) = gated();
    let worker = start(tasks().heartbeat(Duration::from_secs(60)).build(&db.queue, app).unwrap());
    for _ in 0..2 {
        soon(begins.recv()).await.unwrap();
    }
    let mut operator = db.pool.begin().await.unwrap();
    sqlx::query("select from queue_work where payload->>'n' = '1' for update").execute(&mut *operator).await.unwrap();
    // After the completion the connection may not look any more whether the rest is locked or lost.
    db.execute(
        "create function disable() returns trigger language plpgsql as
         $$ begin perform set_config('role', 'pg_monitor', false); return null; end $$;
         create trigger disable after delete on queue_work for each statement execute function disable()",
    )
    .await;
    gate.add_permits(2);
    db.until("select count(*) = 1 from queue_work").await;
    operator.rollback().await.unwrap();
    db.execute("drop trigger disable on queue_work").await;
    db.until("select count(*) = 0 from queue_work").await;
    let summary = worker.stop().await;
    assert_eq!((summary.completed, summary.lost_leases), (2, 0));
}

/// Outputs have up to 1 MiB each: a thousand of them in one statement are more than a small server has.
#[tokio::test]
async fn large_outputs_go_in_several_statements() {
    let db = db().await;
    db.execute(
        "create table written (bytes bigint);
         create function note() returns trigger language plpgsql as
         $$ begin insert into written select sum(octet_length(output::text)) from new; return null; end $$;
         create trigger note after insert on pg_queue_history referencing new table as new
         for each statement execute function note()",
    )
    .await;
    db.push_many(0..40).await;
    let gate = Arc::new(Semaphore::new(0));
    let opened = gate.clone();
    let (begun, mut begins) = mpsc::unbounded_channel();
    let app = App::new(move |_, ctx| {
        begun.send(()).unwrap();
        let gate = gate.clone();
        async move {
            gate.acquire().await?.forget();
            ctx.output(&"x".repeat(1 << 19))?;
            Ok(Outcome::Complete)
        }
    });
    let worker = start(tasks().heartbeat(Duration::from_secs(60)).concurrency(40).build(&db.queue, app).unwrap());
    for _ in 0..40 {
        soon(begins.recv()).await.unwrap();
    }
    opened.add_permits(40);
    db.until("select count(*) = 0 from queue_work").await;
    assert_eq!(worker.stop().await.completed, 40);
    assert!(db.get::<i64>("select sum(bytes)::bigint from written").await > 20 << 20);
    let most: i64 = db.get("select max(bytes) from written").await;
    assert!(most <= 9 << 20, "{most}");
}
