//! Messages into queues that are bound to their topics.

use std::{collections::HashSet, sync::Arc};

use futures_util::{FutureExt, StreamExt, future::join_all};
use pg_queue_client::{
    PgQueue,
    topics::{BindError, Event, InvalidTopic, PublishError, Received, Subscription},
};
use pg_queue_core::{Job, Priority, QueueError, QueueName, TraceContext};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sqlx::postgres::PgPoolOptions;
use tokio::{sync::Notify, task::JoinSet, time::timeout};

use crate::support::{Db, LONG, database, next_job};

#[derive(Debug, PartialEq, Serialize, Deserialize, Job)]
#[job(crate = "pg_queue_core", queue = "elsewhere", priority = 1, max_attempts = 3)]
struct SendInvoice {
    order: u64,
}

async fn received<M: DeserializeOwned + std::fmt::Debug>(subscription: &mut Subscription<M>) -> Received<M> {
    match timeout(LONG, subscription.next()).await.expect("an event").expect("it goes on") {
        Event::Message(received) => received,
        other => panic!("{other:?}"),
    }
}

/// All payloads of a queue, in the order of the jobs.
async fn payloads<T: DeserializeOwned>(db: &Db, queue: &QueueName) -> Vec<T> {
    let mut payloads = Vec::new();
    while let Some(job) = db.mgr.queue.pop(queue).await.unwrap() {
        payloads.push(job.payload);
    }
    payloads
}

#[tokio::test]
async fn a_message_goes_to_subscribers_and_becomes_a_job_in_every_bound_queue() {
    let db = database().await;
    let (audit, invoices) = (db.queue("audit").await, db.queue("invoices").await);
    db.mgr.topics.bind("orders.>", &audit).await.unwrap();
    let paid = db.mgr.topics.bind("orders.*.paid", &invoices).kind::<SendInvoice>();
    paid.filter("country", ["at"]).filter("country", ["de"]).await.unwrap();
    let mut subscription = db.mgr.topics.subscribe::<SendInvoice>("orders.>").await.unwrap();
    let topics = &db.mgr.topics;
    topics.message("orders.eu.paid", &SendInvoice { order: 1 }).attribute("country", "de").publish().await.unwrap();
    topics.message("orders.eu.paid", &SendInvoice { order: 2 }).attribute("country", "fr").publish().await.unwrap();
    topics.publish("orders.eu.paid", &SendInvoice { order: 3 }).await.unwrap();
    topics.message_raw("orders.eu.sent", "{\"order\":4}").attribute("country", "at").publish().await.unwrap();
    topics.publish_raw("orders", "{\"order\":5}").await.unwrap();

    for (order, country) in [(1, Some("de")), (2, Some("fr")), (3, None), (4, Some("at"))] {
        let received = received(&mut subscription).await;
        assert_eq!(received.message, SendInvoice { order });
        assert_eq!(received.attributes.get("country").map(String::as_str), country);
        assert_eq!(received.attributes.len(), country.iter().len());
    }
    let job = next_job::<SendInvoice>(&db.mgr, &invoices).await;
    assert_eq!((job.payload.order, job.kind.as_str()), (1, "send_invoice"));
    assert_eq!((job.priority.get(), job.max_attempts), (1, 3));
    assert!(db.mgr.queue.pop::<SendInvoice>(&invoices).await.unwrap().is_none());
    let audited = payloads::<SendInvoice>(&db, &audit).await;
    assert_eq!(audited.iter().map(|job| job.order).collect::<Vec<_>>(), [1, 2, 3, 4]);
}

#[tokio::test]
async fn jobs_come_with_the_callers_transaction_or_not_at_all() {
    let db = database().await;
    let (one, other) = (db.queue("one").await, db.queue("other").await);
    for queue in [&one, &other] {
        db.mgr.topics.bind("orders", queue).filter("vip", ["yes"]).await.unwrap();
    }
    let mut transaction = db.pool.begin().await.unwrap();
    let message = |n: i32| db.mgr.topics.message("orders", &n).attribute("vip", "yes");
    message(1).publish_on(&mut transaction).await.unwrap();
    transaction.rollback().await.unwrap();
    let mut transaction = db.pool.begin().await.unwrap();
    message(2).publish_on(&mut transaction).await.unwrap();
    db.mgr.topics.publish_on(&mut transaction, "orders", &3).await.unwrap();
    assert_eq!(db.count("select count(*) from pg_queue_jobs").await, 0);
    transaction.commit().await.unwrap();
    for queue in [&one, &other] {
        assert_eq!(payloads::<i32>(&db, queue).await, [2]);
    }
}

