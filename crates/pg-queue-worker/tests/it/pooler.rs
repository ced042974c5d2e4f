//! A worker behind a pooler that hands out server connections by transaction, with few of them for many.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use pg_queue_client::{PgQueue, PgQueueBuilder};
use pg_queue_embedded::{Pooler, shared};
use pg_queue_worker::Outcome;
use sqlx::postgres::PgPoolOptions;

use crate::support::{App, Db, db, effect, eventually, start, tasks};

/// A pooler of the test's own. It is there where CI is; elsewhere it is no reason to fail.
fn pooler() -> Option<Pooler> {
    match Pooler::start(shared(), 4) {
        Ok(pooler) => Some(pooler),
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "{error}");
            eprintln!("left out: {error}");
            None
        }
    }
}

fn through(pooler: &Pooler, db: &Db, builder: PgQueueBuilder) -> PgQueue {
    let pool = PgPoolOptions::new().max_connections(20);
    builder.transaction_pooler().build(pool.connect_lazy(&pooler.url(db.database.name())).unwrap())
}

/// A handler that notes what it was given.
fn noting(noted: &Arc<Mutex<Vec<i64>>>) -> App {
    let noted = Arc::clone(noted);
    App::new(move |n, _| {
        noted.lock().unwrap().push(n);
        async { Ok(Outcome::Complete) }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_drain_a_queue_through_a_pooler_and_run_each_job_once() {
    let Some(pooler) = pooler() else { return };
    let db = db().await;
    db.push_many(0..2000).await;
    let noted = Arc::default();
    let builder = || PgQueue::builder().listener_url(db.database.url()).unwrap();
    let (first, second) = (through(&pooler, &db, builder()), through(&pooler, &db, builder()));
    let one = start(tasks().concurrency(16).build(&first, noting(&noted)).unwrap());
    let two = start(tasks().concurrency(16).build(&second, noting(&noted)).unwrap());
    eventually("the queue is empty", async || db.jobs().await == 0).await;
    let (one, two) = (one.stop().await, two.stop().await);
    assert_eq!(one.completed + two.completed, 2000);
    let ran = noted.lock().unwrap().clone();
    assert_eq!(ran.len(), 2000);
    assert_eq!(ran.iter().copied().collect::<HashSet<_>>(), (0..2000).collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_hears_nothing_through_a_pooler_polls() {
    let Some(pooler) = pooler() else { return };
    let db = db().await;
    let noted = Arc::default();
    let deaf = through(&pooler, &db, PgQueue::builder());
    let worker = start(tasks().poll_interval(Duration::from_millis(100)).build(&deaf, noting(&noted)).unwrap());
    eventually("it is known that nothing is heard", async || deaf.is_deaf()).await;
    // By another handle, which rings no bell of the worker's.
    for n in 0..10 {
        db.push(n).await;
        let noted = Arc::clone(&noted);
        eventually("it was run", async || noted.lock().unwrap().len() == usize::try_from(n + 1).unwrap()).await;
    }
    // What the worker has wished for before it knew runs out, or was taken back.
    worker.stop().await;
    assert_eq!(*noted.lock().unwrap(), (0..10).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_a_worker_sets_is_left_with_the_poolers_connections() {
    let Some(pooler) = pooler() else { return };
    let db = db().await;
    db.execute("create table effects (job bigint)").await;
    db.push_many(0..200).await;
    let queue = through(&pooler, &db, PgQueue::builder());
    let worker = start(tasks().build(&queue, App::new(|_, ctx| async move { effect(&ctx).await })).unwrap());
    eventually("the queue is empty", async || db.jobs().await == 0).await;
    assert_eq!(db.effects().await, (200, 200));
    // Each of the server connections, held open at the same time.
    let ask = "select current_setting('enable_seqscan') || current_setting('statement_timeout') || \
        current_setting('lock_timeout') || current_setting('jit') || current_setting('default_transaction_isolation') as set, \
        (select count(*) from pg_prepared_statements) as prepared, \
        (select count(*) from pg_listening_channels() as channel where channel not like '%.probe') as channels, \
        (select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()) as locks";
    worker.stop().await;
    let mut held = Vec::new();
    for _ in 0..4 {
        let mut transaction = queue.pool().begin().await.unwrap();
        let statement = sqlx::query_as(ask).persistent(false);
        let (set, prepared, channels, locks): (String, i64, i64, i64) =
            statement.fetch_one(&mut *transaction).await.unwrap();
        assert_eq!(set, "on00offread committed");
        assert_eq!((prepared, channels, locks), (0, 0, 0));
        held.push(transaction);
    }
}
