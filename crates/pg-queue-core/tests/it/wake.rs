//! Waking idle workers: only while one waits, and whichever way the jobs come in.

use std::time::Duration;

use pg_queue_core::{QueueName, Schema, WorkerId, jobs::PushOptions, migrate, topics, workers};
use sqlx::{PgPool, postgres::PgListener};

use crate::support::{Db, LONG, database, table};

async fn listener(db: &Db, channel: &str) -> PgListener {
    let mut listener = PgListener::connect_with(&db.pool).await.unwrap();
    listener.listen(channel).await.unwrap();
    listener
}

async fn wait(db: &Db, queue: &QueueName) {
    workers::wait(&db.pool, &db.schema, std::slice::from_ref(queue), WorkerId::random(), LONG).await.unwrap();
}

/// What was sent to the listener before now. Notifications arrive in the order of their commits, so one that is sent
/// last ends them.
async fn heard(listener: &mut PgListener, pool: &PgPool, channel: &str) -> Vec<String> {
    topics::notify(pool, &Schema::default(), channel, "end").await.unwrap();
    let mut heard = Vec::new();
    loop {
        let payload = listener.recv().await.unwrap().payload().to_owned();
        if payload == "end" {
            return heard;
        }
        heard.push(payload);
    }
}

#[tokio::test]
async fn a_push_rings_only_while_somebody_waits_for_that_queue() {
    let db = database().await;
    let (emails, images) = (db.queue("emails").await, db.queue("images").await);
    let channel = db.schema.channel();
    let mut listener = listener(&db, &channel).await;
    db.push(&emails, "send").await;
    assert!(heard(&mut listener, &db.pool, &channel).await.is_empty());
    wait(&db, emails.queue()).await;
    wait(&db, emails.queue()).await;
    db.push(&images, "scale").await;
    assert!(heard(&mut listener, &db.pool, &channel).await.is_empty());
    db.push(&emails, "send").await;
    assert_eq!(heard(&mut listener, &db.pool, &channel).await, ["wake:emails"]);
    db.push_many(&emails, &[1; 100], &PushOptions::default()).await;
    assert_eq!(heard(&mut listener, &db.pool, &channel).await, ["wake:emails"]);
    sqlx::query("update pg_queue_waiters set until = now()").execute(&db.pool).await.unwrap();
    db.push(&emails, "send").await;
    assert!(heard(&mut listener, &db.pool, &channel).await.is_empty());
}

#[tokio::test]
async fn an_insert_through_the_parent_rings_for_each_queue_in_it() {
    let db = database().await;
    let queues = [db.queue("one").await, db.queue("two").await, db.queue("three").await];
    for queue in &queues[..2] {
        wait(&db, queue.queue()).await;
    }
    let channel = db.schema.channel();
    let mut listener = listener(&db, &channel).await;
    let insert =
        "insert into pg_queue_jobs (queue, payload) values ('one', '1'), ('two', '2'), ('three', '3'), ('one', '4')";
    sqlx::query(insert).execute(&db.pool).await.unwrap();
    let mut rung = heard(&mut listener, &db.pool, &channel).await;
    rung.sort();
    assert_eq!(rung, ["wake:one", "wake:two"]);
    sqlx::query("insert into pg_queue_jobs (queue, payload) values ('three', '1')").execute(&db.pool).await.unwrap();
    assert!(heard(&mut listener, &db.pool, &channel).await.is_empty());
}

#[tokio::test]
async fn a_producer_does_not_wait_for_another_ones_open_transaction() {
    let db = database().await;
    let emails = db.queue("emails").await;
    wait(&db, emails.queue()).await;
    let mut open = db.pool.begin().await.unwrap();
    sqlx::query("insert into queue_emails (payload) values ('1')").execute(&mut *open).await.unwrap();
    // Returns only because the trigger writes nothing that the open transaction wrote too.
    let pushing = tokio::time::timeout(Duration::from_secs(60), db.push(&emails, "send"));
    pushing.await.expect("the push waits for nobody");
    open.rollback().await.unwrap();
}

