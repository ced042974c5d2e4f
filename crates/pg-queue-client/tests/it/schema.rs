//! Another schema than `public` works for everything.

use std::time::Duration;

use pg_queue_client::PgQueue;
use pg_queue_core::{Job, QueueName};
use serde::{Deserialize, Serialize};

use crate::support::{LONG, empty_database, next_job, payload};

#[derive(Debug, Serialize, Deserialize, Job)]
#[job(crate = "pg_queue_core", queue = "work")]
struct Work {
    n: u32,
}

#[tokio::test]
async fn everything_works_in_another_schema() {
    let db = empty_database().await;
    let mgr = PgQueue::builder().schema("my_jobs").unwrap().build(db.pool.clone());
    mgr.migrate().await.unwrap();
    mgr.check().await.unwrap();
    assert_eq!(mgr.schema().as_str(), "my_jobs");
    let work = QueueName::new("work").unwrap();
    mgr.queue.create(&work).await.unwrap();

    Work { n: 1 }.enqueue(&mgr).await.unwrap();
    let mut transaction = db.pool.begin().await.unwrap();
    Work { n: 2 }.enqueue(mgr.on(&mut transaction)).await.unwrap();
    transaction.commit().await.unwrap();
    for n in 1..=2 {
        let job = next_job::<Work>(&mgr, &work).await;
        assert_eq!(job.payload.n, n);
        mgr.queue.complete(&work, job.id).await.unwrap();
    }

    mgr.cache.set("k", &1, 60).await.unwrap();
    assert_eq!(mgr.cache.get::<u8>("k").await.unwrap(), Some(1));
    assert_eq!(mgr.cache.get_or_set("l", 60, || async { Ok::<u8, String>(2) }).await.unwrap(), 2);
    assert_eq!(mgr.cache.cleanup_expired().await.unwrap(), 0);

    let responder = tokio::spawn({
        let (mgr, work) = (mgr.clone(), work.clone());
        async move {
            let job = next_job::<u32>(&mgr, &work).await;
            mgr.request_response.store_response(&job.request_id.unwrap(), &(job.payload + 1)).await.unwrap();
            mgr.queue.complete(&work, job.id).await.unwrap();
        }
    });
    let reply: u32 = mgr.request_response.push_and_wait(&work, &41_u32, LONG).await.unwrap();
    assert_eq!(reply, 42);
    responder.await.unwrap();

    let elsewhere = "select count(*) from pg_tables where schemaname = 'public'";
    assert_eq!(db.count(elsewhere).await, 0);
}

#[tokio::test]
async fn the_wake_channel_is_the_schemas_own() {
    let db = empty_database().await;
    let mgr = PgQueue::builder().schema("my_jobs").unwrap().build(db.pool.clone());
    mgr.migrate().await.unwrap();
    db.mgr.migrate().await.unwrap();
    let work = QueueName::new("work").unwrap();
    mgr.queue.create(&work).await.unwrap();
    db.mgr.queue.create(&work).await.unwrap();
    for schema in ["my_jobs", "public"] {
        let waits = format!(
            "insert into {schema}.pg_queue_waiters (queue, worker, until) values ('work', 1, now() + interval '1 hour')"
        );
        sqlx::query(sqlx::AssertSqlSafe(waits)).execute(&db.pool).await.unwrap();
    }
    let mut listener = mgr.create_listener().await.unwrap();
    listener.listen(&mgr.schema().channel()).await.unwrap();
    db.mgr.queue.push(&work, &1).await.unwrap();
    mgr.queue.push(&work, &1).await.unwrap();
    assert_eq!(payload(&mut listener).await.unwrap(), "wake:work");
    assert_eq!(listener.recv_timeout(Duration::from_millis(100)).await.unwrap(), None);
}
