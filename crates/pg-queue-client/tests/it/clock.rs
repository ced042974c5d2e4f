//! Moving the jobs' time, as seen by whoever enqueues and pops.

use std::{
    collections::BTreeSet,
    time::{Duration, SystemTime},
};

use pg_queue_client::{
    PgQueue,
    testing::{Clock, ClockError},
};
use pg_queue_core::{
    DatabaseError, Job, JobState, PushOptions, PushOutcome, Unique, UniqueUntil, history::HistoryFilter,
};
use serde::{Deserialize, Serialize};

use crate::support::{Db, database, empty_database, payload};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

#[derive(Debug, Serialize, Deserialize, Job)]
#[job(crate = "pg_queue_core", queue = "work")]
struct Task {
    n: u8,
}

async fn with_clock() -> (Db, Clock) {
    let db = database().await;
    db.queue("work").await;
    let clock = Clock::of(&db.mgr).await.unwrap();
    (db, clock)
}

#[tokio::test]
async fn a_scheduled_job_is_due_when_the_clock_says() {
    let (db, clock) = with_clock().await;
    let work = db.queue("work").await;
    let now = clock.now().await.unwrap();
    assert!(now.duration_since(SystemTime::now() - HOUR).unwrap() < 2 * HOUR, "it shows the server's time at first");
    let by_delay = Task { n: 1 }.enqueue(&db.mgr).delay(DAY).await.unwrap().id();
    Task { n: 2 }.enqueue(&db.mgr).run_at(now + 3 * DAY).await.unwrap();
    assert!(db.mgr.queue.pop::<Task>(&work).await.unwrap().is_none());
    let moved = clock.advance(2 * DAY).await.unwrap();
    assert!(moved >= now + 2 * DAY);
    let popped = db.mgr.queue.pop::<Task>(&work).await.unwrap().unwrap();
    assert_eq!(popped.id.job_id(), by_delay);
    db.mgr.queue.complete(&work, popped.id).await.unwrap();
    assert!(db.mgr.queue.pop::<Task>(&work).await.unwrap().is_none());
    clock.set(now + 3 * DAY).await.unwrap();
    assert_eq!(db.mgr.queue.pop::<Task>(&work).await.unwrap().unwrap().payload.n, 2);
}

#[tokio::test]
async fn each_move_wakes_the_workers_of_all_queues() {
    let (db, clock) = with_clock().await;
    db.queue("emails").await;
    let mut listener = db.mgr.create_listener().await.unwrap();
    listener.listen(&db.mgr.schema().channel()).await.unwrap();
    let mut heard = async || {
        let mut two = [payload(&mut listener).await.unwrap(), payload(&mut listener).await.unwrap()];
        two.sort();
        two
    };
    let now = clock.advance(HOUR).await.unwrap();
    assert_eq!(heard().await, ["wake:emails", "wake:work"]);
    clock.set(now - DAY).await.unwrap();
    assert_eq!(heard().await, ["wake:emails", "wake:work"]);
    clock.reset().await.unwrap();
    assert_eq!(heard().await, ["wake:emails", "wake:work"]);
}

#[tokio::test]
async fn what_was_due_waits_again_when_the_clock_goes_back() {
    let (db, clock) = with_clock().await;
    let work = db.queue("work").await;
    let id = Task { n: 1 }.enqueue(&db.mgr).await.unwrap().id();
    let now = clock.now().await.unwrap();
    clock.set(now - HOUR).await.unwrap();
    assert!(db.mgr.queue.pop::<Task>(&work).await.unwrap().is_none());
    assert_eq!(db.mgr.queue.get(&work, id).await.unwrap().unwrap().state, JobState::Scheduled);
    clock.advance(HOUR).await.unwrap();
    assert!(db.mgr.queue.pop::<Task>(&work).await.unwrap().is_some());
}

#[tokio::test]
async fn a_popped_jobs_lease_runs_out_when_the_clock_says() {
    let (db, clock) = with_clock().await;
    let work = db.queue("work").await;
    Task { n: 1 }.enqueue(&db.mgr).max_attempts(2).await.unwrap();
    let first = db.mgr.queue.pop::<Task>(&work).await.unwrap().unwrap();
    clock.advance(Duration::from_secs(299)).await.unwrap();
    assert!(db.mgr.queue.pop::<Task>(&work).await.unwrap().is_none());
    clock.advance(Duration::from_secs(2)).await.unwrap();
    let second = db.mgr.queue.pop::<Task>(&work).await.unwrap().unwrap();
    assert_eq!(second.id.attempt(), 2);
    assert!(db.mgr.queue.complete(&work, first.id).await.is_err(), "it has passed to another one");
    clock.advance(HOUR).await.unwrap();
    assert!(db.mgr.queue.pop::<Task>(&work).await.unwrap().is_none());
    let past = db.mgr.history.get(second.id.job_id()).await.unwrap();
    assert!(past.is_some(), "its last lease ran out as well");
}

