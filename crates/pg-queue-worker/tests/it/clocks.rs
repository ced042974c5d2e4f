//! Clocks that step.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt;
use pg_queue_worker::{Event, Outcome, Worker};
use tokio::sync::{Notify, mpsc};

use crate::support::{App, Ended, db, eventually, soon, start, tasks};

const BEAT: Duration = Duration::from_millis(500);

/// The clock by which jobs are due steps a day ahead and a day back, each time for longer than a lease. It says nothing
/// about who is alive.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_steps_kills_nobody_and_stops_no_handler() {
    let db = db().await;
    let (sender, mut ended) = mpsc::unbounded_channel();
    let go_on = Arc::new(Notify::new());
    let app = || {
        let (sender, go_on) = (sender.clone(), go_on.clone());
        App::new(move |n, ctx| {
            let (sender, go_on) = (sender.clone(), go_on.clone());
            async move {
                if n == 0 {
                    go_on.notified().await;
                }
                sender.send((n, ctx.attempt())).unwrap();
                Ok(Outcome::Complete) as Ended
            }
        })
    };
    let workers = [(); 2].map(|()| tasks().heartbeat(BEAT).build(&db.queue, app()).unwrap());
    let mut events: Vec<_> = workers.iter().map(Worker::events).collect();
    let workers = workers.map(start);
    db.push(0).await;
    eventually("it runs", async || db.get::<i64>("select count(*) from queue_work where attempt = 1").await == 1).await;
    for clock in ["now() + interval '1 day'", "now() - interval '1 day'", "now()"] {
        let replace = "create or replace function pg_queue_now() returns timestamptz language sql stable";
        db.execute(&format!("{replace} as $$ select {clock} $$")).await;
        let beats: i64 = db.get("select sum(beat)::bigint from pg_queue_workers").await;
        // Eight beats of each.
        db.until(&format!("select sum(beat) >= {beats} + 16 from pg_queue_workers")).await;
        assert_eq!(db.get::<i64>("select count(*) from pg_queue_workers where dead_at is null").await, 2, "{clock}");
        // And work goes on.
        db.push(1).await;
        assert_eq!(soon(ended.recv()).await, Some((1, 1)), "{clock}");
    }
    go_on.notify_one();
    assert_eq!(soon(ended.recv()).await, Some((0, 1)));
    for worker in workers {
        let summary = worker.stop().await;
        assert_eq!((summary.rescued, summary.lost_leases), (0, 0), "{summary:?}");
    }
    for events in &mut events {
        while let Some(event) = soon(events.next()).await {
            assert!(!matches!(event, Event::DeclaredDead | Event::OutOfContact), "{event:?}");
        }
    }
}
