//! Enqueuing by type: the job's own policy, and what a call changes of it.

use std::time::Duration;

use pg_queue_core::{
    Job, Priority, QueueError,
    jobs::{self, PushError, PushOutcome},
};
use serde::{Deserialize, Serialize};

use crate::support::{LONG, database};

#[derive(Serialize, Deserialize, Job)]
#[job(crate = "pg_queue_core", queue = "emails", max_attempts = 3, priority = 2)]
struct SendEmail {
    to: String,
}

fn email() -> SendEmail {
    SendEmail { to: "a@example.org".to_owned() }
}

#[tokio::test]
async fn a_typed_job_brings_its_kind_queue_and_policy() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let mut connection = db.connect().await;
    let outcome = email().enqueue(&mut connection).await.unwrap();
    let job = db.claim(&emails, 1).await.remove(0);
    assert_eq!(outcome, PushOutcome::Enqueued(job.id.job_id()));
    assert_eq!((job.kind.as_str(), job.max_attempts, job.priority.get()), ("send_email", 3, 2));
    assert_eq!(serde_json::from_str::<SendEmail>(&job.payload).unwrap().to, "a@example.org");
}

#[tokio::test]
async fn a_call_may_change_everything_but_the_kind() {
    let db = database().await;
    let images = db.queue("images").await;
    let mut transaction = db.pool.begin().await.unwrap();
    let missing = email().enqueue(&mut *transaction).await;
    assert!(matches!(missing, Err(PushError::Queue(QueueError::Missing(_)))));
    let first = email()
        .enqueue(&mut *transaction)
        .queue(images.queue())
        .unique_key("k")
        .priority(Priority::HIGHEST)
        .max_attempts(7)
        .delay(LONG)
        .await
        .unwrap();
    let second = email().enqueue(&mut *transaction).queue(images.queue()).unique_key("k").await.unwrap();
    assert_eq!(second, PushOutcome::Duplicate(first.id()));
    transaction.commit().await.unwrap();
    let next = jobs::next_due(&db.pool, &images).await.unwrap().unwrap();
    assert!(next <= LONG && next > LONG - Duration::from_secs(60), "{next:?}");
    let row = "select count(*) from queue_images where kind = 'send_email' and priority = 0 and max_attempts = 7";
    assert_eq!(db.count(row).await, 1);
}
