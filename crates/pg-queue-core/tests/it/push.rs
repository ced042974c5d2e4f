//! Enqueuing from Rust.

use std::time::{Duration, SystemTime};

use pg_queue_core::{
    Inbox, JobId, Priority, QueueError, RequestId,
    jobs::{self, MAX_PAYLOAD_BYTES, NewJob, PushError, PushOptions, PushOutcome},
    push_checked,
};
use sqlx::Connection;

use crate::support::{Db, database, raw_jobs, table, wait_for_lock};

async fn push(db: &Db, queue: &str, options: PushOptions) -> Result<PushOutcome, PushError> {
    let mut job = NewJob::new("send", &1).unwrap();
    job.options = options;
    jobs::push(&mut db.pool.acquire().await.unwrap(), &table(queue), &job).await
}

fn unique(key: &str) -> PushOptions {
    PushOptions::default().unique_key(key)
}

#[tokio::test]
async fn a_payload_comes_back_as_it_was_whatever_is_in_it() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let mut connection = db.connect().await;
    let payloads = ["nul \0 here", "quote ' \" \\ and $1 {queue}", "äöü \u{1f980} \u{feff}", ""];
    for payload in payloads {
        jobs::push(&mut connection, &emails, &NewJob::new("send", &payload).unwrap()).await.unwrap();
    }
    let back: Vec<String> =
        db.claim(&emails, 10).await.iter().map(|job| serde_json::from_str(&job.payload).unwrap()).collect();
    assert_eq!(back, payloads);
}

#[tokio::test]
async fn a_request_keeps_its_id() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let mut job = NewJob::new("send", &1).unwrap();
    job.request_id = Some(RequestId::random(Inbox::random()));
    jobs::push(&mut db.connect().await, &emails, &job).await.unwrap();
    assert_eq!(db.claim(&emails, 1).await[0].request_id, job.request_id);
}

#[test]
fn too_much_is_refused_before_it_is_sent() {
    // Quotes around it make it longer by two.
    assert!(NewJob::new("send", &"a".repeat(MAX_PAYLOAD_BYTES - 2)).is_ok());
    let error = NewJob::new("send", &"a".repeat(MAX_PAYLOAD_BYTES - 1)).unwrap_err();
    assert_eq!(error.to_string(), "the payload has 67108865 bytes of JSON: at most 64 MiB are allowed");
    for kind in ["", &"k".repeat(101), "a\0b"] {
        assert!(matches!(NewJob::new(kind, &1), Err(PushError::InvalidKind(_))), "{kind:?}");
    }
}

#[tokio::test]
async fn options_out_of_range_are_refused_and_the_limits_are_not() {
    let db = database().await;
    db.queue("emails").await;
    for attempts in [0, 32768, u16::MAX] {
        let refused = push(&db, "emails", PushOptions::default().max_attempts(attempts)).await;
        assert!(matches!(refused, Err(PushError::InvalidMaxAttempts(_))), "{attempts}");
    }
    for key in ["u".repeat(513), "a\0b".to_owned()] {
        assert!(matches!(push(&db, "emails", unique(&key)).await, Err(PushError::InvalidUniqueKey)));
    }
    push(&db, "emails", unique(&"u".repeat(512)).max_attempts(32767)).await.unwrap();
    push(&db, "emails", PushOptions::default().delay(Duration::MAX)).await.unwrap();
    push(&db, "emails", PushOptions::default().run_at(SystemTime::UNIX_EPOCH)).await.unwrap();
    let queue = table("emails");
    assert_eq!(jobs::pending_count(&db.pool, &queue).await.unwrap(), 3);
    assert_eq!(db.claim(&queue, 10).await[0].run_at, SystemTime::UNIX_EPOCH);
}

#[tokio::test]
async fn run_at_and_delay_add_up() {
    let db = database().await;
    db.queue("emails").await;
    let moment = SystemTime::UNIX_EPOCH + Duration::from_secs(10_000_000_000);
    let options = PushOptions::default().run_at(moment).delay(Duration::from_micros(1_500_001));
    push(&db, "emails", options).await.unwrap();
    let micros = db.count("select (extract(epoch from run_at) * 1000000)::bigint from queue_emails").await;
    assert_eq!(micros, 10_000_000_000_000_000 + 1_500_001);
}

#[tokio::test]
async fn a_push_goes_with_its_transaction() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let job = NewJob::new("send", &1).unwrap();
    let mut transaction = db.pool.begin().await.unwrap();
    jobs::push(&mut transaction, &emails, &job).await.unwrap();
    transaction.rollback().await.unwrap();
    assert!(db.claim(&emails, 1).await.is_empty());
    let mut transaction = db.pool.begin().await.unwrap();
    jobs::push(&mut transaction, &emails, &job).await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(db.claim(&emails, 1).await.len(), 1);
}

