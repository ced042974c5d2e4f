//! Asking through a queue and waiting for the answer.

use std::time::{Duration, Instant};

use pg_queue_client::{CallError, PgQueue, PopError};
use pg_queue_core::{QueueName, jobs::LeaseError};
use serde_json::Value;
use sqlx::Connection;
use tokio::task::{AbortHandle, JoinSet};

use crate::support::{Db, LONG, Mode, Proxy, database, eventually, next_job};

const REPLIES: &str = "select count(*) from pg_queue_replies";
const REQUESTS: &str = "select count(*) from queue_work";

/// Answers requests with what `answer` makes of them, until it is dropped.
struct Responder(AbortHandle);

impl Drop for Responder {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn respond(mgr: &PgQueue, queue: &QueueName, answer: impl Fn(Value) -> Value + Send + 'static) -> Responder {
    let (mgr, queue) = (mgr.clone(), queue.clone());
    let responder = tokio::spawn(async move {
        loop {
            let jobs = mgr.queue.pop_many::<Value>(&queue, 50).await.unwrap();
            if jobs.is_empty() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            for job in jobs.into_iter().map(Result::unwrap) {
                let reply = answer(job.payload);
                mgr.request_response.store_response(&job.request_id.unwrap(), &reply).await.unwrap();
                mgr.queue.complete(&queue, job.id).await.unwrap();
            }
        }
    });
    Responder(responder.abort_handle())
}

async fn nothing_is_left(db: &Db) {
    eventually("no request and no reply is left", async || db.count(REPLIES).await + db.count(REQUESTS).await == 0)
        .await;
}

#[tokio::test]
async fn a_request_is_answered() {
    let db = database().await;
    let work = db.queue("work").await;
    let _responder = respond(&db.mgr, &work, |n| (n.as_u64().unwrap() * 2).into());
    for n in 0..20_u64 {
        let reply: u64 = db.mgr.request_response.push_and_wait(&work, &n, LONG).await.unwrap();
        assert_eq!(reply, n * 2);
    }
    nothing_is_left(&db).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_hundred_callers_get_their_own_answers() {
    let db = database().await;
    let work = db.queue("work").await;
    let _responders = [(); 3].map(|()| respond(&db.mgr, &work, |n| format!("answer to {n}").into()));
    let mut callers = JoinSet::new();
    for n in 0..200_u32 {
        let (calls, work) = (db.mgr.request_response.clone(), work.clone());
        callers.spawn(async move {
            let reply: String = calls.push_and_wait(&work, &n, LONG).await.unwrap();
            assert_eq!(reply, format!("answer to {n}"));
        });
    }
    callers.join_all().await;
    assert_eq!(db.listening_backends().await, 1);
    nothing_is_left(&db).await;
}

#[tokio::test]
async fn a_large_reply_arrives_whole() {
    let db = database().await;
    let work = db.queue("work").await;
    let large = "x".repeat(1 << 20);
    let _responder = respond(&db.mgr, &work, |request| request);
    let reply: String = db.mgr.request_response.push_and_wait(&work, &large, LONG).await.unwrap();
    assert!(reply == large);
    nothing_is_left(&db).await;
}

#[tokio::test]
async fn a_request_that_nobody_takes_is_taken_back() {
    let db = database().await;
    let work = db.queue("work").await;
    let soon = Duration::from_millis(100);
    let error = db.mgr.request_response.push_and_wait::<_, u8>(&work, &1, soon).await.unwrap_err();
    assert!(matches!(error, CallError::NotTaken { .. }), "{error}");
    assert!(error.to_string().contains("\"work\"") && error.to_string().contains("is a responder running?"), "{error}");
    nothing_is_left(&db).await;
}

#[tokio::test]
async fn a_request_that_is_not_answered_in_time_is_told_apart() {
    let db = database().await;
    let work = db.queue("work").await;
    let call = tokio::spawn({
        let (calls, work) = (db.mgr.request_response.clone(), work.clone());
        async move { calls.push_and_wait::<_, u8>(&work, &1, Duration::from_secs(1)).await }
    });
    let job = next_job::<u8>(&db.mgr, &work).await;
    assert!(matches!(call.await.unwrap(), Err(CallError::TimedOut)));
    // The reply to a caller that has given up does no harm.
    db.mgr.request_response.store_response(&job.request_id.unwrap(), &1).await.unwrap();
    db.mgr.queue.complete(&work, job.id).await.unwrap();
    nothing_is_left(&db).await;
}

#[tokio::test]
async fn a_caller_that_goes_away_takes_its_request_back() {
    let db = database().await;
    let work = db.queue("work").await;
    let call = tokio::spawn({
        let (calls, work) = (db.mgr.request_response.clone(), work.clone());
        async move { calls.push_and_wait::<_, u8>(&work, &1, LONG).await }
    });
    eventually("the request is there", async || db.count(REQUESTS).await == 1).await;
    call.abort();
    nothing_is_left(&db).await;
}

#[tokio::test]
async fn a_caller_that_goes_away_while_it_pushes_leaves_nothing_behind() {
    let db = database().await;
    let work = db.queue("work").await;
    let mut other = sqlx::PgConnection::connect(db.database.url()).await.unwrap();
    let mut lock = other.begin().await.unwrap();
    sqlx::query("lock table queue_work in exclusive mode").execute(&mut *lock).await.unwrap();
    let soon = Duration::from_millis(100);
    let error = db.mgr.request_response.push_and_wait::<_, u8>(&work, &1, soon).await.unwrap_err();
    assert!(matches!(error, CallError::NotPushed { .. }), "{error}");
    let pushes = "select coalesce(sum(n_tup_ins), 0)::bigint from pg_stat_user_tables where relname = 'queue_work'";
    assert_eq!(db.count(pushes).await, 0);
    lock.commit().await.unwrap();
    drop(other);
    eventually("the push comes through", async || db.count(pushes).await == 1).await;
    nothing_is_left(&db).await;
}

#[tokio::test]
async fn a_lost_notification_costs_time_and_no_reply() {
    let db = database().await;
    let work = db.queue("work").await;
    let _responder = respond(&db.mgr, &work, |request| request);
    db.mgr.request_response.push_and_wait::<_, u8>(&work, &1, LONG).await.unwrap();
    for n in 0..5_u8 {
        let call = db.mgr.request_response.push_and_wait::<_, u8>(&work, &n, LONG);
        let (reply, _) = tokio::join!(call, db.kill_listeners());
        assert_eq!(reply.unwrap(), n);
    }
    nothing_is_left(&db).await;
}

#[tokio::test]
async fn a_reply_to_a_caller_that_is_gone_is_removed_though_its_notification_was_lost() {
    let db = database().await;
    let work = db.queue("work").await;
    let call = tokio::spawn({
        let (calls, work) = (db.mgr.request_response.clone(), work.clone());
        async move { calls.push_and_wait::<_, u8>(&work, &1, LONG).await }
    });
    let job = next_job::<u8>(&db.mgr, &work).await;
    call.abort();
    let marked = "select count(*) from queue_work where cancel_requested_at is not null";
    eventually("the request is taken back", async || db.count(marked).await == 1).await;
    let lost = "insert into pg_queue_replies (request_id, body, expires_at) values ($1, '1', now() + interval '1 day')";
    sqlx::query(lost).bind(job.request_id.unwrap().as_uuid()).execute(&db.pool).await.unwrap();
    db.mgr.queue.complete(&work, job.id).await.unwrap();
    db.kill_listeners().await;
    nothing_is_left(&db).await;
}

#[tokio::test]
async fn calls_work_where_listening_is_impossible() {
    let db = database().await;
    let work = db.queue("work").await;
    let proxy = Proxy::start(&db.database, Mode::Refusing).await;
    let mgr = db.through(&proxy);
    let _responder = respond(&db.mgr, &work, |request| request);
    let began = Instant::now();
    for n in 0..3_u8 {
        assert_eq!(mgr.request_response.push_and_wait::<_, u8>(&work, &n, LONG).await.unwrap(), n);
    }
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    nothing_is_left(&db).await;
}

#[tokio::test]
async fn a_reply_of_another_type_is_an_error_of_its_own() {
    let db = database().await;
    let work = db.queue("work").await;
    let _responder = respond(&db.mgr, &work, |_| "text".into());
    let error = db.mgr.request_response.push_and_wait::<_, u8>(&work, &1, LONG).await.unwrap_err();
    assert!(matches!(error, CallError::Decode { .. }), "{error}");
    nothing_is_left(&db).await;
}

#[tokio::test]
async fn a_request_is_a_job_like_any_other_to_its_consumer() {
    let db = database().await;
    let work = db.queue("work").await;
    let call = tokio::spawn({
        let (calls, work) = (db.mgr.request_response.clone(), work.clone());
        async move { calls.push_and_wait::<_, String>(&work, &7, LONG).await }
    });
    // Not what this consumer expects: it goes back, to another one.
    eventually("it is met", async || matches!(db.mgr.queue.pop::<String>(&work).await, Err(PopError::Undecodable(_))))
        .await;
    sqlx::query("update queue_work set run_at = now()").execute(&db.pool).await.unwrap();
    let job = next_job::<u8>(&db.mgr, &work).await;
    // The second answer replaces the first one, unless that was fetched already.
    let id = job.request_id.unwrap();
    db.mgr.request_response.store_response(&id, &"first").await.unwrap();
    db.mgr.queue.complete(&work, job.id).await.unwrap();
    assert!(matches!(db.mgr.queue.complete(&work, job.id).await, Err(LeaseError::Lost(_))));
    assert_eq!(call.await.unwrap().unwrap(), "first");
}

#[test]
fn calls_go_on_in_another_runtime() {
    let first = tokio::runtime::Runtime::new().unwrap();
    let (db, mgr, work) = first.block_on(async {
        let db = database().await;
        let work = db.queue("work").await;
        let mgr = db.without_reuse();
        let _responder = respond(&mgr, &work, |request| request);
        mgr.request_response.push_and_wait::<_, u8>(&work, &1, LONG).await.unwrap();
        (db, mgr, work)
    });
    first.shutdown_timeout(LONG);
    let second = tokio::runtime::Runtime::new().unwrap();
    second.block_on(async {
        let _responder = respond(&mgr, &work, |request| request);
        let began = Instant::now();
        assert_eq!(mgr.request_response.push_and_wait::<_, u8>(&work, &2, LONG).await.unwrap(), 2);
        assert!(began.elapsed() < LONG / 2, "{:?}", began.elapsed());
    });
    drop(db);
}
