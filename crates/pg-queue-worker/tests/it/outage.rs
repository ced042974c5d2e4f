//! The database goes away and comes back.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use futures_util::StreamExt;
use pg_queue_client::PgQueue;
use pg_queue_worker::{Event, Outcome};
use tokio::sync::mpsc;

use crate::support::{App, Ended, db, effect, soon, start, tasks};

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_break_under_load_lose_no_job_and_double_none() {
    let db = db().await;
    db.execute("create table effects (job bigint not null)").await;
    db.push_many(0..1000).await;
    // The handlers' own statements fail as well, which counts as their failure.
    db.execute("update queue_work set max_attempts = 1000").await;
    let app = || App::new(|_, ctx| async move { effect(&ctx).await });
    let builder = || tasks().concurrency(20).heartbeat(Duration::from_secs(5));
    let workers = [(); 2].map(|()| start(builder().build(&db.queue, app()).unwrap()));
    db.until("select count(*) = 2 from pg_queue_workers").await;
    for _ in 0..20 {
        db.terminate().await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // The pool of the test has broken connections too: it may take some tries.
    crate::support::eventually("all jobs have ended", async || {
        sqlx::query_scalar("select count(*) = 0 from queue_work").fetch_one(&db.pool).await.unwrap_or(false)
    })
    .await;
    assert_eq!(db.effects().await, (1000, 1000));
    assert_eq!(db.get::<i64>("select count(*) from pg_queue_history").await, 0);
    for worker in workers {
        worker.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn results_that_come_while_the_database_is_away_are_kept_and_delivered() {
    let db = db().await;
    db.push_many(0..40).await;
    let (begun, mut begins) = mpsc::unbounded_channel();
    let ran = Arc::new(AtomicU64::new(0));
    let runs = ran.clone();
    let (go_on, goes_on) = tokio::sync::watch::channel(false);
    let app = App::new(move |n, _| {
        runs.fetch_add(1, SeqCst);
        begun.send(()).unwrap();
        let mut goes_on = goes_on.clone();
        async move {
            goes_on.wait_for(|go_on| *go_on).await?;
            match n % 4 {
                0 => Err("an error".into()),
                1 => Ok(Outcome::Snooze(Duration::from_secs(3600))),
                2 => Err(pg_queue_worker::Failure::discard("an error")),
                _ => Ok(Outcome::Complete) as Ended,
            }
        }
    });
    let worker = start(tasks().heartbeat(Duration::from_secs(5)).concurrency(40).build(&db.queue, app).unwrap());
    for _ in 0..40 {
        soon(begins.recv()).await.unwrap();
    }
    db.begin_outage().await;
    go_on.send(true).unwrap();
    crate::support::work_for(Duration::from_secs(2)).await;
    db.end_outage().await;
    db.until("select count(*) = 10 and bool_and(lease_token is null) from queue_work").await;
    let summary = worker.stop().await;
    assert_eq!((summary.completed, summary.snoozed, summary.discarded, summary.lost_leases), (10, 10, 20, 0));
    // The failed ones were tried three times each, the others once.
    assert_eq!(ran.load(SeqCst), 60);
}

/// What ends while no connection can be opened was never told: if its lease has passed on meanwhile, that is what is said.
#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_could_not_be_told_and_came_too_late_is_not_called_a_completion() {
    let db = db().await;
    db.push(1).await;
    let (begun, mut begins) = mpsc::unbounded_channel();
    let (go_on, goes_on) = tokio::sync::watch::channel(false);
    let app = App::new(move |_, _| {
        begun.send(()).unwrap();
        let mut goes_on = goes_on.clone();
        async move {
            goes_on.wait_for(|go_on| *go_on).await?;
            Ok(Outcome::Complete) as Ended
        }
    });
    // The worker connects as somebody who can be kept out.
    let role = db.database.name();
    db.execute(&format!("create role {role} superuser login")).await;
    let options = db.pool.connect_options().as_ref().clone().username(role);
    let queue = PgQueue::new(sqlx::PgPool::connect_with(options).await.unwrap());
    let builder = tasks().cancel_grace(Duration::from_secs(60));
    let worker = builder.build(&queue, app).unwrap();
    let mut events = worker.events();
    let worker = start(worker);
    soon(begins.recv()).await.unwrap();
    db.execute(&format!(
        "alter role {role} nologin;
         select pg_terminate_backend(pid) from pg_stat_activity where usename = '{role}'"
    ))
    .await;
    // By then all connections that were open are known to be broken.
    while soon(events.next()).await.unwrap() != Event::OutOfContact {}
    // As another worker would have it that has declared this one dead.
    db.execute("update queue_work set lease_token = 1, lease_worker = 1").await;
    go_on.send(true).unwrap();
    crate::support::work_for(Duration::from_secs(1)).await;
    db.execute(&format!("alter role {role} login")).await;
    while soon(events.next()).await.unwrap() != Event::InContact {}
    let summary = worker.stop().await;
    assert_eq!((summary.completed, summary.lost_leases), (0, 1));
    queue.pool().close().await;
    db.execute(&format!("drop role {role}")).await;
}