#[tokio::test]
async fn a_missing_queue_or_a_duplicate_leaves_the_transaction_usable() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let mut job = NewJob::new("send", &1).unwrap();
    job.options = unique("k");
    let mut transaction = db.pool.begin().await.unwrap();
    let missing = push_checked(&mut transaction, &table("nowhere"), &job).await;
    assert!(matches!(missing, Err(PushError::Queue(QueueError::Missing(_)))));
    let first = push_checked(&mut transaction, &emails, &job).await.unwrap();
    let second = push_checked(&mut transaction, &emails, &job).await.unwrap();
    assert_eq!(second, PushOutcome::Duplicate(first.id()));
    transaction.commit().await.unwrap();
    assert_eq!(jobs::pending_count(&db.pool, &emails).await.unwrap(), 1);
}

#[tokio::test]
async fn a_unique_key_stands_for_one_unfinished_job_per_queue() {
    let db = database().await;
    let emails = db.queue("emails").await;
    db.queue("images").await;
    let first = push(&db, "emails", unique("k")).await.unwrap();
    assert!(matches!(first, PushOutcome::Enqueued(_)));
    assert_eq!(push(&db, "emails", unique("k")).await.unwrap(), PushOutcome::Duplicate(first.id()));
    for (queue, key) in [("images", "k"), ("emails", "K"), ("emails", "")] {
        assert!(matches!(push(&db, queue, unique(key)).await.unwrap(), PushOutcome::Enqueued(_)), "{queue} {key}");
    }
    let claimed = db.claim(&emails, 1).await.remove(0);
    assert_eq!(push(&db, "emails", unique("k")).await.unwrap(), PushOutcome::Duplicate(first.id()));
    jobs::complete(&db.pool, &emails, &[claimed.id]).await.unwrap();
    assert!(matches!(push(&db, "emails", unique("k")).await.unwrap(), PushOutcome::Enqueued(_)));
}

#[tokio::test]
async fn a_key_in_an_open_transaction_holds_up_that_key_alone() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let mut open = db.pool.begin().await.unwrap();
    let mut job = NewJob::new("send", &1).unwrap();
    job.options = unique("k");
    jobs::push(&mut open, &emails, &job).await.unwrap();
    let waiting = tokio::spawn({
        let (pool, emails) = (db.pool.clone(), emails.clone());
        async move { jobs::push(&mut pool.acquire().await.unwrap(), &emails, &job).await.unwrap() }
    });
    wait_for_lock(&db, "transactionid").await;
    push(&db, "emails", unique("other")).await.unwrap();
    push(&db, "emails", PushOptions::default()).await.unwrap();
    assert!(!waiting.is_finished());
    open.rollback().await.unwrap();
    assert!(matches!(waiting.await.unwrap(), PushOutcome::Enqueued(_)));
}

#[tokio::test]
async fn many_keep_their_order_and_answer_their_ids_in_it() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let payloads: Vec<i32> = (0..5000).collect();
    let options = PushOptions::default().priority(Priority::HIGHEST).max_attempts(2);
    let ids = db.push_many(&emails, &payloads, &options).await;
    assert!(ids.is_sorted_by(|a, b| a < b));
    let claimed = db.claim(&emails, 5000).await;
    let seen: Vec<(JobId, i32)> =
        claimed.iter().map(|job| (job.id.job_id(), serde_json::from_str(&job.payload).unwrap())).collect();
    assert_eq!(seen, ids.into_iter().zip(payloads).collect::<Vec<_>>());
    assert_eq!((claimed[0].kind.as_str(), claimed[0].max_attempts, claimed[0].priority.get()), ("raw", 2, 0));
}

#[tokio::test]
async fn many_are_all_or_none_and_none_is_nothing() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let mut connection = db.connect().await;
    let mut transaction = connection.begin().await.unwrap();
    let two = raw_jobs(&[1, 2], &PushOptions::default());
    jobs::push_many(&mut transaction, &emails, &two).await.unwrap();
    transaction.rollback().await.unwrap();
    assert!(jobs::push_many(&mut connection, &emails, &[]).await.unwrap().is_empty());
    let mut bad = two.clone();
    bad[1].options = PushOptions::default().max_attempts(0);
    let refused = jobs::push_many(&mut connection, &emails, &bad).await.unwrap_err();
    assert_eq!(refused.to_string(), "job 1 of the batch, counted from 0: max_attempts 0 is out of range: 1 to 32767");
    assert!(matches!(
        jobs::push_many(&mut connection, &table("nowhere"), &two).await,
        Err(PushError::Queue(QueueError::Missing(_)))
    ));
    assert_eq!(jobs::pending_count(&db.pool, &emails).await.unwrap(), 0);
}
