//! A queue, or everything, is missing: each call says what to do.

use std::time::Duration;

use pg_queue_client::PgQueue;
use pg_queue_core::{LeasedJobId, QueueName, RequestId};

use crate::support::{database, database_of, empty_database, next_job};

/// What each verb about a queue says.
async fn verbs(mgr: &PgQueue, queue: &QueueName, job: LeasedJobId) -> Vec<(&'static str, String)> {
    fn said<T, E: std::fmt::Display>(result: Result<T, E>) -> String {
        result.err().map(|error| error.to_string()).unwrap_or_default()
    }
    let verbs = &mgr.queue;
    let soon = Duration::from_secs(5);
    vec![
        ("push", said(verbs.push(queue, &1).await)),
        ("push_many", said(verbs.push_many(queue, &[1]).await)),
        ("pop", said(verbs.pop::<u8>(queue).await)),
        ("pop_many", said(verbs.pop_many::<u8>(queue, 3).await)),
        ("complete", said(verbs.complete(queue, job).await)),
        ("complete_many", said(verbs.complete_many(queue, &[job]).await)),
        ("fail", said(verbs.fail(queue, job).await)),
        ("fail_many", said(verbs.fail_many(queue, &[(job, String::new())]).await)),
        ("extend", said(verbs.extend(queue, job, soon).await)),
        ("pending_count", said(verbs.pending_count(queue).await)),
        ("push_and_wait", said(mgr.request_response.push_and_wait::<_, u8>(queue, &1, soon).await)),
    ]
}

async fn some_lease() -> LeasedJobId {
    let db = database().await;
    let work = db.queue("work").await;
    db.mgr.queue.push(&work, &1).await.unwrap();
    next_job::<u8>(&db.mgr, &work).await.id
}

#[tokio::test]
async fn a_missing_queue_is_named_with_its_cure_by_every_verb() {
    // One connection: looking for the reason must not wait for a second one.
    let db = database_of(1).await;
    let nowhere = QueueName::new("nowhere").unwrap();
    for (verb, said) in verbs(&db.mgr, &nowhere, some_lease().await).await {
        assert!(said.contains("queue \"nowhere\" does not exist"), "{verb}: {said}");
        assert!(said.contains("pg_queue_create_queue('nowhere')"), "{verb}: {said}");
    }
    assert!(!db.mgr.queue.drop(&nowhere, false).await.unwrap());
}

#[tokio::test]
async fn missing_migrations_are_named_with_their_cure_by_every_verb() {
    let db = empty_database().await;
    let mgr = PgQueue::new(db.database.pool_of(1).await.unwrap());
    let work = QueueName::new("work").unwrap();
    let mut said = verbs(&mgr, &work, some_lease().await).await;
    let id = RequestId::from_uuid("67e55044-10b1-426f-9247-bb680e5fe0c8".parse().unwrap());
    said.extend([
        ("create", mgr.queue.create(&work).await.unwrap_err().to_string()),
        ("drop", mgr.queue.drop(&work, false).await.unwrap_err().to_string()),
        ("list", mgr.queue.list().await.unwrap_err().to_string()),
        ("cache.get", mgr.cache.get::<u8>("k").await.unwrap_err().to_string()),
        ("cache.set", mgr.cache.set("k", &1, 1).await.unwrap_err().to_string()),
        ("cache.delete", mgr.cache.delete("k").await.unwrap_err().to_string()),
        ("cache.cleanup_expired", mgr.cache.cleanup_expired().await.unwrap_err().to_string()),
        ("store_response", mgr.request_response.store_response(&id, &1).await.unwrap_err().to_string()),
        ("check", mgr.check().await.unwrap_err().to_string()),
    ]);
    for (verb, said) in said {
        assert!(said.contains("cargo xtask migrate"), "{verb}: {said}");
        assert!(said.contains("\"public\""), "{verb}: {said}");
    }
    // What needs no table works.
    mgr.notify.notify("orders", "1").await.unwrap();
}

#[tokio::test]
async fn migrating_makes_everything_work_and_twice_is_no_error() {
    let db = empty_database().await;
    let (first, second) = tokio::join!(db.mgr.migrate(), pg_queue_client::migrate(&db.pool));
    first.unwrap();
    second.unwrap();
    db.mgr.check().await.unwrap();
    let work = db.queue("work").await;
    db.mgr.queue.push(&work, &1).await.unwrap();
}