#[tokio::test]
async fn a_unique_key_is_remembered_until_the_clock_says() {
    let (db, clock) = with_clock().await;
    let work = db.queue("work").await;
    let once = || PushOptions::default().unique(Unique::key("once").until(UniqueUntil::Elapsed(DAY)));
    let push = async || db.mgr.queue.push_with(&work, "task", &1, once()).await.unwrap();
    let PushOutcome::Enqueued(first) = push().await else { panic!("the first is new") };
    let popped = db.mgr.queue.pop::<u8>(&work).await.unwrap().unwrap();
    db.mgr.queue.complete(&work, popped.id).await.unwrap();
    clock.advance(DAY - HOUR).await.unwrap();
    assert_eq!(push().await, PushOutcome::Duplicate(first));
    clock.advance(2 * HOUR).await.unwrap();
    assert!(matches!(push().await, PushOutcome::Enqueued(_)));
}

/// The days for which the history has a partition.
async fn days(db: &Db) -> BTreeSet<String> {
    let query = "select to_char(to_date(right(inhrelid::regclass::text, 8), 'YYYYMMDD'), 'YYYY-MM-DD')
        from pg_inherits where inhparent = 'pg_queue_history'::regclass and inhrelid::regclass::text ~ '[0-9]{8}$'";
    sqlx::query_scalar(query).fetch_all(&db.pool).await.unwrap().into_iter().collect()
}

#[tokio::test]
async fn the_history_is_kept_until_the_clock_says() {
    let (db, clock) = with_clock().await;
    let work = db.queue("work").await;
    clock.set(SystemTime::UNIX_EPOCH + Duration::from_secs(2_000_000_000)).await.unwrap(); // 2033-05-18 03:33:20 UTC
    let maintain = async || sqlx::raw_sql("select pg_queue_maintain_history()").execute(&db.pool).await.unwrap();
    maintain().await;
    let id = Task { n: 1 }.enqueue(&db.mgr).await.unwrap().id();
    db.mgr.queue.cancel(&work, id).await.unwrap();
    let past = db.mgr.history.get(id).await.unwrap().unwrap();
    assert_eq!(past.keep_until.duration_since(past.finished_at).unwrap(), 7 * DAY);
    assert!(days(&db).await.contains("2033-05-25"), "{:?}", days(&db).await);
    clock.advance(7 * DAY).await.unwrap();
    maintain().await;
    assert!(db.mgr.history.get(id).await.unwrap().is_some(), "it goes with all of its day");
    clock.advance(DAY).await.unwrap();
    maintain().await;
    assert!(db.mgr.history.get(id).await.unwrap().is_none());
    let days = days(&db).await;
    assert!(days.first().is_some_and(|day| day == "2033-05-26") && days.contains("2033-06-02"), "{days:?}");
    // And back: what finishes then is kept, in a partition or without one.
    clock.set(SystemTime::UNIX_EPOCH + Duration::from_secs(1_900_000_000)).await.unwrap();
    let id = Task { n: 2 }.enqueue(&db.mgr).delay(HOUR).await.unwrap().id();
    db.mgr.queue.cancel(&work, id).await.unwrap();
    maintain().await;
    assert_eq!(db.mgr.history.jobs(&HistoryFilter::default(), None, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn all_clocks_of_a_database_are_one_until_it_is_reset() {
    let (db, clock) = with_clock().await;
    let other = Clock::of(&PgQueue::new(db.pool.clone())).await.unwrap();
    let moved = clock.advance(DAY).await.unwrap();
    assert!(other.now().await.unwrap() >= moved);
    drop(clock);
    assert!(other.now().await.unwrap() >= moved, "it stays moved");
    other.clone().reset().await.unwrap();
    assert!(other.now().await.unwrap() < moved - HOUR);
    let error = other.advance(HOUR).await.unwrap_err();
    assert!(matches!(error, ClockError::Reset), "{error}");
    assert!(matches!(other.set(moved).await, Err(ClockError::Reset)));
    Clock::of(&db.mgr).await.unwrap().advance(HOUR).await.unwrap();
    other.advance(HOUR).await.unwrap();
}

#[tokio::test]
async fn each_schema_has_a_clock_of_its_own() {
    let (db, clock) = with_clock().await;
    let jobs = PgQueue::builder().schema("jobs").unwrap().build(db.pool.clone());
    jobs.migrate().await.unwrap();
    let other = Clock::of(&jobs).await.unwrap();
    let moved = other.advance(DAY).await.unwrap();
    assert!(clock.now().await.unwrap() < moved - HOUR);
}

#[tokio::test]
async fn a_database_that_is_not_migrated_has_no_clock() {
    let db = empty_database().await;
    let error = Clock::of(&db.mgr).await.unwrap_err();
    assert!(matches!(error, ClockError::Database(DatabaseError::NotMigrated { .. })), "{error}");
}
