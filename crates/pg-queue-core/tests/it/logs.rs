//! Logs: nothing skipped, nothing twice, whatever commits when.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::{Duration, SystemTime},
};

use pg_queue_core::logs::{
    self, BatchId, FailedMessage, GroupError, GroupName, GroupSettings, LogDdlError, LogError, LogMessage, LogName,
    LogTable, LoggedMessage, Position, Retention, Start,
};
use sqlx::{Connection, PgConnection, PgExecutor};

use crate::support::{Db, LONG, database};

/// Publishes numbers.
async fn publish(
    executor: impl PgExecutor<'_>,
    log: &LogTable,
    numbers: impl IntoIterator<Item = u32>,
) -> Vec<Position> {
    let messages: Vec<LogMessage> = numbers.into_iter().map(|number| LogMessage::new(&number).unwrap()).collect();
    logs::publish(executor, log, &messages).await.unwrap()
}

async fn open(db: &Db, log: &LogTable, name: &str, start: Start) -> GroupName {
    let group = GroupName::new(name).unwrap();
    let mut settings = GroupSettings::default();
    (settings.retry_after, settings.max_attempts) = (Duration::ZERO, 3);
    logs::open(&mut db.connect().await, log, &group, start, settings).await.unwrap();
    group
}

fn numbers(messages: &[LoggedMessage]) -> Vec<u32> {
    messages.iter().map(|message| message.body.parse().unwrap()).collect()
}

/// Receives under a lease that stands longer than the test.
async fn receive(db: &Db, log: &LogTable, group: &GroupName, most: u32) -> (BatchId, Vec<LoggedMessage>) {
    let batch = BatchId::random();
    (batch, logs::receive(&db.pool, log, group, most, LONG, batch).await.unwrap())
}

/// Receives and acknowledges until nothing is left.
async fn drain(db: &Db, log: &LogTable, group: &GroupName, most: u32) -> Vec<u32> {
    let mut all = Vec::new();
    loop {
        let (batch, messages) = receive(db, log, group, most).await;
        if messages.is_empty() {
            return all;
        }
        all.extend(numbers(&messages));
        logs::acknowledge(&db.pool, log, group, batch, &[]).await.unwrap();
    }
}

#[tokio::test]
async fn each_group_receives_all_in_order_and_its_members_share() {
    let db = database().await;
    let log = db.log("orders").await;
    let billing = open(&db, &log, "billing", Start::Beginning).await;
    publish(&db.pool, &log, 0..10).await;
    let late = open(&db, &log, "late", Start::End).await;
    publish(&db.pool, &log, 10..25).await;
    let shipping = open(&db, &log, "shipping", Start::Beginning).await;

    assert_eq!(drain(&db, &log, &shipping, 7).await, (0..25).collect::<Vec<_>>());
    assert_eq!(drain(&db, &log, &late, 100).await, (10..25).collect::<Vec<_>>());
    let (first, one) = receive(&db, &log, &billing, 12).await;
    let (second, other) = receive(&db, &log, &billing, 100).await;
    assert_eq!((numbers(&one), numbers(&other)), ((0..12).collect(), (12..25).collect()));
    assert!(receive(&db, &log, &billing, 100).await.1.is_empty());
    for batch in [second, first] {
        logs::acknowledge(&db.pool, &log, &billing, batch, &[]).await.unwrap();
        let again = logs::acknowledge(&db.pool, &log, &billing, batch, &[]).await;
        assert!(matches!(again, Err(GroupError::Lost)));
    }
    let left = db.count("select count(*) from pg_queue_batches").await;
    assert_eq!(left, 0);
}

