//! Requests: taken back, looked after, and in queues without a log.

use std::time::Duration;

use pg_queue_core::{
    Inbox, JobId, PushOptions, QueueTable, RequestId, WorkerId,
    jobs::{self, NewJob},
    queues,
    requests::{self, Abandoned, Server},
    workers::{self, Registration},
};
use sqlx::postgres::PgListener;

use crate::support::{Db, database, given_back, soon, table};

/// A request whose caller waits for so long.
async fn push(db: &Db, table: &QueueTable, timeout: Duration) -> JobId {
    let mut job = NewJob::new("ask", &1).unwrap();
    job.options = PushOptions::default().timeout(timeout);
    job.request_id = Some(RequestId::random(Inbox::random()));
    jobs::push(&mut db.pool.acquire().await.unwrap(), table, &job).await.unwrap().id()
}

#[tokio::test]
async fn only_a_request_that_nobody_has_claimed_can_be_withdrawn() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let id = db.push(&emails, "send").await;
    let withdraw = async || requests::withdraw(&db.pool, &emails, &[id]).await.unwrap();
    let job = db.claim(&emails, 1).await.remove(0);
    assert!(withdraw().await.is_empty());
    jobs::end(&db.pool, &emails, &[given_back(job.id)]).await.unwrap();
    assert_eq!(withdraw().await, [id]);
    assert!(withdraw().await.is_empty());
}

#[tokio::test]
async fn abandoned_requests_are_removed_or_their_workers_told() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let mut listener = PgListener::connect_with(&db.pool).await.unwrap();
    listener.listen(&db.schema.channel()).await.unwrap();
    let runs = db.push(&emails, "ask").await;
    db.claim(&emails, 1).await;
    let (waits, other) = (db.push(&emails, "ask").await, db.push(&emails, "ask").await);
    let mut became = requests::abandon(&db.pool, &emails, &[waits, runs]).await.unwrap();
    became.sort_by_key(|abandoned| matches!(abandoned, Abandoned::Removed(_)));
    assert_eq!(became, [Abandoned::Runs(runs), Abandoned::Removed(waits)]);
    assert_eq!(soon(listener.recv()).await.unwrap().payload(), format!("cancel:emails:{runs}"));
    assert_eq!(db.count("select count(*) from queue_emails where cancel_requested_at is not null").await, 1);
    assert_eq!(db.count("select count(*) from pg_queue_history").await, 0);
    assert_eq!(requests::withdraw(&db.pool, &emails, &[other]).await.unwrap(), [other]);
}

#[tokio::test]
async fn a_kind_is_answered_by_the_live_workers_that_have_it_in_that_queue() {
    let db = database().await;
    let (emails, images) = (table("emails").queue().clone(), table("images").queue().clone());
    let worker = Registration {
        id: WorkerId::random(),
        name: "test".to_owned(),
        queues: vec![emails.clone()],
        kinds: vec!["ask".to_owned(), "tell".to_owned()],
        beat_interval: Duration::from_secs(5),
    };
    workers::register(&db.pool, &db.schema, &worker).await.unwrap();
    let wanted = [(emails.clone(), "shout"), (emails, "ask"), (images, "ask")];
    let servers = async || requests::servers(&db.pool, &db.schema, &wanted).await.unwrap();
    let server = |beat| Server { id: worker.id, beat, beat_interval: worker.beat_interval };
    let first = servers().await;
    assert_eq!(first, [vec![], vec![server(first[1][0].beat)], vec![]]);
    assert!(workers::beat(&db.pool, &db.schema, worker.id).await.unwrap());
    assert_eq!(servers().await, [vec![], vec![server(first[1][0].beat + 1)], vec![]]);
    sqlx::query("update pg_queue_workers set dead_at = now()").execute(&db.pool).await.unwrap();
    assert_eq!(servers().await, [vec![], vec![], vec![]]);
}

#[tokio::test]
async fn requests_that_are_too_late_are_removed_and_jobs_are_not() {
    let db = database().await;
    let emails = db.queue("emails").await;
    db.push_with(&emails, "send", PushOptions::default().timeout(Duration::from_millis(1))).await;
    let in_time = push(&db, &emails, Duration::from_secs(3600)).await;
    let (late, taken, parked) = (
        push(&db, &emails, Duration::from_secs(2)).await,
        push(&db, &emails, Duration::from_secs(2)).await,
        push(&db, &emails, Duration::from_secs(2)).await,
    );
    let lease = "update queue_emails set lease_token = 1, lease_worker = 1 where id = $1";
    sqlx::query(lease).bind(taken.get()).execute(&db.pool).await.unwrap();
    let park = "update queue_emails set parked = 'kind' where id = $1";
    sqlx::query(park).bind(parked.get()).execute(&db.pool).await.unwrap();
    assert_eq!(requests::prune(&db.pool, &emails).await.unwrap(), 0);
    sqlx::query("update queue_emails set created_at = created_at - interval '10 s'").execute(&db.pool).await.unwrap();
    assert_eq!(requests::prune(&db.pool, &emails).await.unwrap(), 2);
    assert_eq!(db.count("select count(*) from queue_emails").await, 3);
    assert_eq!(requests::withdraw(&db.pool, &emails, &[in_time, late, taken, parked]).await.unwrap(), [in_time]);
}

#[tokio::test]
async fn a_request_says_how_old_it_is_when_it_is_claimed() {
    let db = database().await;
    let emails = db.queue("emails").await;
    db.push(&emails, "send").await;
    push(&db, &emails, Duration::from_secs(60)).await;
    sqlx::query("update queue_emails set created_at = created_at - interval '5 s'").execute(&db.pool).await.unwrap();
    let claimed = db.claim(&emails, 2).await;
    assert_eq!(claimed[0].request_age, Duration::ZERO);
    assert!((5..60).contains(&claimed[1].request_age.as_secs()), "{:?}", claimed[1].request_age);
}

#[tokio::test]
async fn a_queue_without_a_log_is_one_like_any_other() {
    let db = database().await;
    let asks = table("asks");
    let create = async || queues::create_unlogged(&db.pool, &asks).await.unwrap();
    let (_, _) = tokio::join!(create(), create());
    let persistence =
        "select count(*) from pg_class where relname ~ '^(queue|pg_queue_.*)_asks$' and relpersistence = 'u'";
    assert_eq!(db.count(persistence).await, 5);
    db.push(&asks, "ask").await;
    create().await;
    queues::create(&db.pool, &asks).await.unwrap();
    let job = db.claim(&asks, 1).await.remove(0);
    jobs::complete(&db.pool, &asks, &[job.id]).await.unwrap();
    assert!(queues::drop(&db.pool, &asks, false).await.unwrap());
    // One that is there already stays as it is.
    let emails = db.queue("emails").await;
    queues::create_unlogged(&db.pool, &emails).await.unwrap();
    assert_eq!(
        db.count("select count(*) from pg_class where relname = 'queue_emails' and relpersistence = 'p'").await,
        1
    );
}
