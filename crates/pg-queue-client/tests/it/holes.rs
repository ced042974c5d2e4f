//! The listener's backend is killed again and again while messages are published. `PG_QUEUE_SOAK_SECONDS` lets it go on for longer
//! than 3 s: for a minute, a kill every 2 s.

use std::{
    sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    time::{Duration, Instant},
};

use futures_util::StreamExt;
use pg_queue_client::{
    logs::{GroupError, LogName, Retention, Start},
    topics::Event,
};
use sqlx::Connection;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::support::{Db, LONG, database, eventually, length};

/// Kills for as long as the test says, and answers how many backends it met.
async fn kill(db: &Db, until: Instant) -> i64 {
    let mut beat = interval(length(3) / 30);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut killed = 0;
    while Instant::now() < until {
        beat.tick().await;
        killed += db.kill_listeners().await;
    }
    killed
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_sees_a_gap_wherever_messages_are_missing() {
    let db = database().await;
    let mut subscription = db.mgr.topics.subscribe::<u32>("numbers").await.unwrap();
    let until = Instant::now() + length(3);
    let (published, over) = (AtomicU32::new(0), AtomicBool::new(false));
    let publisher = async {
        while Instant::now() < until {
            let n = published.fetch_add(1, Relaxed);
            db.mgr.topics.publish("numbers", &n).await.unwrap();
        }
        // Then until the subscriber has heard one of them: it reconnects after the last kill.
        eventually("the last ones are heard", async || {
            let n = published.fetch_add(1, Relaxed);
            db.mgr.topics.publish("numbers", &n).await.unwrap();
            over.load(Relaxed)
        })
        .await;
        published.load(Relaxed)
    };
    let subscriber = async {
        let (mut expected, mut told, mut holes, mut gaps, mut received) = (0, false, 0, 0, 0);
        while Instant::now() < until || told || received == 0 {
            match timeout(LONG, subscription.next()).await.expect("an event").expect("it goes on") {
                Event::Message(message) => {
                    assert!(message.message >= expected, "{} comes after {expected}", message.message);
                    if message.message > expected {
                        assert!(told, "{} to {} are missing, and nobody has said so", expected, message.message);
                        holes += 1;
                    }
                    (expected, told, received) = (message.message + 1, false, received + 1);
                }
                Event::Gap | Event::Lagged(_) => (told, gaps) = (true, gaps + 1),
                other => panic!("{other:?}"),
            }
        }
        over.store(true, Relaxed);
        (holes, gaps, received)
    };
    let (published, (holes, gaps, received), killed) = tokio::join!(publisher, subscriber, kill(&db, until));
    println!("{published} published, {received} received, {holes} holes, {gaps} gaps, {killed} backends killed");
    assert!(killed >= 5 && gaps >= 5, "{killed} kills, {gaps} gaps");
}

#[tokio::test(flavor = "multi_thread")]
async fn durable_groups_miss_nothing_and_double_nothing_meanwhile() {
    let db = database().await;
    let log = LogName::new("numbers").unwrap();
    db.mgr.logs.create(&log, Retention::default()).await.unwrap();
    sqlx::raw_sql("create table effects (n int not null, by text not null)").execute(&db.pool).await.unwrap();
    let until = Instant::now() + length(3);
    let mut groups = Vec::new();
    for name in ["one", "two"] {
        groups.push(db.mgr.logs.group::<i32>(&log, name).start(Start::Beginning).open().await.unwrap());
    }
    let published = AtomicU32::new(0);
    let over = AtomicBool::new(false);
    let publisher = async {
        while Instant::now() < until {
            let n = i32::try_from(published.fetch_add(1, Relaxed)).unwrap();
            db.mgr.logs.publish(&log, &n).await.unwrap();
        }
        over.store(true, Relaxed);
    };
    let members = groups.into_iter().map(|mut group| {
        let (db, published, over) = (&db, &published, &over);
        async move {
            let mut done = 0;
            while !over.load(Relaxed) || done < published.load(Relaxed) {
                let Ok(received) = timeout(Duration::from_secs(1), group.receive(100)).await else { continue };
                let batch = received.unwrap();
                let mut connection = db.pool.acquire().await.unwrap();
                let mut transaction = connection.begin().await.unwrap();
                for delivered in batch.messages() {
                    let insert = sqlx::query("insert into effects values ($1, $2)");
                    let insert = insert.bind(delivered.message.as_ref().unwrap()).bind(group.name().as_str());
                    insert.execute(&mut *transaction).await.unwrap();
                }
                let count = u32::try_from(batch.messages().len()).unwrap();
                match batch.acknowledge_on(&mut transaction).await {
                    Ok(()) => transaction.commit().await.unwrap(),
                    Err(GroupError::Lost) => continue,
                    Err(error) => panic!("{error}"),
                }
                done += count;
            }
        }
    });
    let ((), _, killed) = tokio::join!(publisher, futures_util::future::join_all(members), kill(&db, until));
    let count = i64::from(published.load(Relaxed));
    println!("{count} published, {killed} backends killed");
    assert_eq!(db.count("select count(*) from effects").await, 2 * count);
    assert_eq!(db.count("select count(*) from (select distinct n, by from effects) as it").await, 2 * count);
    assert!(killed >= 5, "{killed}");
}
