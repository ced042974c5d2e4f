//! Jobs of kinds that nobody runs.

use std::time::{Duration, Instant};

use pg_queue_worker::Outcome;
use tokio::sync::mpsc;

use crate::support::{App, db, soon, start, tasks};

const UNKNOWN: &str = "insert into queue_work (kind, payload, priority)
    select 'unknown', '1', n % 10 from generate_series(1, 200000) as n";

/// Without parking, each empty claim walked all of them: 22 to 41 ms, every few milliseconds.
#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_thousand_jobs_that_nobody_runs_are_put_aside_and_cost_the_others_nothing() {
    let db = db().await;
    db.execute(UNKNOWN).await;
    db.push(1).await;
    let (sender, mut ran) = mpsc::unbounded_channel();
    let app = App::new(move |n, _| {
        sender.send((n, Instant::now())).unwrap();
        async { Ok(Outcome::Complete) }
    });
    let worker = start(tasks().heartbeat(Duration::from_secs(5)).build(&db.queue, app).unwrap());
    assert_eq!(soon(ran.recv()).await.unwrap().0, 1, "behind all of them, and not held up");
    db.until("select count(*) = 200000 from queue_work where parked = 'kind'").await;
    // What a claim has to walk now.
    let plan: serde_json::Value = sqlx::query_scalar(
        "explain (analyze, format json) select from queue_work
         where priority = 5 and run_at <= now() and parked is null and kind = any ('{task}') order by run_at, id limit 1",
    )
    .fetch_one(&db.pool)
    .await
    .unwrap();
    let walked = plan[0]["Plan"]["Plans"][0]["Rows Removed by Filter"].as_i64().unwrap_or(0);
    assert!(walked < 100, "{plan}");
    db.push(2).await;
    assert_eq!(soon(ran.recv()).await.unwrap().0, 2);
    let summary = worker.stop().await;
    assert_eq!((summary.completed, summary.discarded, summary.retried), (2, 0, 0));
    assert_eq!(db.get::<i64>("select count(*) from queue_work where attempt = 0 and errors is null").await, 200_000);
}

/// A producer that is quicker than the one who puts its jobs aside does not keep that one from all else.
#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_nobody_runs_and_that_never_end_do_not_hold_up_the_rest_of_maintenance() {
    let db = db().await;
    // For each job that is put aside another one comes.
    db.execute(
        "create function another() returns trigger language plpgsql as
         $$ begin insert into queue_work (kind, payload) values ('unknown', '1'); return null; end $$;
         create trigger another after update on queue_work for each row
         when (old.parked is null and new.parked is not null) execute function another();
         insert into queue_work (kind, payload) values ('unknown', '1')",
    )
    .await;
    db.push(1).await;
    let app = App::new(|_, ctx| async move {
        ctx.cancelled().await;
        Err("cancelled".into())
    });
    let worker = start(tasks().build(&db.queue, app).unwrap());
    db.until("select count(*) > 50 from queue_work where parked = 'kind'").await;
    // As if its notification had been lost.
    db.execute("update queue_work set cancel_requested_at = now() where kind = 'task'").await;
    db.until("select count(*) = 0 from queue_work where kind = 'task'").await;
    assert_eq!(worker.stop().await.cancelled, 1);
}
