//! Messages to topics, at most once.

use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use pg_queue_client::{
    PgQueue,
    topics::{Event, InvalidTopic, PublishError, SubscribeError, Subscription},
};
use pg_queue_core::{
    Commit, DatabaseError,
    topics::{Message, Topic},
};
use serde::de::DeserializeOwned;
use tokio::{task::JoinSet, time::timeout};

use crate::support::{LONG, Mode, Proxy, database, eventually};

async fn next<M: DeserializeOwned>(subscription: &mut Subscription<M>) -> Event<M> {
    timeout(LONG, subscription.next()).await.expect("an event").expect("it goes on")
}

async fn message<M: DeserializeOwned + std::fmt::Debug>(subscription: &mut Subscription<M>) -> (String, M) {
    match next(subscription).await {
        Event::Message(received) => (received.topic.to_string(), received.message),
        other => panic!("{other:?}"),
    }
}

fn is_silent<M: DeserializeOwned>(subscription: &mut Subscription<M>) -> bool {
    subscription.next().now_or_never().is_none()
}

#[tokio::test]
async fn a_message_comes_to_those_who_want_its_topic() {
    let db = database().await;
    let elsewhere = db.without_reuse();
    let mut exact = db.mgr.topics.subscribe::<u32>("orders.eu.created").await.unwrap();
    let mut words = elsewhere.topics.subscribe::<u32>("orders.*.created").await.unwrap();
    let mut rest = db.mgr.topics.subscribe::<u32>("orders.>").await.unwrap();
    let mut all = elsewhere.topics.subscribe::<u32>(">").await.unwrap();
    let topics = ["orders.eu.created", "orders.us.created", "orders.eu", "bills.eu.created"];
    for (topic, n) in topics.into_iter().zip(0..) {
        db.mgr.topics.publish(topic, &n).await.unwrap();
    }
    db.mgr.topics.publish("orders.eu.created", &99).await.unwrap();
    for (subscription, wanted) in [
        (&mut exact, &[0, 99][..]),
        (&mut words, &[0, 1, 99]),
        (&mut rest, &[0, 1, 2, 99]),
        (&mut all, &[0, 1, 2, 3, 99]),
    ] {
        for n in wanted {
            let topic = topics.get(*n as usize).unwrap_or(&"orders.eu.created");
            assert_eq!(message(subscription).await, ((*topic).to_owned(), *n));
        }
        assert!(is_silent(subscription));
    }
}

#[tokio::test]
async fn a_message_in_a_transaction_comes_with_its_commit_or_not_at_all() {
    let db = database().await;
    let mut subscription = db.mgr.topics.subscribe::<String>("orders").await.unwrap();
    let mut transaction = db.pool.begin().await.unwrap();
    db.mgr.topics.publish_on(&mut transaction, "orders", "never").await.unwrap();
    transaction.rollback().await.unwrap();
    let mut transaction = db.pool.begin().await.unwrap();
    for _ in 0..2 {
        // Equal ones are two messages all the same.
        db.mgr.topics.publish_on(&mut transaction, "orders", "twice").await.unwrap();
    }
    db.mgr.topics.publish("orders", "at once").await.unwrap();
    transaction.commit().await.unwrap();
    for expected in ["at once", "twice", "twice"] {
        assert_eq!(message(&mut subscription).await.1, expected);
    }
    db.mgr.topics.publish("orders", "last").await.unwrap();
    assert_eq!(message(&mut subscription).await.1, "last");
}

#[tokio::test]
async fn messages_of_every_length_arrive_up_to_sixteen_mebibytes() {
    let db = database().await;
    let mut subscription = db.mgr.topics.subscribe::<String>("long.*").await.unwrap();
    for length in [0, 1, 7_400, 7_498, 7_499, 7_900, 8_000, 100_000, (16 << 20) - 2] {
        let text = "ä".repeat(length / 2) + &"x".repeat(length % 2);
        db.mgr.topics.publish("long.one", &text).await.unwrap();
        let (_, received) = message(&mut subscription).await;
        assert!(received == text, "{length}");
    }
    let error = db.mgr.topics.publish("long.one", &"x".repeat((16 << 20) - 1)).await.unwrap_err();
    assert!(matches!(error, PublishError::TooLarge { bytes } if bytes == (16 << 20) + 1), "{error}");
    assert!(is_silent(&mut subscription));
    // They are thrown away after a minute.
    assert_eq!(db.count("select count(*) from pg_queue_messages").await, 5);
    sqlx::query("update pg_queue_messages set sent_at = sent_at - interval '61 seconds'")
        .execute(&db.pool)
        .await
        .unwrap();
    let pruned = pg_queue_core::topics::prune(&db.pool, db.mgr.schema()).await.unwrap();
    assert_eq!((pruned, db.count("select count(*) from pg_queue_messages").await), (5, 0));
}

