//! Logs, as applications use them.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use pg_queue_client::{
    PgQueue,
    logs::{Batch, Group, GroupError, LogError, LogMessage, LogName, LogPublishError, OpenError, Retention, Start},
};
use sqlx::Connection;
use tokio::time::{sleep_until, timeout};

use crate::support::{Db, LONG, Mode, Proxy, database, eventually, length};

async fn log(db: &Db) -> LogName {
    let log = LogName::new("orders").unwrap();
    db.mgr.logs.create(&log, Retention::default()).await.unwrap();
    log
}

async fn open(mgr: &PgQueue, log: &LogName, group: &str) -> Group<u32> {
    let builder = mgr.logs.group(log, group).start(Start::Beginning).retry_after(Duration::ZERO).max_attempts(3);
    builder.lease(Duration::from_millis(300)).open().await.unwrap()
}

async fn receive(group: &mut Group<u32>, most: u32) -> Batch<u32> {
    timeout(LONG, group.receive(most)).await.expect("messages").unwrap()
}

fn numbers(batch: &Batch<u32>) -> Vec<u32> {
    batch.messages().iter().map(|delivered| *delivered.message.as_ref().unwrap()).collect()
}

/// Receives so many messages.
async fn take(group: &mut Group<u32>, count: usize) -> Vec<u32> {
    let mut all = Vec::new();
    while all.len() < count {
        let batch = receive(group, 1000).await;
        all.extend(numbers(&batch));
        batch.acknowledge().await.unwrap();
    }
    all
}

#[tokio::test]
async fn publishes_that_come_together_are_each_answered_and_each_received_once() {
    let db = database().await;
    let log = log(&db).await;
    let mut group = open(&db.mgr, &log, "billing").await;
    let published = join_all((0..500).map(|n| {
        let (mgr, log) = (db.mgr.clone(), log.clone());
        async move { mgr.logs.publish(&log, &n).await.unwrap() }
    }))
    .await;
    assert_eq!(published.iter().collect::<BTreeSet<_>>().len(), 500);
    let mut got = take(&mut group, 500).await;
    got.sort_unstable();
    assert_eq!(got, (0..500).collect::<Vec<_>>());
    assert!(group.try_receive(1).await.unwrap().is_none());
}

#[tokio::test]
async fn one_publisher_is_received_in_its_order_by_every_group() {
    let db = database().await;
    let log = log(&db).await;
    let (mut one, mut two) = (open(&db.mgr, &log, "one").await, open(&db.mgr, &log, "two").await);
    let publisher = async {
        for n in 0..300 {
            db.mgr.logs.publish(&log, &n).await.unwrap();
        }
    };
    let ((), one, two) = tokio::join!(publisher, take(&mut one, 300), take(&mut two, 300));
    assert_eq!((one, two), ((0..300).collect(), (0..300).collect()));
}

#[tokio::test]
async fn a_group_that_sleeps_is_woken_by_other_processes() {
    let db = database().await;
    let log = log(&db).await;
    let mut group = open(&db.mgr, &log, "billing").await;
    // A handle of its own, which shares no bell with the group's.
    let elsewhere = PgQueue::new(db.pool.clone());
    let mut waits = Vec::new();
    for n in 0..9 {
        let received = async {
            let batch = receive(&mut group, 10).await;
            (numbers(&batch), Instant::now(), batch.acknowledge().await.unwrap()).1
        };
        let sent = async {
            eventually("the group sleeps", async || db.count("select count(*) from pg_queue_waiters").await == 1).await;
            let sent = Instant::now();
            elsewhere.logs.publish(&log, &n).await.unwrap();
            sent
        };
        let (received, sent) = tokio::join!(received, sent);
        waits.push(received - sent);
    }
    waits.sort_unstable();
    // It would look once a second by itself.
    assert!(waits[4] < Duration::from_millis(250), "{waits:?}");
}

#[tokio::test]
async fn without_a_listener_a_group_looks_by_itself() {
    let db = database().await;
    let log = log(&db).await;
    let proxy = Proxy::start(&db.database, Mode::Refusing).await;
    let mut group = open(&db.through(&proxy), &log, "billing").await;
    let elsewhere = PgQueue::new(db.pool.clone());
    for n in 0..2 {
        let (got, published) = tokio::join!(take(&mut group, 1), elsewhere.logs.publish(&log, &n));
        published.unwrap();
        assert_eq!(got, [n]);
    }
}