/// It runs with the rights of its owner: what it calls must not be the caller's choice.
#[tokio::test]
async fn the_trigger_calls_nothing_that_the_caller_has_put_in_its_way() {
    let db = database().await;
    let emails = db.queue("emails").await;
    wait(&db, emails.queue()).await;
    let channel = db.schema.channel();
    let mut listener = listener(&db, &channel).await;
    let traps = "
        create schema trap;
        create function trap.now() returns timestamptz language plpgsql as $$ begin raise 'trapped'; end $$;
        create function trap.pg_notify(text, text) returns void language plpgsql as $$ begin raise 'trapped'; end $$;
        create function trap.same(text, text) returns boolean language plpgsql as $$ begin raise 'trapped'; end $$;
        create function trap.later(timestamptz, timestamptz) returns boolean language plpgsql as $$ begin raise 'trapped'; end $$;
        create function trap.joined(text, text) returns text language plpgsql as $$ begin raise 'trapped'; end $$;
        create function trap.joined(text, name) returns text language plpgsql as $$ begin raise 'trapped'; end $$;
        create operator trap.= (leftarg = text, rightarg = text, function = trap.same);
        create operator trap.> (leftarg = timestamptz, rightarg = timestamptz, function = trap.later);
        create operator trap.|| (leftarg = text, rightarg = text, function = trap.joined);
        create operator trap.|| (leftarg = text, rightarg = name, function = trap.joined);
        create view trap.pg_queue_waiters as select 'emails' as queue, 'infinity'::timestamptz as until";
    sqlx::raw_sql(traps).execute(&db.pool).await.unwrap();
    let mut caller = db.connect().await;
    sqlx::query("set search_path = trap, pg_catalog, public").execute(&mut caller).await.unwrap();
    // The clock of jobs, a default of these columns, runs with the caller's own rights.
    let insert = "insert into public.queue_emails (payload, run_at, created_at) values ('1', 'infinity', 'infinity')";
    sqlx::query(insert).execute(&mut caller).await.unwrap();
    assert_eq!(heard(&mut listener, &db.pool, &channel).await, ["wake:emails"]);
}

#[tokio::test]
async fn each_schema_has_a_channel_of_its_own() {
    let db = database().await;
    let other = Schema::new("order").unwrap();
    migrate::run(&mut db.connect().await, &other).await.unwrap();
    let emails = db.queue("emails").await;
    let theirs = emails.queue().table(&other);
    pg_queue_core::queues::create(&db.pool, &theirs).await.unwrap();
    let names = [emails.queue().clone()];
    workers::wait(&db.pool, &other, &names, WorkerId::random(), LONG).await.unwrap();
    let channel = other.channel();
    assert_eq!(channel, "pg_queue.order");
    let mut listener = listener(&db, &channel).await;
    db.push(&emails, "send").await;
    assert!(heard(&mut listener, &db.pool, &channel).await.is_empty());
    db.push(&theirs, "send").await;
    assert_eq!(heard(&mut listener, &db.pool, &channel).await, ["wake:emails"]);
    let through_parent = "insert into \"order\".pg_queue_jobs (queue, payload) values ('emails', '1')";
    sqlx::query(through_parent).execute(&db.pool).await.unwrap();
    assert_eq!(heard(&mut listener, &db.pool, &channel).await, ["wake:emails"]);
}

#[tokio::test]
async fn the_longest_schema_and_queue_fit_into_a_channel_and_a_payload() {
    let db = database().await;
    let long = "a".repeat(48);
    let schema = Schema::new(&long).unwrap();
    migrate::run(&mut db.connect().await, &schema).await.unwrap();
    let queue = table(&long).queue().table(&schema);
    pg_queue_core::queues::create(&db.pool, &queue).await.unwrap();
    workers::wait(&db.pool, &schema, &[queue.queue().clone()], WorkerId::random(), LONG).await.unwrap();
    let mut listener = listener(&db, &schema.channel()).await;
    db.push(&queue, "send").await;
    assert_eq!(heard(&mut listener, &db.pool, &schema.channel()).await, [format!("wake:{long}")]);
}

#[tokio::test]
async fn a_notification_of_any_allowed_length_arrives_under_any_channel_name() {
    let db = database().await;
    for channel in ["orders", "Order \"x\" 'y'", &"c".repeat(63), &"c".repeat(64), &"ä".repeat(1000)] {
        let server = topics::server_channel(channel).unwrap();
        let mut listener = listener(&db, &server).await;
        let payload = "p".repeat(topics::MAX_NOTIFY_BYTES);
        topics::notify(&db.pool, &db.schema, channel, &payload).await.unwrap();
        assert_eq!(listener.recv().await.unwrap().payload(), payload);
    }
    assert_ne!(topics::server_channel(&"c".repeat(64)).unwrap(), topics::server_channel(&"c".repeat(65)).unwrap());
    for (channel, payload) in [("", "x"), ("a\0b", "x"), ("a", "a\0b"), ("a", &"p".repeat(8000))] {
        assert!(topics::notify(&db.pool, &db.schema, channel, payload).await.is_err(), "{channel:?}");
    }
}
