//! The calls that the project has promised from its start, as they stand in its design, word for word.

use std::{error::Error, time::Duration};

use pg_queue::{PgQueue, PgQueueManager, QueueName};
use pg_queue_embedded::{Database, shared};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Email {
    to: String,
}

type V = u32;
type Req = String;
type Resp = usize;
type Failure = Box<dyn Error + Send + Sync>;

async fn load() -> Result<V, Failure> {
    tokio::task::yield_now().await;
    Ok(7)
}

/// Answers the length of each request.
async fn respond(mgr: PgQueueManager, queue: QueueName) -> Result<(), Failure> {
    loop {
        let Some(job) = mgr.queue.pop::<Req>(&queue).await? else {
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        };
        let request_id = job.request_id.ok_or("a request")?;
        mgr.request_response.store_response(&request_id, &job.payload.len()).await?;
        mgr.queue.complete(&queue, job.id).await?;
    }
}

#[rustfmt::skip]
#[expect(unused_variables, reason = "the promise names what it does not use")]
async fn promise(pool: PgPool, payload: Email, value: V, workers: QueueName, req: Req,
    request_id: pg_queue::RequestId, resp: Resp) -> Result<(), Failure> {
    let timeout = Duration::from_secs(60);

    let mgr = PgQueue::new(pool);                       // Clone + Send + Sync
    let emails = QueueName::new("emails")?;
    mgr.queue.create(&emails).await?;                   // the same as SELECT pg_queue_create_queue('emails')
    let id = mgr.queue.push(&emails, &payload).await?;                         // any Serialize
    if let Some(job) = mgr.queue.pop::<Email>(&emails).await? {                // job.id, job.payload
        mgr.queue.complete(&emails, job.id).await?;                            // or .fail(&emails, job.id): tried again
    }
    mgr.queue.pending_count(&emails).await?;                                   // waiting, due or not; not the running
    let mut listener = mgr.create_listener().await?;
    listener.listen("orders").await?;                                          // listen_all, unlisten, unlisten_all
    mgr.notify.notify("orders", "payload").await?;
    let n = listener.recv().await?;                                            // n.channel, n.payload; recv_timeout, try_recv
    mgr.cache.set("k", &value, 300).await?;                                    // seconds, or a Duration
    let v: Option<V> = mgr.cache.get("k").await?;                              // delete, set_with_expiry, cleanup_expired
    let v: V = mgr.cache.get_or_set("k", 300, || async { load().await }).await?;   // load returns Result<V, E>
    let r: Resp = mgr.request_response.push_and_wait(&workers, &req, timeout).await?;   // with a responder at work
    mgr.request_response.store_response(&request_id, &resp).await?;            // request_id comes with the popped request

    assert_eq!((n.channel.as_str(), n.payload.as_str()), ("orders", "payload"));
    assert_eq!((v, r), (value, req.len()));
    Ok(())
}

#[tokio::test]
async fn the_promised_calls_work_as_written() -> Result<(), Failure> {
    let database = Database::create(shared()).await?;
    let pool = database.pool().await?;
    pg_queue::migrate(&pool).await?;
    let mgr = PgQueue::new(pool.clone());
    let (asked, workers) = (QueueName::new("asked")?, QueueName::new("workers")?);
    mgr.queue.create(&asked).await?;
    mgr.queue.create(&workers).await?;
    let responder = tokio::spawn(respond(mgr.clone(), workers.clone()));

    // A request that somebody waits for, and that the promise answers.
    let caller = tokio::spawn({
        let (mgr, asked) = (mgr.clone(), asked.clone());
        async move { mgr.request_response.push_and_wait::<_, Resp>(&asked, &"?", Duration::from_secs(60)).await }
    });
    let request = loop {
        match mgr.queue.pop::<Req>(&asked).await? {
            Some(job) => break job,
            None => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    };

    let payload = Email { to: "a@example.org".to_owned() };
    let request_id = request.request_id.ok_or("a request")?;
    promise(pool, payload, 8, workers, "how long is this?".to_owned(), request_id, 42).await?;
    mgr.queue.complete(&asked, request.id).await?;
    assert_eq!(caller.await??, 42);
    assert_eq!(mgr.queue.pending_count(&QueueName::new("emails")?).await?, 0);
    responder.abort();
    Ok(())
}

fn is_clone_send_and_sync<T: Clone + Send + Sync>() {}

#[test]
fn the_handle_is_clone_send_and_sync() {
    is_clone_send_and_sync::<PgQueue>();
}