#[tokio::test]
async fn a_writer_that_commits_late_is_neither_skipped_nor_waited_for() {
    let db = database().await;
    let log = db.log("orders").await;
    let group = open(&db, &log, "billing", Start::Beginning).await;
    let mut writer = db.connect().await;
    let mut held = writer.begin().await.unwrap();
    publish(&mut *held, &log, 1000..1003).await;

    let mut seen = Vec::new();
    for round in 0..20 {
        publish(&db.pool, &log, round * 10..round * 10 + 10).await;
        let got = drain(&db, &log, &group, 4).await;
        assert_eq!(got, (round * 10..round * 10 + 10).collect::<Vec<_>>(), "nobody waits for the writer");
        seen.extend(got);
    }
    publish(&mut *held, &log, 1003..1005).await;
    // In the midst of a window.
    publish(&db.pool, &log, 200..210).await;
    let (batch, part) = receive(&db, &log, &group, 3).await;
    assert_eq!(numbers(&part), [200, 201, 202]);
    held.commit().await.unwrap();
    let rest = drain(&db, &log, &group, 4).await;
    assert_eq!(rest[..7], [203, 204, 205, 206, 207, 208, 209]);
    assert_eq!(rest[7..], [1000, 1001, 1002, 1003, 1004]);
    logs::acknowledge(&db.pool, &log, &group, batch, &[]).await.unwrap();
    assert!(drain(&db, &log, &group, 10).await.is_empty());
}

#[tokio::test]
async fn many_writers_in_any_order_are_seen_exactly_once() {
    let db = database().await;
    let log = db.log("orders").await;
    let (one, two) = (open(&db, &log, "one", Start::Beginning).await, open(&db, &log, "two", Start::Beginning).await);
    let writers = async {
        let writer = async |number: u32| {
            let mut connection = db.connect().await;
            for round in 0..20 {
                let mut transaction = connection.begin().await.unwrap();
                let base = number * 1000 + round * 10;
                publish(&mut *transaction, &log, base..base + 3).await;
                // Others get in between.
                publish(&db.pool, &log, [base + 9]).await;
                publish(&mut *transaction, &log, base + 3..base + 5).await;
                if round % 5 == 4 { transaction.rollback().await } else { transaction.commit().await }.unwrap();
            }
        };
        futures_util::future::join_all((0..6).map(writer)).await;
    };
    let written = AtomicBool::new(false);
    let member = async |group: &GroupName, most: u32| {
        let mut seen = Vec::new();
        loop {
            let last = written.load(Relaxed);
            seen.extend(drain(&db, &log, group, most).await);
            if last {
                return seen;
            }
        }
    };
    let writers = async {
        writers.await;
        written.store(true, Relaxed);
    };
    let ((), first, second) = tokio::join!(writers, member(&one, 5), member(&two, 64));
    let wanted: BTreeSet<u32> = (0..6)
        .flat_map(|number| (0..20).map(move |round| (number * 1000 + round * 10, round)))
        .flat_map(|(base, round)| {
            if round % 5 == 4 { vec![base + 9] } else { vec![base, base + 1, base + 2, base + 3, base + 4, base + 9] }
        })
        .collect();
    for seen in [first, second] {
        let all: BTreeSet<u32> = seen.iter().copied().collect();
        assert_eq!(seen.len(), wanted.len());
        assert!(all == wanted, "missing: {:?}, too many: {:?}", &wanted - &all, &all - &wanted);
    }
}

#[tokio::test]
async fn a_batch_whose_lease_ran_out_comes_again_and_the_first_member_changes_nothing() {
    let db = database().await;
    let log = db.log("orders").await;
    let group = open(&db, &log, "billing", Start::Beginning).await;
    publish(&db.pool, &log, 0..6).await;
    let stale = BatchId::random();
    let lost = logs::receive(&db.pool, &log, &group, 4, Duration::ZERO, stale).await.unwrap();
    assert_eq!(numbers(&lost), [0, 1, 2, 3]);
    let (again, messages) = receive(&db, &log, &group, 10).await;
    assert_eq!(numbers(&messages), [0, 1, 2, 3]);
    assert!(messages.iter().all(|message| message.attempt == 2));
    for refused in [
        logs::acknowledge(&db.pool, &log, &group, stale, &[]).await,
        logs::extend(&db.pool, &log, &group, stale, LONG).await,
    ] {
        assert!(matches!(refused, Err(GroupError::Lost)));
    }
    logs::extend(&db.pool, &log, &group, again, LONG).await.unwrap();
    logs::acknowledge(&db.pool, &log, &group, again, &[]).await.unwrap();
    assert_eq!(drain(&db, &log, &group, 10).await, [4, 5]);
}