/// Publishers share statements: each message arrives once, and those of one publisher in its order.
#[tokio::test(flavor = "multi_thread")]
async fn what_many_publish_at_once_arrives_once_and_in_the_order_of_each() {
    let db = database().await;
    let mut subscriptions = Vec::new();
    for _ in 0..3 {
        subscriptions.push(db.mgr.topics.subscribe::<(u32, u32)>("numbers.*").await.unwrap());
    }
    let mut publishers = JoinSet::new();
    for publisher in 0..16_u32 {
        let topics = db.mgr.topics.clone();
        publishers.spawn(async move {
            for n in 0..100_u32 {
                topics.publish(format!("numbers.{publisher}"), &(publisher, n)).await.unwrap();
            }
        });
    }
    publishers.join_all().await;
    for subscription in &mut subscriptions {
        let mut expected = [0; 16];
        for _ in 0..1600 {
            let (_, (publisher, n)) = message(subscription).await;
            assert_eq!(n, expected[publisher as usize]);
            expected[publisher as usize] += 1;
        }
        assert!(is_silent(subscription));
    }
}

#[tokio::test]
async fn a_message_of_another_shape_is_told_with_its_json_and_the_next_one_arrives() {
    let db = database().await;
    let mut numbers = db.mgr.topics.subscribe::<u32>("numbers").await.unwrap();
    db.mgr.topics.publish("numbers", "a secret").await.unwrap();
    db.mgr.topics.publish_raw("numbers", " 2 ").await.unwrap();
    let Event::Undecodable(message_of_another_shape) = next(&mut numbers).await else { panic!("it does not decode") };
    assert_eq!(message_of_another_shape.json, "\"a secret\"");
    assert!(!message_of_another_shape.to_string().contains("secret"), "{message_of_another_shape}");
    assert_eq!(message(&mut numbers).await.1, 2);
}

#[tokio::test]
async fn bad_input_is_refused_with_its_reason() {
    let db = database().await;
    let topics = &db.mgr.topics;
    let error = topics.publish("orders..eu", &1).await.unwrap_err();
    assert!(matches!(error, PublishError::InvalidTopic(InvalidTopic::EmptyWord(_))), "{error}");
    let error = topics.publish("orders.*", &1).await.unwrap_err();
    assert!(matches!(error, PublishError::InvalidTopic(InvalidTopic::Wildcard(_))), "{error}");
    for no_json in ["", "{", "1 2", "\0"] {
        let error = topics.publish_raw("orders", no_json).await.unwrap_err();
        assert!(matches!(error, PublishError::NoJson(_)), "{error}");
    }
    let error = topics.subscribe::<u32>("orders.>.eu").await.unwrap_err();
    assert!(matches!(error, SubscribeError::InvalidTopic(InvalidTopic::MisplacedRest(_))), "{error}");
}

#[tokio::test]
async fn a_slow_subscriber_is_told_how_much_it_lost_and_holds_up_nobody() {
    let db = database().await;
    let mut slow = db.mgr.topics.subscribe::<u32>("numbers").await.unwrap();
    let mut quick = db.mgr.topics.subscribe::<u32>("numbers").await.unwrap();
    let publishing = async {
        for n in 0..5000 {
            db.mgr.topics.publish("numbers", &n).await.unwrap();
        }
    };
    let taking = async {
        for n in 0..5000 {
            assert_eq!(message(&mut quick).await.1, n);
        }
    };
    tokio::join!(publishing, taking);
    let Event::Lagged(lost) = next(&mut slow).await else { panic!("it has lost some") };
    assert_eq!(lost, 5000 - 4096);
    for n in 0..4096 {
        assert_eq!(message(&mut slow).await.1, n);
    }
    assert!(is_silent(&mut slow));
}

/// Many short messages come in one notification, and many notifications at once.
#[tokio::test]
async fn a_burst_overruns_nobody_who_takes_what_comes() {
    let db = database().await;
    let mut subscription = db.mgr.topics.subscribe::<u32>("n").await.unwrap();
    let topic = Topic::new("n").unwrap();
    let messages: Vec<_> = (0..30_000).map(|n| Message::new(&topic, &n).unwrap()).collect();
    let mut connection = db.pool.acquire().await.unwrap();
    pg_queue_core::topics::publish(&mut connection, db.mgr.schema(), &messages, Commit::AsSet).await.unwrap();
    for n in 0..30_000 {
        assert_eq!(message(&mut subscription).await.1, n);
    }
}

