//! Workers that die, and workers that only seem to.

use std::time::{Duration, Instant};

use pg_queue_core::Job;
use pg_queue_worker::Outcome;
use rustix::process::Signal;
use tokio::sync::mpsc;

use crate::{
    process::Process,
    support::{App, Db, Task, db, effect, eventually, past_the_pooler, soon, start, tasks},
};

const SECOND: Duration = Duration::from_secs(1);

async fn prepared() -> Db {
    let db = db().await;
    db.execute(
        "create table starts (job bigint not null, attempt smallint not null);
         create table effects (job bigint not null);
         create table go (at timestamptz default now())",
    )
    .await;
    db
}

async fn all_started(db: &Db, jobs: i64) {
    db.until(&format!("select count(*) = {jobs} from starts")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_jobs_of_a_killed_worker_run_elsewhere_within_30_seconds() {
    let db = prepared().await;
    db.push_many(0..100).await;
    let heartbeat = Duration::from_secs(5);
    let victim = Process::start(&db, "hold", heartbeat);
    all_started(&db, 100).await;
    let (sender, mut ran) = mpsc::unbounded_channel();
    let app = App::new(move |n, ctx| {
        let sender = sender.clone();
        async move {
            let errors: String = sqlx::query_scalar("select errors::text from queue_work where id = $1")
                .bind(ctx.job_id().get())
                .fetch_one(&past_the_pooler(ctx.pool()))
                .await?;
            sender.send((n, ctx.attempt(), errors))?;
            effect(&ctx).await
        }
    });
    let other = start(tasks().concurrency(100).heartbeat(heartbeat).build(&db.queue, app).unwrap());
    db.until("select count(*) = 2 from pg_queue_workers").await;
    victim.signal(Signal::KILL);
    let killed = Instant::now();
    let mut seen = Vec::new();
    for _ in 0..100 {
        let (n, attempt, errors) = soon(ran.recv()).await.unwrap();
        assert_eq!(attempt, 2);
        assert!(errors.contains("died while it ran the job"), "{errors}");
        seen.push(n);
    }
    let took = killed.elapsed();
    println!("100 jobs of a killed worker were run by another {took:?} after its death");
    assert!(took < Duration::from_secs(30), "{took:?}");
    seen.sort_unstable();
    assert_eq!(seen, (0..100).collect::<Vec<_>>());
    db.until("select count(*) = 0 from queue_work").await;
    let summary = other.stop().await;
    assert_eq!((summary.rescued, summary.completed, summary.lost_leases), (100, 100, 0));
    assert_eq!(db.effects().await, (100, 100));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_slept_past_its_lease_changes_nothing_when_it_wakes() {
    let db = prepared().await;
    db.push_many(0..40).await;
    let sleeper = Process::start(&db, "stale", SECOND);
    all_started(&db, 40).await;
    sleeper.signal(Signal::STOP);
    let app = App::new(|_, ctx| async move { effect(&ctx).await });
    let other = start(tasks().concurrency(10).build(&db.queue, app).unwrap());
    db.until("select count(*) = 0 from queue_work").await;
    assert_eq!(db.effects().await, (40, 40));
    // It wakes, and all of its handlers go on as if nothing had happened.
    sleeper.signal(Signal::CONT);
    db.execute("insert into go default values").await;
    // A new job shows that the sleeper lives again, under a new id.
    db.until("select count(*) filter (where dead_at is null) = 2 and count(*) = 3 from pg_queue_workers").await;
    let summary = other.stop().await;
    assert_eq!((summary.completed, summary.rescued), (40, 40));
    let printed = sleeper.ended().await;
    assert_eq!(db.effects().await, (40, 40), "{printed}");
    assert!(!printed.contains("a stale effect was committed"), "{printed}");
    assert!(printed.contains("completed: 0") && printed.contains("lost_leases: 40"), "{printed}");
    assert_eq!(db.get::<i64>("select count(*) from pg_queue_history").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_last_attempt_died_with_its_worker_is_discarded() {
    let db = prepared().await;
    for n in 0..5 {
        Task { n }.enqueue(&db.queue).max_attempts(1).await.unwrap();
    }
    let victim = Process::start(&db, "hold", SECOND);
    all_started(&db, 5).await;
    victim.signal(Signal::KILL);
    let app = App::new(|_, _| async { Ok(Outcome::Complete) });
    let other = start(tasks().build(&db.queue, app).unwrap());
    db.until("select count(*) = 0 from queue_work").await;
    let summary = other.stop().await;
    assert_eq!((summary.rescued, summary.completed), (5, 0));
    let errors = db.errors("pg_queue_history").await;
    assert_eq!(errors.len(), 5);
    assert!(errors.iter().all(|error| error.contains("died while it ran the job")), "{errors:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_kills_its_process_is_discarded_in_the_end() {
    let db = prepared().await;
    db.push(1).await;
    let mut crashes = 0;
    let mut process = Process::start(&db, "abort", SECOND);
    // Restarted each time, as a supervisor would.
    while db.jobs().await > 0 {
        if process.has_ended() {
            crashes += 1;
            process = Process::start(&db, "abort", SECOND);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(crashes < 5);
    }
    assert_eq!(crashes, 3);
    assert_eq!(db.errors("pg_queue_history").await.len(), 3);
    let printed = process.ended().await;
    assert!(printed.contains("rescued: 1"), "{printed}");
    eventually("the last one has signed off", async || db.workers().await.iter().all(|(_, dead)| *dead)).await;
}