#[tokio::test]
async fn a_message_that_kills_its_members_comes_alone_and_is_parked_in_the_end() {
    let db = database().await;
    let log = db.log("orders").await;
    let group = open(&db, &log, "billing", Start::Beginning).await;
    publish(&db.pool, &log, 0..4).await;
    let mut alone = 0;
    // Two kills fit; the third attempt of each message is its last.
    for _ in 0..2 {
        let gone = logs::receive(&db.pool, &log, &group, 10, Duration::ZERO, BatchId::random()).await.unwrap();
        assert_eq!(gone.len(), 4);
    }
    let mut done = Vec::new();
    loop {
        let batch = BatchId::random();
        let messages = logs::receive(&db.pool, &log, &group, 10, Duration::ZERO, batch).await.unwrap();
        let Some(first) = messages.first() else { break };
        assert_eq!(messages.len(), 1);
        if first.body == "2" {
            alone += 1;
            continue;
        }
        done.push(first.body.clone());
        logs::acknowledge(&db.pool, &log, &group, batch, &[]).await.unwrap();
    }
    done.sort();
    assert_eq!((alone, done), (1, vec!["0".to_owned(), "1".to_owned(), "3".to_owned()]));
    let parked = logs::parked(&db.pool, &log, &group, None, 10).await.unwrap();
    assert_eq!(parked.iter().map(|it| (it.body.as_str(), it.attempts)).collect::<Vec<_>>(), [("2", 3)]);
    assert!(parked[0].error.contains("lease ran out"));
}

#[tokio::test]
async fn what_failed_is_tried_again_then_parked_and_can_be_retried_or_discarded() {
    let db = database().await;
    let log = db.log("orders").await;
    let group = open(&db, &log, "billing", Start::Beginning).await;
    publish(&db.pool, &log, 0..5).await;
    let fail = async |batch, messages: &[LoggedMessage], error: &str| {
        let failed: Vec<FailedMessage> = messages
            .iter()
            .filter(|message| message.body == "1" || message.body == "3")
            .map(|message| FailedMessage { position: message.position, error: error.to_owned() })
            .collect();
        logs::acknowledge(&db.pool, &log, &group, batch, &failed).await.unwrap();
    };
    for attempt in 1..=3 {
        let (batch, messages) = receive(&db, &log, &group, 10).await;
        let wanted: &[u32] = if attempt == 1 { &[0, 1, 2, 3, 4] } else { &[1, 3] };
        assert_eq!(numbers(&messages), wanted);
        assert!(messages.iter().all(|message| message.attempt == attempt));
        fail(batch, &messages, &format!("no.\0{attempt}")).await;
    }
    assert!(drain(&db, &log, &group, 10).await.is_empty());
    let parked = logs::parked(&db.pool, &log, &group, None, 10).await.unwrap();
    assert_eq!(
        parked.iter().map(|it| (it.body.as_str(), it.error.as_str())).collect::<Vec<_>>(),
        [("1", "no.3"), ("3", "no.3")]
    );
    let rest = logs::parked(&db.pool, &log, &group, Some(parked[0].position), 10).await.unwrap();
    assert_eq!(rest, parked[1..]);
    let status = logs::groups(&db.pool, &log).await.unwrap();
    assert_eq!((status[0].parked, status[0].retrying, status[0].batches, status[0].unseen_since), (2, 0, 0, None));

    assert_eq!(logs::discard_parked(&db.pool, &log, &group, Some(&[parked[0].position])).await.unwrap(), 1);
    assert_eq!(logs::retry_parked(&db.pool, &log, &group, None).await.unwrap(), 1);
    let (batch, messages) = receive(&db, &log, &group, 10).await;
    assert_eq!((numbers(&messages), messages[0].attempt), (vec![3], 1));
    logs::acknowledge(&db.pool, &log, &group, batch, &[]).await.unwrap();
    assert_eq!(db.count("select count(*) from pg_queue_failures").await, 0);
}

