//! Enqueuing through the pool: calls share statements, and nothing else.

use std::{future::poll_fn, pin::Pin, sync::Arc, task::Poll, time::Duration};

use futures_util::FutureExt;
use pg_queue_client::{PgQueue, PgQueueBuilder};
use pg_queue_core::{DatabaseError, JobId, PushOptions, PushOutcome, QueueError, QueueName, jobs::PushError};
use sqlx::{Connection, PgConnection, PgPool, postgres::PgPoolOptions};
use tokio::{
    sync::Barrier,
    task::{JoinHandle, JoinSet},
};

use crate::support::{Db, LONG, Mode, Proxy, database, database_of, eventually};

/// Pushes in a task of its own.
fn pushing(mgr: &PgQueue, queue: &QueueName, payload: u64) -> JoinHandle<Result<JobId, PushError>> {
    let (mgr, queue) = (mgr.clone(), queue.clone());
    tokio::spawn(async move { mgr.queue.push(&queue, &payload).await })
}

/// A pool of so many connections on which these settings are made.
async fn pool_with(db: &Db, connections: u32, settings: &[(&str, &str)]) -> PgPool {
    let options = db.database.connect_options().options(settings.iter().copied());
    PgPoolOptions::new().max_connections(connections).connect_with(options).await.unwrap()
}

/// How many statements of this database wait for a lock.
async fn blocked(db: &Db) -> i64 {
    db.count("select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'")
        .await
}

async fn stored(db: &Db) -> i64 {
    db.count("select count(*) from queue_work").await
}

/// Holds the queue's table, so that every push waits.
async fn lock(db: &Db) -> PgConnection {
    let mut connection = PgConnection::connect(db.database.url()).await.unwrap();
    sqlx::query("begin").execute(&mut connection).await.unwrap();
    sqlx::query("lock table queue_work in exclusive mode").execute(&mut connection).await.unwrap();
    connection
}

async fn unlock(mut connection: PgConnection) {
    sqlx::query("rollback").execute(&mut connection).await.unwrap();
}

/// Starts pushes that go into one statement: a first one is blocked, and the others wait for its answer. Answers the first
/// one, the others, and what holds the lock.
async fn one_batch(
    db: &Db,
    work: &QueueName,
    payloads: std::ops::Range<u64>,
) -> (PgConnection, JoinHandle<Result<JobId, PushError>>, Vec<JoinHandle<Result<JobId, PushError>>>) {
    let lock = lock(db).await;
    let first = pushing(&db.mgr, work, 1_000_000);
    eventually("the first push is blocked", async || blocked(db).await == 1).await;
    let others: Vec<_> = payloads.map(|payload| pushing(&db.mgr, work, payload)).collect();
    // On the runtime of one thread that tests have, each has run up to where it waits.
    tokio::task::yield_now().await;
    (lock, first, others)
}

async fn count_statements(db: &Db) {
    let count = "create table statements (n serial);
        create function note() returns trigger language plpgsql as $$ begin insert into statements default values; return null; end $$;
        create trigger note after insert on queue_work for each statement execute function note()";
    sqlx::raw_sql(count).execute(&db.pool).await.unwrap();
}