/// Bound and unbound ones share statements until it is known which are which.
#[tokio::test(flavor = "multi_thread")]
async fn what_many_publish_at_once_is_neither_lost_nor_doubled_and_stays_in_its_order() {
    let db = database().await;
    let (even, all) = (db.queue("even").await, db.queue("all").await);
    for topic in (0..16).step_by(2) {
        db.mgr.topics.bind(format!("numbers.{topic}"), &even).await.unwrap();
    }
    db.mgr.topics.bind("numbers.*.x", &all).await.unwrap();
    let mut subscription = db.mgr.topics.subscribe::<(u32, u32)>("numbers.>").await.unwrap();
    let mut publishers = JoinSet::new();
    for publisher in 0..16_u32 {
        let topics = db.mgr.topics.clone();
        publishers.spawn(async move {
            for n in 0..60_u32 {
                let end = if n % 10 == 9 { ".x" } else { "" };
                topics.publish(format!("numbers.{publisher}{end}"), &(publisher, n)).await.unwrap();
            }
        });
    }
    publishers.join_all().await;
    let mut expected = [0; 16];
    for _ in 0..16 * 60 {
        let (publisher, n) = received(&mut subscription).await.message;
        assert_eq!(n, expected[publisher as usize]);
        expected[publisher as usize] += 1;
    }
    assert!(subscription.next().now_or_never().is_none());
    for (queue, step, kept) in [(&even, 2, [0, 1, 2, 3, 4, 5, 6, 7, 8].as_slice()), (&all, 1, &[9])] {
        let jobs = payloads::<(u32, u32)>(&db, queue).await;
        for publisher in (0..16).step_by(step) {
            let numbers = jobs.iter().filter(|(by, _)| *by == publisher).map(|(_, n)| *n);
            assert!(numbers.eq((0..60).filter(|n| kept.contains(&(n % 10)))), "those of {publisher} in {queue}");
        }
        assert_eq!(jobs.len(), 16 / step * 6 * kept.len());
    }
}

#[tokio::test]
async fn a_missing_queue_fails_its_own_messages_and_no_others() {
    let db = database().await;
    let (good, bad) = (db.queue("good").await, db.queue("bad").await);
    db.mgr.topics.bind("orders.*", &good).await.unwrap();
    db.mgr.topics.bind("orders.bad", &bad).await.unwrap();
    sqlx::query("drop table queue_bad").execute(&db.pool).await.unwrap();
    let mut subscription = db.mgr.topics.subscribe::<usize>(">").await.unwrap();
    let topics = ["orders.good", "bills", "orders.bad", "orders.fine"];
    let numbers: Vec<usize> = (0..100).collect();
    let published = join_all(numbers.iter().map(|n| db.mgr.topics.publish(topics[n % 4], n))).await;
    for (n, result) in published.into_iter().enumerate() {
        match result {
            Err(PublishError::MissingQueue(queue)) => assert_eq!((n % 4, &queue), (2, &bad)),
            other => assert!(other.is_ok() && n % 4 != 2, "{n}: {other:?}"),
        }
    }
    let mut heard = HashSet::new();
    for _ in 0..75 {
        assert!(heard.insert(received(&mut subscription).await.message));
    }
    assert!(heard.iter().all(|n| n % 4 != 2) && subscription.next().now_or_never().is_none());
    let jobs: Vec<usize> = payloads(&db, &good).await;
    assert!(jobs.into_iter().eq((0..100).filter(|n| n % 4 == 0 || n % 4 == 3)));
    // In a transaction of the caller's it is the same error.
    let mut transaction = db.pool.begin().await.unwrap();
    let error = db.mgr.topics.publish_on(&mut transaction, "orders.bad", &1).await.unwrap_err();
    assert!(matches!(error, PublishError::MissingQueue(_)), "{error}");
}

