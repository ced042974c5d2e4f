//! What tests do with one job: find it, wherever it is, and take it before its time.

use std::time::Duration;

use pg_queue_core::{
    JobId, JobState, LeaseToken, PushOptions, QueueName, QueueTable, WorkerId,
    jobs::{self, Became, ClaimedJob},
    queues, testing,
    workers::{self, Registration},
};

use crate::support::{Db, database};

const DAY: Duration = Duration::from_secs(86_400);

async fn take(db: &Db, table: &QueueTable, worker: WorkerId, job: JobId, attempt: Option<u16>) -> Option<ClaimedJob> {
    testing::take(&db.pool, table, worker, LeaseToken::random(), job, attempt).await.unwrap()
}

#[tokio::test]
async fn a_job_is_taken_before_its_time_and_only_once() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let other = db.push(&emails, "send").await;
    let job = db.push_with(&emails, "send", PushOptions::default().delay(DAY).tag("later")).await;
    let scheduled = jobs::get(&db.pool, &emails, job).await.unwrap().unwrap();
    let worker = WorkerId::random();
    let taken = take(&db, &emails, worker, job, None).await.unwrap();
    assert_eq!(
        (taken.id.job_id(), taken.id.attempt(), taken.tags.as_slice()),
        (job, 1, ["later".to_owned()].as_slice())
    );
    assert_eq!(taken.run_at, scheduled.run_at, "it learns for when it was scheduled");
    assert!(take(&db, &emails, worker, job, None).await.is_none());
    let stored = jobs::get(&db.pool, &emails, other).await.unwrap().unwrap();
    assert_eq!((stored.state, stored.attempt), (JobState::Waiting, 0));
    assert!(jobs::complete(&db.pool, &emails, &[taken.id]).await.unwrap().contains(taken.id));
    assert!(take(&db, &emails, worker, job, None).await.is_none());
}

#[tokio::test]
async fn a_job_is_taken_as_if_for_a_later_attempt() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let job = db.push(&emails, "send").await;
    let taken = take(&db, &emails, WorkerId::random(), job, Some(7)).await.unwrap();
    assert_eq!(taken.id.attempt(), 7);
    assert_eq!(jobs::get(&db.pool, &emails, job).await.unwrap().unwrap().attempt, 7);
}

#[tokio::test]
async fn what_a_dead_worker_took_before_its_time_is_rescued() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let job = db.push_with(&emails, "send", PushOptions::default().delay(DAY)).await;
    let worker = WorkerId::random();
    let registration = Registration {
        id: worker,
        name: "dies".to_owned(),
        queues: vec![emails.queue().clone()],
        kinds: vec!["send".to_owned()],
        beat_interval: Duration::from_secs(5),
    };
    workers::register(&db.pool, &db.schema, &registration).await.unwrap();
    take(&db, &emails, worker, job, None).await.unwrap();
    workers::retire(&db.pool, &db.schema, worker, true).await.unwrap();
    let rescued = jobs::rescue(&db.pool, &emails, &[worker], 10).await.unwrap();
    assert_eq!(rescued.iter().map(|job| (job.id, job.became)).collect::<Vec<_>>(), [(job, Became::Retried)]);
}

#[tokio::test]
async fn what_is_due_next_is_found_in_any_of_the_queues() {
    let db = database().await;
    let tables = [db.queue("emails").await, db.queue("reports").await, db.queue("paused").await];
    let queues: Vec<&QueueName> = tables.iter().map(QueueTable::queue).collect();
    let kinds = ["send".to_owned(), "other".to_owned()];
    let next = async || testing::next_scheduled(&db.pool, &db.schema, &queues, &kinds).await.unwrap();
    assert_eq!(next().await, None);
    let delayed = |days| PushOptions::default().delay(DAY * days);
    db.push_with(&tables[0], "send", delayed(3)).await;
    let second = db.push_with(&tables[1], "other", delayed(2)).await;
    db.push_with(&tables[0], "nobody's", delayed(1)).await;
    db.push_with(&tables[2], "send", delayed(1)).await;
    queues::pause(&db.pool, &tables[2], true).await.unwrap();
    assert_eq!(next().await, Some((tables[1].queue(), second)));
    let due = db.push(&tables[0], "send").await;
    assert_eq!(next().await, Some((tables[0].queue(), due)));
    let mut locked = db.pool.begin().await.unwrap();
    sqlx::raw_sql("select from queue_emails where run_at <= now() for update").execute(&mut *locked).await.unwrap();
    assert_eq!(next().await, Some((tables[1].queue(), second)));
    drop(locked);
    // A job at the end of time is not due next, however often one asks.
    sqlx::raw_sql("update pg_queue_jobs set run_at = 'infinity'").execute(&db.pool).await.unwrap();
    assert_eq!(next().await, None);
}

#[tokio::test]
async fn jobs_are_found_by_their_kinds_in_all_queues() {
    let db = database().await;
    let (emails, reports) = (db.queue("emails").await, db.queue("reports").await);
    let first = db.push(&emails, "send").await;
    let second = db.push_with(&reports, "old_send", PushOptions::default().delay(DAY)).await;
    for _ in 0..3 {
        db.push(&reports, "report").await;
    }
    let kinds = ["send", "old_send"];
    let found = testing::unfinished(&db.pool, &db.schema, &kinds).await.unwrap();
    let found: Vec<_> = found.iter().map(|it| (it.job.id, it.queue.as_str(), it.job.state)).collect();
    assert_eq!(found, [(first, "emails", JobState::Waiting), (second, "reports", JobState::Scheduled)]);
    let others = testing::other_kinds(&db.pool, &db.schema, &kinds).await.unwrap();
    assert_eq!(others, [("report".to_owned(), 3)]);
}
