//! Being asked to end by the operating system, once and twice.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::{
    process::Process,
    support::{Db, db},
};

const UNHARMED: &str =
    "select count(*) = 9 and bool_and(attempt = 0 and lease_token is null and errors is null) from queue_work";

/// A worker with ten running handlers, of which one ends when the test says so and the others never.
async fn running(db: &Db) -> Process {
    db.execute(
        "create table starts (job bigint not null, attempt smallint not null);
         create table go (at timestamptz default now())",
    )
    .await;
    db.push_many(0..10).await;
    let process = Process::start(db, "signals", Duration::from_secs(5));
    db.until("select (select count(*) = 10 from starts) and exists (select from pg_queue_waiters)").await;
    process
}

#[tokio::test(flavor = "multi_thread")]
async fn asked_once_it_waits_for_its_handlers_and_asked_twice_it_is_quick() {
    for (first, second) in [(Signal::INT, Signal::INT), (Signal::TERM, Signal::INT)] {
        let db = db().await;
        let mut process = running(&db).await;
        process.signal(first);
        // It claims no more, and waits: a handler that ends now is acknowledged.
        db.until("select count(*) = 0 from pg_queue_waiters").await;
        db.push(100).await;
        db.execute("insert into go default values").await;
        db.until("select count(*) = 0 from queue_work where payload->>'n' = '0'").await;
        assert!(!process.has_ended());
        let asked = Instant::now();
        process.signal(second);
        let printed = process.printed().await;
        assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
        assert!(printed.contains("completed: 1,") && printed.contains("released: 9,"), "{printed}");
        // Nothing was lost, nobody has to be rescued, and no attempt was spent.
        db.execute("delete from queue_work where payload->>'n' = '100' and attempt = 0").await;
        assert!(db.get::<bool>(UNHARMED).await);
        assert!(db.workers().await.is_empty());
    }
}