#[tokio::test]
async fn an_acknowledgement_in_a_transaction_happens_with_it_or_not_at_all() {
    let db = database().await;
    let log = db.log("orders").await;
    let group = open(&db, &log, "billing", Start::Beginning).await;
    publish(&db.pool, &log, 0..3).await;
    let batch = BatchId::random();
    logs::receive(&db.pool, &log, &group, 10, Duration::ZERO, batch).await.unwrap();
    let mut member = db.connect().await;
    let mut transaction = member.begin().await.unwrap();
    logs::acknowledge(&mut *transaction, &log, &group, batch, &[]).await.unwrap();
    // Its lease has run out, but it is just being acknowledged: nobody gets it meanwhile.
    assert!(receive(&db, &log, &group, 10).await.1.is_empty());
    transaction.rollback().await.unwrap();
    let (again, messages) = receive(&db, &log, &group, 10).await;
    assert_eq!(numbers(&messages), [0, 1, 2]);
    let mut transaction = member.begin().await.unwrap();
    logs::acknowledge(&mut *transaction, &log, &group, again, &[]).await.unwrap();
    transaction.commit().await.unwrap();
    assert!(drain(&db, &log, &group, 10).await.is_empty());
}

#[tokio::test]
async fn a_group_is_moved_to_a_position_a_time_or_an_end() {
    let db = database().await;
    let log = db.log("orders").await;
    let group = open(&db, &log, "billing", Start::End).await;
    let positions = publish(&db.pool, &log, 0..5).await;
    let between: f64 =
        sqlx::query_scalar("select extract(epoch from clock_timestamp())::float8").fetch_one(&db.pool).await.unwrap();
    publish(&db.pool, &log, 5..8).await;
    assert_eq!(drain(&db, &log, &group, 3).await, (0..8).collect::<Vec<_>>());
    let seek = async |start| logs::seek(&db.pool, &log, &group, start).await.unwrap();
    seek(Start::After(positions[2])).await;
    assert_eq!(drain(&db, &log, &group, 2).await, (3..8).collect::<Vec<_>>());
    // What fails of the first window is not taken for more than it was.
    seek(Start::After(positions[2])).await;
    let lost = logs::receive(&db.pool, &log, &group, 10, Duration::ZERO, BatchId::random()).await.unwrap();
    assert_eq!(numbers(&lost), [3, 4, 5, 6, 7]);
    assert_eq!(drain(&db, &log, &group, 10).await, [3, 4, 5, 6, 7]);
    seek(Start::Since(SystemTime::UNIX_EPOCH + Duration::from_secs_f64(between))).await;
    assert_eq!(drain(&db, &log, &group, 2).await, (5..8).collect::<Vec<_>>());
    seek(Start::Beginning).await;
    let (batch, messages) = receive(&db, &log, &group, 5).await;
    assert_eq!(messages.len(), 5);
    seek(Start::End).await;
    assert!(drain(&db, &log, &group, 2).await.is_empty());
    let stale = logs::acknowledge(&db.pool, &log, &group, batch, &[]).await;
    assert!(matches!(stale, Err(GroupError::Lost)), "{stale:?}");
}

#[tokio::test]
async fn a_group_that_is_moved_misses_nothing_of_what_is_open_at_that_moment() {
    let db = database().await;
    let log = db.log("orders").await;
    let group = open(&db, &log, "billing", Start::End).await;
    let mut writer = db.connect().await;
    let mut held = writer.begin().await.unwrap();
    publish(&mut *held, &log, [100, 101]).await;
    let positions = publish(&db.pool, &log, 0..5).await;
    logs::seek(&db.pool, &log, &group, Start::After(positions[1])).await.unwrap();
    assert_eq!(drain(&db, &log, &group, 2).await, [2, 3, 4]);
    logs::seek(&db.pool, &log, &group, Start::After(positions[1])).await.unwrap();
    held.commit().await.unwrap();
    assert_eq!(drain(&db, &log, &group, 2).await, [100, 101, 2, 3, 4]);
}

