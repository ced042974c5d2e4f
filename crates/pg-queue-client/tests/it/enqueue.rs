//! Typed jobs: through the pool, and in the caller's transaction.

use pg_queue_client::PgQueue;
use pg_queue_core::{Job, PushOutcome, QueueError, TraceContext, jobs::PushError};
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

#[tokio::test]
async fn many_are_enqueued_in_order_and_all_or_none() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let many: Vec<_> = (0..3).map(|n| SendEmail { to: format!("{n}@example.org") }).collect();
    assert!(SendEmail::enqueue_many(&[], &db.mgr).await.unwrap().is_empty());
    let outcomes = SendEmail::enqueue_many(&many, &db.mgr).tag("import").await.unwrap();
    let mut transaction = db.pool.begin().await.unwrap();
    SendEmail::enqueue_many(&many, db.mgr.on(&mut transaction)).await.unwrap();
    transaction.rollback().await.unwrap();
    assert_eq!(jobs(&db).await, 3);
    assert_eq!(db.count("select count(*) from queue_emails where tags = '{import}'").await, 3);
    for (outcome, email) in outcomes.iter().zip(&many) {
        let job = db.mgr.queue.pop::<SendEmail>(&emails).await.unwrap().unwrap();
        assert_eq!((job.id.job_id(), &job.payload.to), (outcome.id(), &email.to));
    }
    // More than one statement takes, and a queue that is not there.
    let many: Vec<_> = (0..10_500).map(|n| SendEmail { to: n.to_string() }).collect();
    let nowhere = pg_queue_core::QueueName::new("nowhere").unwrap();
    let error = SendEmail::enqueue_many(&many, &db.mgr).queue(&nowhere).await.unwrap_err();
    assert!(matches!(error, PushError::Queue(QueueError::Missing(_))), "{error}");
    // What the server refuses in the second statement takes back the first.
    let refuse = "alter table queue_emails add check (payload->>'to' <> '10400')";
    sqlx::query(refuse).execute(&db.pool).await.unwrap();
    let before = jobs(&db).await;
    assert!(SendEmail::enqueue_many(&many, &db.mgr).await.is_err());
    assert_eq!(jobs(&db).await, before);
    let outcomes = SendEmail::enqueue_many(&many[..10_200], &db.mgr).await.unwrap();
    assert!(outcomes.is_sorted_by_key(|outcome| outcome.id()));
    assert_eq!(jobs(&db).await - before, 10_200);
}

/// One number for each call, as a tracer would have another span for each.
#[tokio::test]
async fn whatever_enqueues_through_a_handle_carries_on_its_trace() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let calls = std::sync::atomic::AtomicU32::new(0);
    let here = |call: u32| TraceContext::new(format!("00-4bf92f3577b34da6a3ce929d0e0e4736-{call:016x}-01")).ok();
    let traced = PgQueue::builder()
        .trace_context(move || here(calls.fetch_add(1, std::sync::atomic::Ordering::SeqCst)))
        .build(db.pool.clone());
    // The first call asks for span 0, which is none: the job goes without.
    email().enqueue(&traced).await.unwrap();
    email().enqueue(&traced).await.unwrap();
    let mut transaction = db.pool.begin().await.unwrap();
    email().enqueue(traced.on(&mut transaction)).await.unwrap();
    transaction.commit().await.unwrap();
    traced.queue.push(&emails, &1).await.unwrap();
    SendEmail::enqueue_many(&[email(), email()], &traced).await.unwrap();
    // Its own goes before that of the handle.
    let own = TraceContext::new("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00").unwrap();
    email().enqueue(&traced).trace_context(own).await.unwrap();
    let carried: Vec<Option<String>> =
        sqlx::query_scalar("select substr(metadata->>'traceparent', 51) from queue_emails order by id")
            .fetch_all(&db.pool)
            .await
            .unwrap();
    let carried: Vec<_> = carried.iter().map(Option::as_deref).collect();
    let expected = [None, Some("01-01"), Some("02-01"), Some("03-01"), Some("04-01"), Some("04-01"), Some("b7-00")];
    assert_eq!(carried, expected);
}