#[tokio::test]
async fn what_arrives_while_a_statement_is_on_its_way_is_the_next_one() {
    let db = database().await;
    let work = db.queue("work").await;
    count_statements(&db).await;
    let (lock, first, others) = one_batch(&db, &work, 0..100).await;
    unlock(lock).await;
    let first = first.await.unwrap().unwrap();
    let mut ids = Vec::new();
    for other in others {
        ids.push(other.await.unwrap().unwrap());
    }
    assert_eq!(db.count("select count(*) from statements").await, 2);
    // In the order of arrival, and each knows its own.
    assert!(first < ids[0] && ids.is_sorted());
    for (payload, id) in ids.iter().enumerate() {
        let stored: String = sqlx::query_scalar("select payload::text from queue_work where id = $1")
            .bind(id.get())
            .fetch_one(&db.pool)
            .await
            .unwrap();
        assert_eq!(stored, payload.to_string());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_one_of_many_callers_is_answered_once_with_a_job_of_its_own() {
    let db = database().await;
    let work = db.queue("work").await;
    let barrier = Arc::new(Barrier::new(64));
    let mut callers = JoinSet::new();
    for caller in 0..64_u64 {
        let (mgr, work, barrier) = (db.mgr.clone(), work.clone(), Arc::clone(&barrier));
        callers.spawn(async move {
            barrier.wait().await;
            let mut ids = Vec::new();
            for round in 0..20 {
                ids.push(mgr.queue.push(&work, &(caller * 1000 + round)).await.unwrap());
            }
            (caller, ids)
        });
    }
    for (caller, ids) in callers.join_all().await {
        assert!(ids.is_sorted(), "one after the other is in order");
        for (id, round) in ids.iter().zip(0_u64..) {
            let payload: String = sqlx::query_scalar("select payload::text from queue_work where id = $1")
                .bind(id.get())
                .fetch_one(&db.pool)
                .await
                .unwrap();
            assert_eq!(payload, (caller * 1000 + round).to_string());
        }
    }
    assert_eq!(stored(&db).await, 64 * 20);
}

#[tokio::test]
async fn a_refused_job_fails_alone() {
    let db = database().await;
    let work = db.queue("work").await;
    sqlx::query("alter table queue_work add constraint unlucky check (payload::text not in ('13', '77'))")
        .execute(&db.pool)
        .await
        .unwrap();
    let (lock, first, others) = one_batch(&db, &work, 0..100).await;
    unlock(lock).await;
    first.await.unwrap().unwrap();
    for (payload, other) in others.into_iter().enumerate() {
        let pushed = other.await.unwrap();
        if [13, 77].contains(&payload) {
            let PushError::Queue(QueueError::Database(DatabaseError::Other(sqlx::Error::Database(error)))) =
                pushed.unwrap_err()
            else {
                panic!("another error")
            };
            assert_eq!((error.constraint(), error.code().as_deref()), (Some("unlucky"), Some("23514")));
        } else {
            pushed.unwrap();
        }
    }
    assert_eq!(stored(&db).await, 99);
}

#[tokio::test]
async fn an_option_that_is_out_of_range_is_its_callers_own_trouble() {
    let db = database().await;
    let work = db.queue("work").await;
    let (lock, first, others) = one_batch(&db, &work, 0..10).await;
    let options = PushOptions::default().max_attempts(0);
    let error = db.mgr.queue.push_with(&work, "raw", &1, options).await.unwrap_err();
    assert!(matches!(error, PushError::InvalidMaxAttempts(0)), "{error}");
    unlock(lock).await;
    first.await.unwrap().unwrap();
    for other in others {
        other.await.unwrap().unwrap();
    }
}

/// To try them one by one would take as long for each.
#[tokio::test]
async fn a_lock_that_is_not_free_in_time_is_told_to_all_with_what_the_server_said() {
    let mut db = database().await;
    let work = db.queue("work").await;
    db.mgr = PgQueue::new(pool_with(&db, 5, &[("lock_timeout", "3s")]).await);
    let (lock, first, others) = one_batch(&db, &work, 0..10).await;
    let began = std::time::Instant::now();
    for push in std::iter::once(first).chain(others) {
        let error = push.await.unwrap().unwrap_err();
        let PushError::Queue(QueueError::Database(DatabaseError::Other(sqlx::Error::Database(said)))) = &error else {
            panic!("{error}")
        };
        assert_eq!(said.code().as_deref(), Some("55P03"));
        assert!(said.try_downcast_ref::<sqlx::postgres::PgDatabaseError>().is_some());
        assert!(error.to_string().contains("lock timeout"), "{error}");
    }
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    unlock(lock).await;
}

#[tokio::test]
async fn a_missing_queue_fails_its_own_callers_only() {
    let db = database().await;
    let work = db.queue("work").await;
    let nowhere = QueueName::new("nowhere").unwrap();
    let lost: Vec<_> = (0..10).map(|payload| pushing(&db.mgr, &nowhere, payload)).collect();
    let good: Vec<_> = (0..10).map(|payload| pushing(&db.mgr, &work, payload)).collect();
    for lost in lost {
        let error = lost.await.unwrap().unwrap_err();
        assert!(matches!(&error, PushError::Queue(QueueError::Missing(queue)) if *queue == nowhere), "{error}");
    }
    for good in good {
        good.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_locked_queue_keeps_no_other_waiting() {
    let db = database().await;
    let (work, other) = (db.queue("work").await, db.queue("other").await);
    let (lock, first, others) = one_batch(&db, &work, 0..10).await;
    for payload in 0..10 {
        db.mgr.queue.push(&other, &payload).await.unwrap();
    }
    assert!(!first.is_finished() && others.iter().all(|other| !other.is_finished()));
    unlock(lock).await;
    first.await.unwrap().unwrap();
    for other in others {
        other.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_held_unique_key_keeps_only_those_waiting_who_want_it() {
    let db = database().await;
    let work = db.queue("work").await;
    let keyed = |key: &str| PushOptions::default().unique_key(key);
    let mut transaction = db.pool.begin().await.unwrap();
    let job = pg_queue_core::jobs::NewJob::raw(&0).map(|mut job| {
        job.options = keyed("k");
        job
    });
    let table = work.table(db.mgr.schema());
    let held = pg_queue_core::jobs::push(&mut transaction, &table, &job.unwrap()).await.unwrap();
    let (mgr, queue) = (db.mgr.clone(), work.clone());
    let waiting = tokio::spawn(async move { mgr.queue.push_with(&queue, "raw", &1, keyed("k")).await });
    eventually("the second one waits", async || blocked(&db).await == 1).await;
    for payload in 0..10 {
        db.mgr.queue.push(&work, &payload).await.unwrap();
        let other = keyed(&format!("other {payload}"));
        assert!(matches!(db.mgr.queue.push_with(&work, "raw", &payload, other).await, Ok(PushOutcome::Enqueued(_))));
    }
    assert!(!waiting.is_finished());
    transaction.commit().await.unwrap();
    assert_eq!(waiting.await.unwrap().unwrap(), PushOutcome::Duplicate(held.id()));
}

#[tokio::test]
async fn callers_that_go_away_take_nobody_with_them() {
    let db = database().await;
    let work = db.queue("work").await;
    let (lock, first, mut others) = one_batch(&db, &work, 0..10).await;
    // One whose statement is on its way, and one that waits for the next.
    first.abort();
    others.remove(3).abort();
    tokio::task::yield_now().await;
    unlock(lock).await;
    for other in others {
        other.await.unwrap().unwrap();
    }
    // The one on its way is there, the one that waited is not.
    assert_eq!(stored(&db).await, 1 + 9);
    assert_eq!(db.count("select count(*) from queue_work where payload::text = '3'").await, 0);
}

/// Nobody knows then what became of the statement, and nobody tries it again.
#[tokio::test]
async fn a_lost_connection_is_told_to_all_of_its_statement_and_to_nobody_else() {
    let db = database().await;
    let work = db.queue("work").await;
    let (lock, first, others) = one_batch(&db, &work, 0..10).await;
    // Of the first alone: when this has taken a moment, the others have gone past it and wait for the lock too.
    let kill = "select count(pg_terminate_backend(pid)) from (
        select pid from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock' order by query_start limit 1
    ) as first";
    assert_eq!(db.count(kill).await, 1);
    let error = first.await.unwrap().unwrap_err();
    assert!(matches!(error, PushError::Queue(QueueError::Database(_))), "{error}");
    // The others were in no statement: they are in the next one, on another connection.
    eventually("the next statement is blocked", async || blocked(&db).await == 1).await;
    let late = pushing(&db.mgr, &work, 77);
    tokio::task::yield_now().await;
    assert_eq!(db.count(kill).await, 1);
    for other in others {
        let error = other.await.unwrap().unwrap_err();
        assert!(matches!(error, PushError::Queue(QueueError::Database(_))), "{error}");
    }
    unlock(lock).await;
    late.await.unwrap().unwrap();
    assert_eq!(stored(&db).await, 1);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_soon_and_to_everybody() {
    let mgr = PgQueue::new(crate::support::pool_to_nowhere().await);
    let work = QueueName::new("work").unwrap();
    let pushes: Vec<_> = (0..10).map(|payload| pushing(&mgr, &work, payload)).collect();
    for push in pushes {
        let error = tokio::time::timeout(Duration::from_secs(20), push).await.expect("soon").unwrap().unwrap_err();
        assert!(matches!(error, PushError::Queue(QueueError::Database(DatabaseError::Unreachable(_)))), "{error}");
    }
}

/// A connection that is half-open, or a lock: whoever comes later goes past it on another connection.
#[tokio::test]
async fn a_statement_that_never_answers_does_not_stop_the_queue() {
    let db = database().await;
    let work = db.queue("work").await;
    let proxy = Proxy::start(&db.database, Mode::Open).await;
    let pool = PgPoolOptions::new().max_connections(5).connect(&proxy.url).await.unwrap();
    let mgr = PgQueue::new(pool);
    let lock = lock(&db).await;
    let stuck = pushing(&mgr, &work, 0);
    eventually("the first push is blocked", async || blocked(&db).await == 1).await;
    proxy.freeze();
    unlock(lock).await;
    tokio::time::timeout(LONG, mgr.queue.push(&work, &1)).await.expect("it goes past").unwrap();
    stuck.abort();
}

/// A push that its caller sends itself, because the lane has had one a moment ago, blocked by a lock; and others that wait
/// for it. (On a very busy machine the moment is over, and the runner sends it: what follows is the same then.)
async fn alone_before_others(
    db: &Db,
    work: &QueueName,
) -> (PgConnection, JoinHandle<Result<JobId, PushError>>, Vec<JoinHandle<Result<JobId, PushError>>>) {
    let mut lock = PgConnection::connect(db.database.url()).await.unwrap();
    sqlx::query("begin").execute(&mut lock).await.unwrap();
    db.mgr.queue.push(work, &0).await.unwrap();
    db.mgr.queue.push(work, &1).await.unwrap();
    sqlx::query("lock table queue_work in exclusive mode").execute(&mut lock).await.unwrap();
    let first = pushing(&db.mgr, work, 2);
    eventually("the push is blocked", async || blocked(db).await == 1).await;
    let others = (10..20).map(|payload| pushing(&db.mgr, work, payload)).collect();
    tokio::task::yield_now().await;
    (lock, first, others)
}

#[tokio::test]
async fn one_who_sends_its_job_itself_and_goes_away_takes_nobody_along() {
    let db = database().await;
    let work = db.queue("work").await;
    let (lock, first, others) = alone_before_others(&db, &work).await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    // Without a lock that is gone, on a connection of their own.
    eventually("the others are sent", async || blocked(&db).await == 2).await;
    unlock(lock).await;
    for other in others {
        other.await.unwrap().unwrap();
    }
    let others = "select count(*) from queue_work where payload::text::int >= 10";
    assert_eq!(db.count(others).await, 10);
}

#[tokio::test]
async fn one_who_sends_its_job_itself_and_loses_the_connection_is_told_alone() {
    let db = database().await;
    let work = db.queue("work").await;
    let (lock, first, others) = alone_before_others(&db, &work).await;
    // Of the first alone: when this has taken a moment, the others have gone past it and wait for the lock too.
    let kill = "select count(pg_terminate_backend(pid)) from (
        select pid from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock' order by query_start limit 1
    ) as first";
    assert_eq!(db.count(kill).await, 1);
    let error = first.await.unwrap().unwrap_err();
    assert!(matches!(error, PushError::Queue(QueueError::Database(_))), "{error}");
    unlock(lock).await;
    for other in others {
        other.await.unwrap().unwrap();
    }
    assert_eq!(stored(&db).await, 2 + 10);
}

#[tokio::test]
async fn one_who_sends_its_job_itself_and_gets_no_answer_does_not_stop_the_queue() {
    let db = database().await;
    let work = db.queue("work").await;
    let (lock, first, others) = alone_before_others(&db, &work).await;
    // After a second they go past.
    eventually("the others are sent", async || blocked(&db).await == 2).await;
    unlock(lock).await;
    first.await.unwrap().unwrap();
    for other in others {
        other.await.unwrap().unwrap();
    }
    assert_eq!(stored(&db).await, 3 + 10);
}

/// As in the branch of a `select!`, or behind something that is not polled for a while.
#[tokio::test]
async fn one_who_begins_to_send_its_job_itself_and_is_not_polled_holds_up_nobody_for_long() {
    let db = database().await;
    let work = db.queue("work").await;
    db.mgr.queue.push(&work, &0).await.unwrap();
    db.mgr.queue.push(&work, &1).await.unwrap();
    let mut left = Box::pin(db.mgr.queue.push(&work, &2));
    begin(&mut left).await;
    let began = std::time::Instant::now();
    db.mgr.queue.push(&work, &3).await.unwrap();
    assert!(began.elapsed() < Duration::from_millis(800), "{:?}", began.elapsed());
    left.await.unwrap();
    assert_eq!(stored(&db).await, 4);
}

#[tokio::test]
async fn one_connection_is_enough_and_is_left_to_others_in_between() {
    let db = database_of(1).await;
    let work = db.queue("work").await;
    for round in 0..10 {
        let pushes: Vec<_> = (0..10).map(|payload| pushing(&db.mgr, &work, payload)).collect();
        let counted: i64 = db.count("select count(*) from queue_work").await;
        assert!(counted >= round * 10);
        for push in pushes {
            push.await.unwrap().unwrap();
        }
    }
    assert_eq!(stored(&db).await, 100);
}

/// As tests share a static handle: each runtime ends with its test, and what it has begun with it.
#[test]
fn a_handle_outlives_the_runtimes_that_use_it() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let long_lived = runtime();
    let db = long_lived.block_on(database());
    let work = long_lived.block_on(db.queue("work"));
    let mgr = long_lived.block_on(async { db.without_reuse() });
    for round in 0..20_i64 {
        runtime().block_on(async {
            // Left half-way when the runtime ends.
            let _left = pushing(&mgr, &work, 1);
            tokio::time::timeout(LONG, mgr.queue.push(&work, &2)).await.expect("an answer").unwrap();
            let _left_too = pushing(&mgr, &work, 3);
            if round % 2 == 0 {
                tokio::task::yield_now().await;
            }
        });
    }
    let twos = "select count(*) from queue_work where payload::text = '2'";
    assert_eq!(long_lived.block_on(db.count(twos)), 20);
    long_lived.block_on(async move { drop(db) });
}

/// Polls once, which must not be enough.
async fn begin(future: &mut (impl Future + Unpin)) {
    let pending = poll_fn(|context| Poll::Ready(Pin::new(&mut *future).poll(context).is_pending())).await;
    assert!(pending);
}

/// The task that would have answered has ended with its runtime.
#[test]
fn a_caller_that_outlives_its_runtime_gets_an_error() {
    let runtime = || tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (lasting, ending) = (runtime(), runtime());
    let db = lasting.block_on(database());
    let work = lasting.block_on(db.queue("work"));
    let mgr = lasting.block_on(async { db.without_reuse() });
    let lock = lasting.block_on(lock(&db));
    // One whose statement is on its way, and one that waits for the next.
    let mut first = Box::pin(mgr.queue.push(&work, &1));
    ending.block_on(begin(&mut first));
    lasting.block_on(eventually("the push is blocked", async || blocked(&db).await == 1));
    let mut second = Box::pin(mgr.queue.push(&work, &2));
    ending.block_on(begin(&mut second));
    ending.shutdown_background();
    lasting.block_on(async {
        for push in [first, second] {
            let error = tokio::time::timeout(LONG, push).await.expect("an answer").unwrap_err();
            assert!(matches!(error, PushError::Interrupted), "{error}");
        }
        unlock(lock).await;
        tokio::time::timeout(LONG, mgr.queue.push(&work, &3)).await.expect("an answer").unwrap();
    });
    lasting.block_on(async move { drop(db) });
}

#[tokio::test]
async fn a_bell_rings_for_what_was_enqueued_into_its_queue_through_the_handle() {
    let db = database().await;
    let (work, other) = (db.queue("work").await, db.queue("other").await);
    let bell = Arc::new(tokio::sync::Notify::new());
    db.mgr.clone().notify_on_enqueue(&work, &bell);
    let rang = || bell.notified().now_or_never().is_some();
    db.mgr.queue.push(&other, &1).await.unwrap();
    assert!(!rang());
    db.mgr.queue.push(&work, &1).await.unwrap();
    assert!(rang());
    db.mgr.queue.push_many(&work, &[1, 2]).await.unwrap();
    assert!(rang());
    db.mgr.queue.push_with(&work, "raw", &1, PushOptions::default().unique_key("k")).await.unwrap();
    assert!(rang());
    db.mgr.queue.push_with(&work, "raw", &1, PushOptions::default().max_attempts(0)).await.unwrap_err();
    assert!(!rang(), "nothing was enqueued");
}

/// What a statement sets for itself, and what the connection that sent it has afterwards.
#[tokio::test]
async fn losing_jobs_on_a_crash_is_for_what_asks_for_it_and_for_nothing_else() {
    let db = database().await;
    let work = db.queue("work").await;
    let note = "create table commits (setting text, payload text);
        create function note() returns trigger language plpgsql as $$ begin
            insert into commits values (current_setting('synchronous_commit'), new.payload::text); return null; end $$;
        create constraint trigger note after insert on queue_work deferrable initially deferred
            for each row execute function note()";
    sqlx::raw_sql(note).execute(&db.pool).await.unwrap();
    // Tests have a server that never waits for the disk.
    let pool = pool_with(&db, 1, &[("synchronous_commit", "on")]).await;
    let builders: [fn(PgQueueBuilder) -> PgQueueBuilder; 2] = [PgQueueBuilder::lose_jobs_on_crash, |builder| builder];
    for (n, builder) in builders.into_iter().enumerate() {
        let mgr = builder(PgQueue::builder()).build(pool.clone());
        mgr.queue.push(&work, &(n * 10)).await.unwrap();
        mgr.queue.push_many(&work, &[n * 10 + 1, n * 10 + 2]).await.unwrap();
        mgr.queue
            .push_with(&work, "raw", &(n * 10 + 3), PushOptions::default().unique_key(n.to_string()))
            .await
            .unwrap();
        let mut transaction = pool.begin().await.unwrap();
        let job = Later { n: n * 10 + 4 };
        pg_queue_core::Job::enqueue(&job, mgr.on(&mut transaction)).await.unwrap();
        transaction.commit().await.unwrap();
        // The connection, of which there is one, is as it was.
        let setting: String = sqlx::query_scalar("show synchronous_commit").fetch_one(&pool).await.unwrap();
        assert_eq!(setting, "on");
    }
    let off = "select payload from commits where setting = 'off' order by payload";
    let off: Vec<String> = sqlx::query_scalar(off).fetch_all(&db.pool).await.unwrap();
    assert_eq!(off, ["0", "1", "2"]);
    assert_eq!(db.count("select count(*) from commits").await, 10);
}

#[derive(serde::Serialize, serde::Deserialize, pg_queue_core::Job)]
#[job(crate = "pg_queue_core", queue = "work")]
struct Later {
    n: usize,
}