#[tokio::test]
async fn a_message_that_does_not_decode_is_shown_and_parked_and_the_others_go_on() {
    let db = database().await;
    let log = log(&db).await;
    let mut group = open(&db.mgr, &log, "billing").await;
    db.mgr.logs.publish(&log, &1).await.unwrap();
    let message = LogMessage::raw(r#"{"no": "number"}"#).unwrap().attribute("country", "at");
    let bad = db.mgr.logs.publish_message(&log, message).await.unwrap();
    db.mgr.logs.publish(&log, &2).await.unwrap();
    for attempt in 1..=3 {
        let batch = receive(&mut group, 10).await;
        let undecodable = batch.messages().iter().find(|delivered| delivered.position == bad).unwrap();
        let error = undecodable.message.as_ref().unwrap_err();
        assert_eq!((undecodable.attempt, error.json.as_str()), (attempt, r#"{"no": "number"}"#));
        assert_eq!(undecodable.attributes["country"], "at");
        assert!(!error.to_string().contains("number\""), "{error}");
        assert_eq!(batch.messages().len(), if attempt == 1 { 3 } else { 1 });
        batch.acknowledge().await.unwrap();
    }
    assert!(group.try_receive(10).await.unwrap().is_none());
    let parked = db.mgr.logs.parked(&log, group.name(), None, 10).await.unwrap();
    assert_eq!(parked.iter().map(|it| it.position).collect::<Vec<_>>(), [bad]);

    db.mgr.logs.retry_parked(&log, group.name(), Some(&[bad])).await.unwrap();
    let mut batch = receive(&mut group, 10).await;
    batch.skip(bad);
    batch.acknowledge().await.unwrap();
    assert_eq!(db.count("select count(*) from pg_queue_failures").await, 0);
}

#[tokio::test]
async fn a_lease_is_kept_up_while_the_batch_is_held_and_runs_out_when_it_is_dropped() {
    let db = database().await;
    let log = log(&db).await;
    let (mut one, mut two) = (open(&db.mgr, &log, "billing").await, open(&db.mgr, &log, "billing").await);
    db.mgr.logs.publish_many(&log, &[1, 2, 3]).await.unwrap();
    let batch = receive(&mut one, 10).await;
    let started = Instant::now();
    eventually("four leases have passed", async || {
        assert!(two.try_receive(10).await.unwrap().is_none());
        started.elapsed() > Duration::from_millis(1200)
    })
    .await;
    drop(batch);
    let batch = receive(&mut two, 10).await;
    assert_eq!((numbers(&batch), batch.messages()[0].attempt), (vec![1, 2, 3], 2));
    batch.acknowledge().await.unwrap();
}

#[tokio::test]
async fn a_member_that_was_too_slow_changes_nothing() {
    let db = database().await;
    let log = log(&db).await;
    let mut group = open(&db.mgr, &log, "billing").await;
    db.mgr.logs.publish(&log, &1).await.unwrap();
    let stale = receive(&mut group, 10).await;
    sqlx::query("update pg_queue_batches set lease_until = now() - interval '1 second'")
        .execute(&db.pool)
        .await
        .unwrap();
    let batch = receive(&mut group, 10).await;
    assert!(matches!(stale.acknowledge().await, Err(GroupError::Lost)));
    batch.acknowledge().await.unwrap();
    assert!(group.try_receive(10).await.unwrap().is_none());
}

/// A table with a row for each effect.
async fn effects(db: &Db) {
    sqlx::raw_sql("create table effects (n int not null, by text not null)").execute(&db.pool).await.unwrap();
}

/// Takes messages, and writes each down in the transaction that acknowledges it, until told to stop.
async fn write_down(db: &Db, mut group: Group<u32>, stop: &AtomicBool, wanted: i64) {
    let name = group.name().to_string();
    let count = async || -> i64 {
        let count = "select count(*) from effects where by = $1";
        sqlx::query_scalar(count).bind(&name).fetch_one(&db.pool).await.unwrap()
    };
    while !stop.load(Relaxed) {
        let Ok(received) = timeout(Duration::from_millis(500), group.receive(50)).await else {
            if count().await >= wanted {
                return;
            }
            continue;
        };
        let Ok(batch) = received else { continue };
        let mut connection = db.pool.acquire().await.unwrap();
        let mut transaction = connection.begin().await.unwrap();
        for n in numbers(&batch) {
            let insert = sqlx::query("insert into effects values ($1, $2)").bind(i32::try_from(n).unwrap()).bind(&name);
            insert.execute(&mut *transaction).await.unwrap();
        }
        match batch.acknowledge_on(&mut transaction).await {
            Ok(()) => transaction.commit().await.unwrap(),
            Err(GroupError::Lost) => transaction.rollback().await.unwrap(),
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn ten_thousand_messages_around_a_writer_held_open_are_each_done_exactly_once_by_every_group() {
    // The messages are spread over this time; without it, as fast as they go.
    let (begun, held_for) = (tokio::time::Instant::now(), length(0));
    let db = database().await;
    let log = log(&db).await;
    effects(&db).await;
    let mut writer = db.pool.acquire().await.unwrap();
    let mut held = writer.begin().await.unwrap();
    let first: Vec<u32> = (1_000_000..1_000_100).collect();
    db.mgr.logs.publish_on(&mut held, &log, &first).await.unwrap();

    let stop = AtomicBool::new(false);
    let publishers = async {
        let next = AtomicU32::new(0);
        join_all((0..32).map(|_| async {
            loop {
                let n = next.fetch_add(1, Relaxed);
                if n >= 10_000 {
                    return;
                }
                sleep_until(begun + held_for * n / 10_000).await;
                db.mgr.logs.publish(&log, &n).await.unwrap();
            }
        }))
        .await;
        // All of it is done while the writer is still open.
        eventually("what was committed is done", async || {
            db.count("select count(*) from effects where n < 1000000").await == 20_000
        })
        .await;
        sleep_until(begun + held_for).await;
        assert_eq!(db.count("select count(*) from effects where n >= 1000000").await, 0);
        let rest: Vec<u32> = (1_000_100..1_000_200).collect();
        db.mgr.logs.publish_on(&mut held, &log, &rest).await.unwrap();
        held.commit().await.unwrap();
    };
    let members = async {
        // Two members in each of two groups.
        let mut members = Vec::new();
        for group in ["billing", "billing", "shipping", "shipping"] {
            members.push(write_down(&db, open(&db.mgr, &log, group).await, &stop, 10_200));
        }
        join_all(members).await;
    };
    tokio::join!(publishers, members);
    assert_eq!(db.count("select count(*) from effects").await, 20_400);
    assert_eq!(db.count("select count(*) from (select distinct n, by from effects) as it").await, 20_400);
}

#[tokio::test]
async fn nothing_is_missed_or_doubled_while_backends_are_killed() {
    let db = database().await;
    let log = log(&db).await;
    effects(&db).await;
    let done = Arc::new(AtomicBool::new(false));
    let killer = eventually("everything is done", async || {
        db.kill_listeners().await;
        done.load(Relaxed)
    });
    let stop = AtomicBool::new(false);
    let work = async {
        let publishers = join_all((0..4).map(|publisher: u32| {
            let (mgr, log) = (db.mgr.clone(), log.clone());
            async move {
                for n in 0..250 {
                    mgr.logs.publish(&log, &(publisher * 250 + n)).await.unwrap();
                }
            }
        }));
        let (one, two) = (open(&db.mgr, &log, "one").await, open(&db.mgr, &log, "two").await);
        tokio::join!(publishers, write_down(&db, one, &stop, 1000), write_down(&db, two, &stop, 1000));
        done.store(true, Relaxed);
    };
    tokio::join!(killer, work);
    assert_eq!(db.count("select count(*) from effects").await, 2000);
    assert_eq!(db.count("select count(*) from (select distinct n, by from effects) as it").await, 2000);
}

#[tokio::test]
async fn misuse_is_told_apart_for_each_caller() {
    let db = database().await;
    let missing = LogName::new("nowhere").unwrap();
    let refused = join_all((0..3).map(|n| {
        let (mgr, missing) = (db.mgr.clone(), missing.clone());
        async move { mgr.logs.publish(&missing, &n).await }
    }))
    .await;
    for refused in refused {
        assert!(matches!(refused, Err(LogPublishError::Log(LogError::Missing(_)))), "{refused:?}");
    }
    let opened = db.mgr.logs.group::<u32>(&missing, "billing").open().await;
    assert!(matches!(opened, Err(OpenError::Group(GroupError::Log(LogError::Missing(_))))), "{opened:?}");
    let log = log(&db).await;
    let large = LogMessage::new(&1).unwrap().attribute("x", "y".repeat(100_000));
    let refused = db.mgr.logs.publish_message(&log, large).await;
    assert!(matches!(refused, Err(LogPublishError::AttributesTooLarge { .. })));
    assert!(matches!(LogMessage::raw("{"), Err(LogPublishError::NoJson(_))));
    let huge = "x".repeat(16 << 20);
    assert!(matches!(db.mgr.logs.publish(&log, &huge).await, Err(LogPublishError::TooLarge { .. })));
    let unnamed = db.mgr.logs.group::<u32>(&log, "").open().await;
    assert!(matches!(unnamed, Err(OpenError::InvalidName(_))));
    let mut group = open(&db.mgr, &log, "billing").await;
    let other = db.mgr.logs.group::<u32>(&log, "billing").open().await;
    assert!(matches!(other, Err(OpenError::Group(GroupError::OtherSettings { .. }))), "{other:?}");
    assert!(db.mgr.logs.drop_group(&log, group.name()).await.unwrap());
    assert!(matches!(group.receive(1).await, Err(GroupError::Missing { .. })));
}