#[tokio::test]
async fn a_lost_connection_is_told_to_every_subscription() {
    let db = database().await;
    let mut one = db.mgr.topics.subscribe::<u32>("numbers").await.unwrap();
    let mut other = db.mgr.topics.subscribe::<u32>(">").await.unwrap();
    for n in 0..3 {
        assert_eq!(db.kill_listeners().await, 1);
        assert!(matches!(next(&mut one).await, Event::Gap));
        assert!(matches!(next(&mut other).await, Event::Gap));
        db.mgr.topics.publish("numbers", &n).await.unwrap();
        assert_eq!((message(&mut one).await.1, message(&mut other).await.1), (n, n));
    }
}

/// Somebody else's notifications on the same channel, or those of a later version.
#[tokio::test]
async fn a_notification_that_cannot_be_read_is_a_gap() {
    let db = database().await;
    let mut subscription = db.mgr.topics.subscribe::<u32>("numbers").await.unwrap();
    let pattern = pg_queue_client::topics::TopicPattern::new("numbers").unwrap();
    let channels = pg_queue_core::topics::channels(db.mgr.schema(), &pattern);
    db.mgr.notify.notify(&channels[0], "2 something new").await.unwrap();
    assert!(matches!(next(&mut subscription).await, Event::Gap));
    db.mgr.topics.publish("numbers", &1).await.unwrap();
    assert_eq!(message(&mut subscription).await.1, 1);
}

#[tokio::test]
async fn a_thousand_subscriptions_share_one_connection_which_ends_with_the_last_of_them() {
    let db = database().await;
    let listeners = async || {
        db.count("select count(*) from pg_stat_activity where datname = current_database() and query like 'LISTEN%'")
            .await
    };
    let mut subscriptions = Vec::new();
    for n in 0..1000 {
        subscriptions.push(db.mgr.topics.subscribe::<u32>(format!("topics.{n}")).await.unwrap());
    }
    assert_eq!(listeners().await, 1);
    for n in 0..1000 {
        db.mgr.topics.publish(format!("topics.{n}"), &n).await.unwrap();
    }
    for (subscription, n) in subscriptions.iter_mut().zip(0..) {
        assert_eq!(message(subscription).await.1, n);
        assert!(is_silent(subscription));
    }
    drop(subscriptions);
    eventually("nobody listens", async || listeners().await == 0).await;
    let mut again = db.mgr.topics.subscribe::<u32>("topics.1").await.unwrap();
    db.mgr.topics.publish("topics.1", &7).await.unwrap();
    assert_eq!(message(&mut again).await.1, 7);
}

#[tokio::test]
async fn without_a_server_both_ends_are_told() {
    let db = database().await;
    let proxy = Proxy::start(&db.database, Mode::Refusing).await;
    let mgr: PgQueue = db.through(&proxy);
    let nowhere = PgQueue::new(crate::support::pool_to_nowhere().await);
    let error = timeout(LONG, nowhere.topics.publish("orders", &1)).await.expect("an answer").unwrap_err();
    assert!(matches!(error, PublishError::Database(DatabaseError::Unreachable(_))), "{error}");
    let error = timeout(LONG, mgr.topics.subscribe::<u32>("orders")).await.expect("an answer").unwrap_err();
    assert!(matches!(error, SubscribeError::Listen(_)), "{error}");
    proxy.set(Mode::Open);
    let mut subscription = loop {
        match mgr.topics.subscribe::<u32>("orders").await {
            Ok(subscription) => break subscription,
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    mgr.topics.publish("orders", &2).await.unwrap();
    assert_eq!(message(&mut subscription).await.1, 2);
}

/// As tests share a static handle: each runtime ends with its test, and what it has begun with it.
#[test]
fn a_handle_outlives_the_runtimes_that_publish_and_subscribe() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let long_lived = runtime();
    let db = long_lived.block_on(database());
    let mgr = long_lived.block_on(async { db.without_reuse() });
    for n in 0..10 {
        runtime().block_on(async {
            let mut subscription = mgr.topics.subscribe::<u32>("numbers").await.unwrap();
            mgr.topics.publish("numbers", &n).await.unwrap();
            assert_eq!(message(&mut subscription).await.1, n);
        });
    }
    long_lived.block_on(async move { drop(db) });
}
