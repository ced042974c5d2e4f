//! How soon a dead worker's jobs run elsewhere, at the shortest heartbeat. Alone in its executable: it is about seconds, and
//! other tests would take them.
#![cfg(unix)]

// What this one does not need is needed by the tests beside it.
#[expect(dead_code, reason = "shared with the tests of `it`")]
#[path = "it/support.rs"]
mod support;

#[expect(dead_code, reason = "shared with the tests of `it`")]
#[path = "it/process.rs"]
mod process;

use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::sync::mpsc;

use crate::{
    process::Process,
    support::{App, db, effect, soon, start, tasks},
};

#[tokio::test(flavor = "multi_thread")]
async fn the_jobs_of_a_killed_worker_run_elsewhere_within_three_seconds_if_that_is_asked_for() {
    let heartbeat = Duration::from_millis(500);
    let mut slowest = Duration::ZERO;
    for _ in 0..5 {
        let db = db().await;
        db.execute(
            "create table starts (job bigint not null, attempt smallint not null);
             create table effects (job bigint not null)",
        )
        .await;
        db.push_many(0..20).await;
        let victim = Process::start(&db, "hold", heartbeat);
        db.until("select count(*) = 20 from starts").await;
        let (sender, mut ran) = mpsc::unbounded_channel();
        let app = App::new(move |_, ctx| {
            sender.send(ctx.attempt()).unwrap();
            async move { effect(&ctx).await }
        });
        let other = start(tasks().concurrency(20).heartbeat(heartbeat).build(&db.queue, app).unwrap());
        // It has watched for a while, as a worker has that did not start just now.
        db.until("select count(*) = 2 and min(beat) >= 4 from pg_queue_workers").await;
        victim.signal(Signal::KILL);
        let killed = Instant::now();
        for _ in 0..20 {
            assert_eq!(soon(ran.recv()).await, Some(2));
        }
        slowest = slowest.max(killed.elapsed());
        db.until("select count(*) = 0 from queue_work").await;
        assert_eq!(other.stop().await.rescued, 20);
        assert_eq!(db.effects().await, (20, 20));
    }
    println!("the slowest of five rescues took {slowest:?}");
    assert!(slowest < Duration::from_secs(3), "{slowest:?}");
}