#[tokio::test]
async fn what_is_published_in_a_members_own_transaction_is_seen_later() {
    let db = database().await;
    let log = db.log("orders").await;
    let group = open(&db, &log, "billing", Start::Beginning).await;
    publish(&db.pool, &log, [0]).await;
    let mut member = db.connect().await;
    let mut transaction = member.begin().await.unwrap();
    publish(&mut *transaction, &log, [1]).await;
    // Others come later and end before.
    publish(&db.pool, &log, [2]).await;
    let batch = BatchId::random();
    let got = logs::receive(&mut *transaction, &log, &group, 10, LONG, batch).await.unwrap();
    assert_eq!(numbers(&got), [0, 2]);
    publish(&mut *transaction, &log, [3]).await;
    logs::acknowledge(&mut *transaction, &log, &group, batch, &[]).await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(drain(&db, &log, &group, 10).await, [1, 3]);
}

#[tokio::test]
async fn old_segments_are_dropped_and_groups_are_told_what_they_missed() {
    let db = database().await;
    let log = db.log("orders").await;
    logs::create(&db.pool, &log, Retention::age(Duration::from_secs(800))).await.unwrap();
    let (all, none) = (open(&db, &log, "all", Start::Beginning).await, open(&db, &log, "none", Start::Beginning).await);
    for round in 0..12 {
        db.set_clock(Box::leak(format!("now() + interval '{} seconds'", round * 150).into_boxed_str())).await;
        publish(&db.pool, &log, round * 10..round * 10 + 10).await;
        assert_eq!(drain(&db, &log, &all, 100).await.len(), 10);
        logs::rotate(&db.pool, &log).await.unwrap();
    }
    let status = logs::list(&db.pool, &log.schema().clone()).await.unwrap();
    assert!((6..=9).contains(&status[0].segments), "{status:?}");
    let groups = logs::groups(&db.pool, &log).await.unwrap();
    let lost = groups.iter().find(|group| group.name == none).unwrap().lost;
    assert_eq!(groups.iter().find(|group| group.name == all).unwrap().lost, 0);
    let left = drain(&db, &log, &none, 1000).await;
    assert_eq!(u64::try_from(left.len()).unwrap() + lost, 120);
    assert!(lost >= 40 && left.last() == Some(&119), "{lost}");
}

#[tokio::test]
async fn a_log_is_kept_within_its_size_and_a_reader_does_not_hold_publishers_up() {
    let db = database().await;
    let log = db.log("orders").await;
    logs::create(&db.pool, &log, Retention::bytes(1 << 20)).await.unwrap();
    let text = "x".repeat(1000);
    for _ in 0..30 {
        let messages: Vec<LogMessage> = (0..100).map(|_| LogMessage::new(&text).unwrap()).collect();
        logs::publish(&db.pool, &log, &messages).await.unwrap();
        logs::rotate(&db.pool, &log).await.unwrap();
    }
    let status = logs::list(&db.pool, &log.schema().clone()).await.unwrap();
    assert!(status[0].bytes < 3 << 20, "{status:?}");
    assert!(status[0].segments > 2, "{status:?}");
    // Who has it open holds up dropping, and nothing else.
    let mut reader = db.connect().await;
    let mut open = reader.begin().await.unwrap();
    sqlx::query("select count(*) from log_orders").execute(&mut *open).await.unwrap();
    logs::create(&db.pool, &log, Retention::bytes(8)).await.unwrap();
    assert_eq!(logs::rotate(&db.pool, &log).await.unwrap(), 0);
    publish(&db.pool, &log, [1]).await;
    open.rollback().await.unwrap();
    assert!(logs::rotate(&db.pool, &log).await.unwrap() > 1);
}

