//! Moving the time of jobs, with workers and without.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    time::Duration,
};

use pg_queue_client::testing::Clock;
use pg_queue_core::{Job, JobState};
use pg_queue_worker::{Outcome, testing::drain};

use crate::support::{App, Slow, Task, db, start, tasks, work};

const HOUR: Duration = Duration::from_secs(3600);

fn done() -> App {
    App::new(|_, _| async { Ok(Outcome::Complete) })
}

#[tokio::test]
async fn what_is_due_by_the_clock_is_drained() {
    let db = db().await;
    let clock = Clock::of(&db.queue).await.unwrap();
    for hours in [1, 2, 3] {
        Task { n: i64::from(hours) }.enqueue(&db.queue).delay(HOUR * hours).await.unwrap();
    }
    let worker = tasks().build(&db.queue, done()).unwrap();
    assert_eq!(drain(&worker).await.unwrap().completed(), 0);
    clock.advance(HOUR * 2).await.unwrap();
    assert_eq!(drain(&worker).await.unwrap().completed(), 2);
    // Back: what is left waits longer, and what is enqueued now is not due when it was.
    let now = clock.now().await.unwrap();
    clock.set(now - HOUR * 4).await.unwrap();
    Task { n: 4 }.enqueue(&db.queue).await.unwrap();
    assert_eq!(drain(&worker).await.unwrap().completed(), 1);
    clock.reset().await.unwrap();
    assert_eq!(drain(&worker).await.unwrap().completed(), 0, "an hour is not over yet, by the server's own time");
    assert_eq!(db.jobs().await, 1);
}

#[tokio::test]
async fn a_retry_is_due_when_its_policy_says() {
    let db = db().await;
    let clock = Clock::of(&db.queue).await.unwrap();
    Slow { n: 1 }.enqueue(&db.queue).await.unwrap();
    let fails = App::new(|_, _| async { Err("no luck".into()) });
    let worker = tasks().build(&db.queue, fails).unwrap();
    assert_eq!(drain(&worker).await.unwrap().retried(), 1);
    clock.advance(HOUR / 2).await.unwrap();
    assert_eq!(drain(&worker).await.unwrap().runs().len(), 0);
    clock.advance(HOUR * 2 / 3).await.unwrap();
    assert_eq!(drain(&worker).await.unwrap().retried(), 1);
    clock.advance(HOUR * 2).await.unwrap();
    assert_eq!(drain(&worker).await.unwrap().discarded(), 1);
    let hours =
        "select extract(epoch from ((errors->2->>'at')::timestamptz - (errors->0->>'at')::timestamptz))::int / 3600
        from pg_queue_history";
    assert_eq!(db.get::<i32>(hours).await, 3, "errors are noted at the clock's time");
}

/// Its poll is a minute away: only the clock can be that quick.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_runs_is_woken_when_the_clock_moves() {
    let db = db().await;
    let clock = Clock::of(&db.queue).await.unwrap();
    let runs = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&runs);
    let app = App::new(move |_, _| {
        counted.fetch_add(1, SeqCst);
        async { Ok(Outcome::Complete) }
    });
    let worker = start(tasks().poll_interval(Duration::from_secs(60)).build(&db.queue, app).unwrap());
    for days in 1..=3 {
        Task { n: i64::from(days) }.enqueue(&db.queue).delay(HOUR * 24 * days).await.unwrap();
        // So that it sleeps, and its listener hears.
        db.until(
            "select exists (select from pg_queue_waiters) and exists (
            select from pg_stat_activity where datname = current_database() and (query ilike 'LISTEN%' or query like '-- A sign of life%'))",
        )
        .await;
        assert_eq!(runs.load(SeqCst), days - 1);
        let before = std::time::Instant::now();
        clock.advance(HOUR * 24 * days).await.unwrap();
        db.until("select count(*) = 0 from queue_work").await;
        assert!(before.elapsed() < Duration::from_secs(30), "{:?}", before.elapsed());
    }
    let summary = worker.stop().await;
    assert_eq!((summary.completed, summary.rescued, summary.lost_leases), (3, 0, 0));
}

/// Who is alive goes by the server's own time: a leap of the jobs' clock kills nobody.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_outlives_any_leap_of_the_clock() {
    let db = db().await;
    let clock = Clock::of(&db.queue).await.unwrap();
    let one = start(tasks().heartbeat(Duration::from_millis(500)).build(&db.queue, done()).unwrap());
    let other = start(tasks().heartbeat(Duration::from_millis(500)).build(&db.queue, done()).unwrap());
    db.until("select count(*) = 2 from pg_queue_workers").await;
    let before = db.workers().await;
    clock.advance(HOUR * 24 * 365).await.unwrap();
    let beat: i64 = db.get("select min(beat) from pg_queue_workers").await;
    db.until(&format!("select min(beat) > {} from pg_queue_workers", beat + 8)).await;
    assert_eq!(db.workers().await, before);
    for worker in [one, other] {
        worker.stop().await;
    }
}

/// Documented: the jobs of the dead are looked for among those that are due.
#[tokio::test]
async fn what_ran_when_the_clock_went_back_is_rescued_when_its_time_comes_again() {
    let db = db().await;
    let clock = Clock::of(&db.queue).await.unwrap();
    let now = clock.advance(HOUR).await.unwrap();
    db.push(1).await;
    db.execute(
        "insert into pg_queue_workers (id, beat_interval_ms, name, queues, kinds, dead_at)
            values (1, 500, 'dead', '{work}', '{task}', now());
         update queue_work set lease_worker = 1, lease_token = 2, leased_at = pg_queue_now(), attempt = 1",
    )
    .await;
    clock.set(now - HOUR).await.unwrap();
    let worker = tasks().build(&db.queue, done()).unwrap();
    assert_eq!(drain(&worker).await.unwrap().runs().len(), 0);
    let stored = db.queue.queue.jobs(&work(), &Default::default(), None, 1).await.unwrap();
    assert_eq!(stored[0].state, JobState::Running);
    clock.advance(HOUR).await.unwrap();
    assert_eq!(drain(&worker).await.unwrap().completed(), 1);
}