#[tokio::test]
async fn what_is_bound_in_sql_is_bound_and_what_is_unbound_no_more() {
    let db = database().await;
    let orders = db.queue("orders").await;
    let sql = "select pg_queue_bind('orders.>', 'orders', 'send_invoice', '{\"country\": \"at\"}')";
    sqlx::query(sql).execute(&db.pool).await.unwrap();
    let bindings = db.mgr.topics.bindings().await.unwrap();
    assert_eq!(bindings.len(), 1);
    assert_eq!((bindings[0].pattern.as_str(), &bindings[0].queue), ("orders.>", &orders));
    assert_eq!((bindings[0].kind.as_str(), bindings[0].priority), ("send_invoice", Priority::DEFAULT));
    assert_eq!(bindings[0].filter, [("country".to_owned(), vec!["at".to_owned()])].into());
    // Without its filter, in its place.
    db.mgr.topics.bind("orders.>", &orders).kind_named("send_invoice").max_attempts(2).await.unwrap();
    assert_eq!(db.mgr.topics.bindings().await.unwrap()[0].filter.len(), 0);

    let mut subscription = db.mgr.topics.subscribe::<u32>("orders.>").await.unwrap();
    db.mgr.topics.publish("orders.eu", &1).await.unwrap();
    let published: i64 = sqlx::query_scalar("select pg_queue_publish('orders.eu', '2', '{\"country\": \"de\"}')")
        .fetch_one(&db.pool)
        .await
        .unwrap();
    assert_eq!(published, 1);
    assert!(!db.mgr.topics.unbind("orders.>", &orders).await.unwrap(), "that is of another kind");
    assert!(db.mgr.topics.unbind("orders.>", &orders).kind::<SendInvoice>().await.unwrap());
    db.mgr.topics.publish("orders.eu", &3).await.unwrap();
    for (n, country) in [(1, None), (2, Some("de")), (3, None)] {
        let received = received(&mut subscription).await;
        assert_eq!((received.message, received.attributes.get("country").map(String::as_str)), (n, country));
    }
    assert_eq!(payloads::<u32>(&db, &orders).await, [1, 2]);
    // A queue that is dropped takes its bindings along.
    db.mgr.topics.bind("orders.>", &orders).await.unwrap();
    db.mgr.queue.drop(&orders, true).await.unwrap();
    assert_eq!(db.mgr.topics.bindings().await.unwrap(), []);
    db.mgr.topics.publish("orders.eu", &4).await.unwrap();
    assert_eq!(received(&mut subscription).await.message, 4);
}