#[tokio::test]
async fn misuse_is_told_apart() {
    let db = database().await;
    let missing = LogName::new("nowhere").unwrap().table(&db.schema);
    let group = GroupName::new("g").unwrap();
    let published = logs::publish(&db.pool, &missing, &[LogMessage::new(&1).unwrap()]).await;
    assert!(matches!(published, Err(LogError::Missing(_))), "{published:?}");
    let mut connection = db.connect().await;
    let mut transaction = connection.begin().await.unwrap();
    let checked = logs::publish_checked(&mut transaction, &missing, &[LogMessage::new(&1).unwrap()]).await;
    assert!(matches!(checked, Err(LogError::Missing(_))));
    sqlx::query("select 1").execute(&mut *transaction).await.unwrap();
    drop(transaction);
    let mut connection: PgConnection = db.connect().await;
    for start in [Start::Beginning, Start::Since(SystemTime::now())] {
        let opened = logs::open(&mut connection, &missing, &group, start, GroupSettings::default()).await;
        assert!(matches!(opened, Err(GroupError::Log(LogError::Missing(_)))), "{opened:?}");
    }

    let log = db.log("orders").await;
    let received = logs::receive(&db.pool, &log, &group, 1, LONG, BatchId::random()).await;
    assert!(matches!(received, Err(GroupError::Missing { .. })), "{received:?}");
    logs::open(&mut connection, &log, &group, Start::End, GroupSettings::default()).await.unwrap();
    logs::open(&mut connection, &log, &group, Start::Beginning, GroupSettings::default()).await.unwrap();
    let mut other = GroupSettings::default();
    other.max_attempts = 9;
    let opened = logs::open(&mut connection, &log, &group, Start::End, other).await;
    assert!(matches!(opened, Err(GroupError::OtherSettings { .. })), "{opened:?}");
    sqlx::query("update pg_queue_groups set seen = '9000000000:9000000000:'").execute(&db.pool).await.unwrap();
    let received = logs::receive(&db.pool, &log, &group, 1, LONG, BatchId::random()).await;
    assert!(matches!(received, Err(GroupError::Restored(_))), "{received:?}");
    let nothing = logs::create(&db.pool, &log, Retention::bytes(0)).await;
    assert!(matches!(nothing, Err(LogDdlError::InvalidRetention(_))), "{nothing:?}");
    sqlx::query("create table log_mine ()").execute(&db.pool).await.unwrap();
    let mine = LogName::new("mine").unwrap().table(&db.schema);
    assert!(matches!(logs::create(&db.pool, &mine, Retention::default()).await, Err(LogDdlError::NotOurs(_))));
    assert!(logs::drop(&db.pool, &log).await.unwrap());
    assert!(!logs::drop(&db.pool, &log).await.unwrap());
    assert_eq!(db.count("select count(*) from pg_queue_groups").await, 0);
}

#[tokio::test]
async fn sql_users_publish_and_a_group_that_waits_is_notified() {
    let db = database().await;
    let log = db.log("orders").await;
    let group = open(&db, &log, "billing", Start::Beginning).await;
    let mut listener = sqlx::postgres::PgListener::connect_with(&db.pool).await.unwrap();
    listener.listen(&db.schema.channel()).await.unwrap();
    let me = pg_queue_core::WorkerId::random();
    pg_queue_core::workers::wait_for(&db.pool, &db.schema, &[&log.log().wake_key()], me, LONG).await.unwrap();
    let publish = "select pg_queue_log_publish('orders', '7', '{\"country\": \"at\", \"n\": 1}')";
    sqlx::query(publish).execute(&db.pool).await.unwrap();
    assert_eq!(listener.recv().await.unwrap().payload(), "wake:log:orders");
    let (_, messages) = receive(&db, &log, &group, 1).await;
    assert_eq!((messages[0].attributes["country"].as_str(), messages[0].attributes["n"].as_str()), ("at", "1"));
    for (bad, code) in [
        ("select pg_queue_log_publish('nowhere', '1')", "42P01"),
        ("select pg_queue_log_publish('Orders!', '1')", "22023"),
        ("select pg_queue_log_publish('orders', null)", "22004"),
        ("select pg_queue_log_publish('orders', '1', '[]')", "22023"),
    ] {
        let error = sqlx::query(bad).execute(&db.pool).await.unwrap_err();
        assert_eq!(error.as_database_error().unwrap().code().as_deref(), Some(code), "{bad}");
    }
}
