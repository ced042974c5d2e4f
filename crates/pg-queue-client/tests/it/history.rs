//! Finished jobs: looked at, put back with changes, forgotten.

use pg_queue_client::RetryOutcome;
use pg_queue_core::{
    JobId, Priority, PushOptions, QueueError, QueueName,
    history::{Edit, FinishedState, HistoryFilter},
};

use crate::support::{Db, database};

fn emails() -> QueueName {
    QueueName::new("emails").unwrap()
}

async fn with_emails() -> Db {
    let db = database().await;
    db.queue("emails").await;
    db
}

async fn discarded(db: &Db, queue: &QueueName, options: PushOptions) -> JobId {
    let queues = &db.mgr.queue;
    queues.push_with(queue, "send", &"a@example.org", options.max_attempts(1)).await.unwrap();
    let job = queues.pop::<String>(queue).await.unwrap().unwrap();
    queues.fail_with(queue, job.id, "no such user").await.unwrap();
    job.id.job_id()
}

#[tokio::test]
async fn a_discarded_job_is_edited_and_runs_again() {
    let db = with_emails().await;
    let id = discarded(&db, &emails(), PushOptions::default()).await;
    let past = db.mgr.history.get(id).await.unwrap().unwrap();
    assert_eq!((past.state, past.payload.as_str()), (FinishedState::Discarded, "\"a@example.org\""));
    assert_eq!((past.errors[0].error.as_str(), past.attempt), ("no such user", 1));
    let edit = Edit::default().payload(&"b@example.org").unwrap().priority(Priority::HIGHEST).max_attempts(5).unwrap();
    assert_eq!(db.mgr.history.retry_with(id, &edit).await.unwrap(), RetryOutcome::Retried);
    let again = db.mgr.queue.pop::<String>(&emails()).await.unwrap().unwrap();
    assert_eq!((again.id.job_id(), again.payload.as_str(), again.max_attempts), (id, "b@example.org", 5));
    assert_eq!(db.mgr.history.retry(id).await.unwrap(), RetryOutcome::NotFound);
}

#[tokio::test]
async fn many_are_put_back_and_what_cannot_go_back_stays() {
    let db = with_emails().await;
    let images = QueueName::new("images").unwrap();
    db.mgr.queue.create(&images).await.unwrap();
    for _ in 0..3 {
        discarded(&db, &emails(), PushOptions::default().tag("back")).await;
        discarded(&db, &images, PushOptions::default().tag("back")).await;
    }
    discarded(&db, &emails(), PushOptions::default().tag("back").unique_key("k")).await;
    db.mgr.queue.push_with(&emails(), "send", &"x", PushOptions::default().unique_key("k")).await.unwrap();
    let kept = discarded(&db, &emails(), PushOptions::default().priority(Priority::HIGHEST)).await;
    db.mgr.queue.drop(&images, true).await.unwrap();
    let retried = db.mgr.history.retry_all(&HistoryFilter::default().tag("back")).await.unwrap();
    assert_eq!((retried.retried, retried.left), (3, 4));
    assert_eq!(db.mgr.queue.pending_count(&emails()).await.unwrap(), 4);
    let gone = db.mgr.history.jobs(&HistoryFilter::default().queue(&images), None, 1).await.unwrap()[0].id;
    assert!(matches!(db.mgr.history.retry(gone).await, Err(QueueError::Missing(_))));
    assert!(db.mgr.history.delete(kept).await.unwrap());
    assert!(!db.mgr.history.delete(kept).await.unwrap());
    assert_eq!(db.mgr.history.delete_all(&HistoryFilter::default()).await.unwrap(), 4);
}

#[tokio::test]
async fn what_is_completed_by_hand_is_kept_for_as_long_as_its_queue_says() {
    let db = with_emails().await;
    let queue = &db.mgr.queue;
    let hour = std::time::Duration::from_secs(3600);
    queue.keep(&emails(), Some(hour), hour).await.unwrap();
    let ids = queue.push_many(&emails(), &["a", "b", "c"]).await.unwrap();
    let mut popped = queue.pop_many::<String>(&emails(), 3).await.unwrap().into_iter().map(|job| job.unwrap().id);
    queue.complete(&emails(), popped.next().unwrap()).await.unwrap();
    assert!(queue.complete_many(&emails(), &popped.collect::<Vec<_>>()).await.unwrap().is_empty());
    for id in ids {
        let past = db.mgr.history.get(id).await.unwrap().expect("it is kept");
        assert_eq!(past.state, FinishedState::Completed);
        assert_eq!(past.keep_until.duration_since(past.finished_at).unwrap(), hour);
    }
    queue.keep(&emails(), None, hour).await.unwrap();
    queue.push(&emails(), &"d").await.unwrap();
    let last = queue.pop::<String>(&emails()).await.unwrap().unwrap();
    queue.complete(&emails(), last.id).await.unwrap();
    assert!(db.mgr.history.get(last.id.job_id()).await.unwrap().is_none());
}
