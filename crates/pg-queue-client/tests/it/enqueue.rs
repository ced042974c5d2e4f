//! Typed jobs: through the pool, and in the caller's transaction.

use pg_queue_core::{Job, PushOutcome, QueueError, jobs::PushError};
use serde::{Deserialize, Serialize};
use sqlx::{Connection, PgConnection};

use crate::support::{Db, database};

#[derive(Debug, Serialize, Deserialize, Job)]
#[job(crate = "pg_queue_core", queue = "emails", priority = 2, max_attempts = 3)]
struct SendEmail {
    to: String,
}

fn email() -> SendEmail {
    SendEmail { to: "a@example.org".to_owned() }
}

async fn jobs(db: &Db) -> i64 {
    db.count("select count(*) from queue_emails where kind = 'send_email' and priority = 2 and max_attempts = 3").await
}

async fn is_usable(connection: &mut PgConnection) -> bool {
    sqlx::query("select 1").execute(connection).await.is_ok()
}

#[tokio::test]
async fn a_job_is_enqueued_through_the_pool() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let outcome = email().enqueue(&db.mgr).await.unwrap();
    assert_eq!(jobs(&db).await, 1);
    let job = db.mgr.queue.pop::<SendEmail>(&emails).await.unwrap().unwrap();
    assert_eq!((job.id.job_id(), job.payload.to.as_str()), (outcome.id(), "a@example.org"));
}

#[tokio::test]
async fn a_job_commits_with_the_callers_transaction() {
    let db = database().await;
    db.queue("emails").await;
    let mut transaction = db.pool.begin().await.unwrap();
    email().enqueue(db.mgr.on(&mut transaction)).await.unwrap();
    assert_eq!(jobs(&db).await, 0);
    transaction.commit().await.unwrap();
    assert_eq!(jobs(&db).await, 1);
}

#[tokio::test]
async fn a_job_rolls_back_with_the_callers_transaction() {
    let db = database().await;
    db.queue("emails").await;
    let mut transaction = db.pool.begin().await.unwrap();
    email().enqueue(db.mgr.on(&mut transaction)).await.unwrap();
    transaction.rollback().await.unwrap();
    assert_eq!(jobs(&db).await, 0);
}

#[tokio::test]
async fn a_plain_connection_enqueues_too() {
    let db = database().await;
    db.queue("emails").await;
    let mut connection = PgConnection::connect(db.database.url()).await.unwrap();
    email().enqueue(&mut connection).await.unwrap();
    let mut transaction = connection.begin().await.unwrap();
    email().enqueue(&mut *transaction).await.unwrap();
    transaction.rollback().await.unwrap();
    assert_eq!(jobs(&db).await, 1);
}

#[tokio::test]
async fn a_missing_queue_leaves_the_transaction_usable() {
    let db = database().await;
    let mut transaction = db.pool.begin().await.unwrap();
    let error = email().enqueue(db.mgr.on(&mut transaction)).await.unwrap_err();
    assert!(matches!(error, PushError::Queue(QueueError::Missing(_))), "{error}");
    assert!(is_usable(&mut transaction).await);
    let error = email().enqueue(&mut *transaction).await.unwrap_err();
    assert!(matches!(error, PushError::Queue(QueueError::Missing(_))), "{error}");
    assert!(is_usable(&mut transaction).await);
}

#[tokio::test]
async fn a_queue_that_another_process_drops_leaves_the_transaction_usable() {
    let db = database().await;
    db.queue("emails").await;
    let mut transaction = db.pool.begin().await.unwrap();
    email().enqueue(db.mgr.on(&mut transaction)).await.unwrap();
    transaction.commit().await.unwrap();
    sqlx::query("select pg_queue_drop_queue('emails', true)").execute(&db.pool).await.unwrap();
    let mut transaction = db.pool.begin().await.unwrap();
    assert!(email().enqueue(db.mgr.on(&mut transaction)).await.is_err());
    assert!(is_usable(&mut transaction).await);
}

#[tokio::test]
async fn a_duplicate_leaves_the_transaction_usable_and_names_the_other_job() {
    let db = database().await;
    db.queue("emails").await;
    let first = email().enqueue(&db.mgr).unique_key("k").await.unwrap();
    assert!(matches!(first, PushOutcome::Enqueued(_)));
    let mut transaction = db.pool.begin().await.unwrap();
    let second = email().enqueue(db.mgr.on(&mut transaction)).unique_key("k").await.unwrap();
    assert_eq!(second, PushOutcome::Duplicate(first.id()));
    let third = email().enqueue(db.mgr.on(&mut transaction)).unique_key("other").await.unwrap();
    let fourth = email().enqueue(db.mgr.on(&mut transaction)).unique_key("other").await.unwrap();
    assert_eq!(fourth, PushOutcome::Duplicate(third.id()));
    transaction.commit().await.unwrap();
    assert_eq!(jobs(&db).await, 2);
}

#[tokio::test]
async fn a_unique_key_in_an_open_transaction_is_waited_for() {
    let db = database().await;
    db.queue("emails").await;
    let mut transaction = db.pool.begin().await.unwrap();
    email().enqueue(db.mgr.on(&mut transaction)).unique_key("k").await.unwrap();
    let mgr = db.mgr.clone();
    let waiting = tokio::spawn(async move { email().enqueue(&mgr).unique_key("k").await });
    crate::support::eventually("the second one waits", async || {
        db.count(
            "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'",
        )
        .await
            == 1
    })
    .await;
    transaction.rollback().await.unwrap();
    assert!(matches!(waiting.await.unwrap().unwrap(), PushOutcome::Enqueued(_)));
}
