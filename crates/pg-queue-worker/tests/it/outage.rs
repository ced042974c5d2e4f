//! The database goes away and comes back.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use pg_queue_worker::Outcome;
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