/// A process that hears of a binding only by publishing must not miss it.
#[tokio::test]
async fn a_binding_is_in_force_for_everybody_when_it_is_made() {
    let db = database().await;
    let orders = db.queue("orders").await;
    let other = PgQueue::new(db.pool.clone());
    for n in 0..20 {
        let topic = format!("orders.{n}");
        other.topics.publish(&topic, &n).await.unwrap();
        db.mgr.topics.bind(&topic, &orders).await.unwrap();
        other.topics.publish(&topic, &(100 + n)).await.unwrap();
        assert!(db.mgr.topics.unbind(&topic, &orders).await.unwrap());
        other.topics.publish(&topic, &(200 + n)).await.unwrap();
    }
    assert_eq!(payloads::<i32>(&db, &orders).await, (100..120).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_message_that_becomes_a_job_is_waited_for_until_it_is_on_the_disk() {
    let db = database().await;
    let orders = db.queue("orders").await;
    let note = "create table commits (setting text, what text);
        create function note() returns trigger language plpgsql as $$ begin
            insert into commits values (current_setting('synchronous_commit'), tg_table_name); return null; end $$;
        create constraint trigger note after insert on queue_orders deferrable initially deferred
            for each row execute function note();
        create constraint trigger note after insert on pg_queue_messages deferrable initially deferred
            for each row execute function note()";
    sqlx::raw_sql(note).execute(&db.pool).await.unwrap();
    // Tests have a server that never waits for the disk.
    let options = db.database.connect_options().options([("synchronous_commit", "on")]);
    let pool = PgPoolOptions::new().connect_with(options).await.unwrap();
    for builder in [PgQueue::builder(), PgQueue::builder().lose_jobs_on_crash()] {
        let mgr = builder.build(pool.clone());
        mgr.topics.bind("orders", &orders).await.unwrap();
        for topic in ["orders", "orders", "bills"] {
            mgr.topics.publish(topic, &"x".repeat(8000)).await.unwrap();
        }
        mgr.topics.unbind("orders", &orders).await.unwrap();
        mgr.topics.publish("orders", &"x".repeat(8000)).await.unwrap();
        let commits: Vec<(String, String, i64)> =
            sqlx::query_as("select setting, what, count(*) from commits group by 1, 2 order by 1, 2")
                .fetch_all(&db.pool)
                .await
                .unwrap();
        let expected = [("off", "pg_queue_messages"), ("on", "pg_queue_messages"), ("on", "queue_orders")];
        assert_eq!(commits, expected.map(|(setting, what)| (setting.to_owned(), what.to_owned(), 2)));
        sqlx::query("truncate commits").execute(&db.pool).await.unwrap();
    }
}

#[tokio::test]
async fn a_bell_rings_for_messages_that_became_jobs_and_they_carry_the_senders_trace() {
    let db = database().await;
    let orders = db.queue("orders").await;
    let here = TraceContext::new("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").unwrap();
    let mgr = PgQueue::builder().trace_context(move || Some(here.clone())).build(db.pool.clone());
    mgr.topics.bind("orders", &orders).filter("vip", ["yes"]).await.unwrap();
    let bell = Arc::new(Notify::new());
    mgr.notify_on_enqueue(&orders, &bell);
    let rang = || bell.notified().now_or_never().is_some();
    mgr.topics.publish("orders", &1).await.unwrap();
    assert!(!rang(), "no job was made");
    for _ in 0..2 {
        mgr.topics.message("orders", &2).attribute("vip", "yes").publish().await.unwrap();
        assert!(rang());
    }
    let traced = "select count(*) from queue_orders where metadata ->> 'topic' = 'orders' and metadata ->> 'traceparent' like '00-4bf9%'";
    assert_eq!(db.count(traced).await, 2);
}

#[tokio::test]
async fn bad_input_is_refused_with_its_reason() {
    let db = database().await;
    let orders = db.queue("orders").await;
    let topics = &db.mgr.topics;
    let error = topics.bind("orders..eu", &orders).filter("a", ["b"]).await.unwrap_err();
    assert!(matches!(error, BindError::InvalidTopic(InvalidTopic::EmptyWord(_))), "{error}");
    let error = topics.unbind("orders.>.eu", &orders).kind_named("x").await.unwrap_err();
    assert!(matches!(error, BindError::InvalidTopic(InvalidTopic::MisplacedRest(_))), "{error}");
    let error = topics.bind("orders", &orders).kind_named("k".repeat(101)).await.unwrap_err();
    assert_eq!(error.to_string(), "invalid kind: a kind has 1 to 100 bytes");
    let error = topics.bind("orders", &orders).filter("a", [""; 0]).await.unwrap_err();
    assert!(matches!(error, BindError::Invalid(_)), "{error}");
    let missing = QueueName::new("missing").unwrap();
    let error = topics.bind("orders", &missing).await.unwrap_err();
    assert!(matches!(&error, BindError::Queue(QueueError::Missing(queue)) if *queue == missing), "{error}");
    let error = topics.message("orders.*", &1).attribute("a", "b").publish().await.unwrap_err();
    assert!(matches!(error, PublishError::InvalidTopic(InvalidTopic::Wildcard(_))), "{error}");
    let error = topics.message("orders", &1).attribute("a", "b".repeat(4096)).publish().await.unwrap_err();
    assert!(matches!(error, PublishError::AttributesTooLarge { .. }), "{error}");
    let error = topics.message("orders", &1).attribute("a\0", "b").publish().await.unwrap_err();
    assert!(matches!(error, PublishError::NulInAttributes), "{error}");
}

/// As tests share a static handle: each runtime ends with its test, and what it has begun with it.
#[test]
fn a_handle_outlives_the_runtimes_that_publish_to_bound_topics() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let long_lived = runtime();
    let db = long_lived.block_on(database());
    let orders = long_lived.block_on(db.queue("orders"));
    let mgr = long_lived.block_on(async { db.without_reuse() });
    for n in 0..10 {
        runtime().block_on(async {
            mgr.topics.bind("orders", &orders).await.unwrap();
            mgr.topics.publish("orders", &n).await.unwrap();
        });
    }
    assert_eq!(long_lived.block_on(payloads::<i32>(&db, &orders)), (0..10).collect::<Vec<_>>());
    long_lived.block_on(async move { drop(db) });
}
