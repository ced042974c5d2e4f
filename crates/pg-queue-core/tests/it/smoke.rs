//! The shortest way through.

use std::time::Duration;

use pg_queue_core::jobs::{self, FailedAttempt};

use crate::support::database;

#[tokio::test]
async fn a_job_is_pushed_claimed_and_completed() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let id = db.push(&emails, "send").await;
    assert_eq!(jobs::pending_count(&db.pool, &emails).await.unwrap(), 1);
    let claimed = db.claim(&emails, 10).await;
    assert_eq!(claimed.len(), 1);
    assert_eq!(claimed[0].id.job_id(), id);
    assert_eq!(claimed[0].id.attempt(), 1);
    assert_eq!(claimed[0].kind, "send");
    assert_eq!(claimed[0].payload, r#"{"to":"a@example.org"}"#);
    assert_eq!(jobs::pending_count(&db.pool, &emails).await.unwrap(), 0);
    let done = jobs::complete(&db.pool, &emails, &[claimed[0].id]).await.unwrap();
    assert!(done.contains(claimed[0].id));
    assert_eq!(db.count("select count(*) from queue_emails").await, 0);
}

#[tokio::test]
async fn a_failed_job_comes_back() {
    let db = database().await;
    let emails = db.queue("emails").await;
    db.push(&emails, "send").await;
    let first = db.claim(&emails, 1).await.remove(0);
    let attempt = FailedAttempt {
        id: first.id,
        error: "no route".to_owned(),
        delay: Duration::ZERO,
        discard: false,
    };
    assert!(
        jobs::fail(&db.pool, &emails, &[attempt])
            .await
            .unwrap()
            .contains(first.id)
    );
    let second = db.claim(&emails, 1).await.remove(0);
    assert_eq!(second.id.attempt(), 2);
}
