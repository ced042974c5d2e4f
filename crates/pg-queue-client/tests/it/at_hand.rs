//! What calls leave of a pool's connections.

use std::time::Duration;

use pg_queue_client::{PgQueue, PoppedJob};
use pg_queue_core::QueueName;
use sqlx::{Connection, PgConnection, PgPool, postgres::PgPoolOptions};

use crate::support::{Db, LONG, database, eventually};

/// A pool whose connections have settings that differ from the server's.
async fn pool(db: &Db, connections: u32) -> PgPool {
    let own = [("enable_sort", "off"), ("default_transaction_isolation", "repeatable read")];
    let options = db.database.connect_options().options(own);
    PgPoolOptions::new().max_connections(connections).connect_with(options).await.unwrap()
}

/// What the pool's connections are set to, all of them at once.
async fn settings(pool: &PgPool) -> Vec<(String, String, String)> {
    let mut all = Vec::new();
    for _ in 0..pool.size() {
        all.push(pool.acquire().await.unwrap());
    }
    let mut seen = Vec::new();
    for connection in &mut all {
        let settings = "select current_setting('enable_seqscan'), current_setting('enable_sort'),
            current_setting('default_transaction_isolation')";
        seen.push(sqlx::query_as(settings).fetch_one(&mut **connection).await.unwrap());
    }
    seen
}

fn as_before() -> (String, String, String) {
    ("on".into(), "off".into(), "repeatable read".into())
}

async fn take(mgr: &PgQueue, work: &QueueName) -> PoppedJob<u64> {
    mgr.queue.pop_many(work, 10).await.unwrap().pop().expect("there is one").unwrap()
}

#[tokio::test]
async fn the_pools_connections_are_as_they_were() {
    let db = database().await;
    let work = db.queue("work").await;
    for connections in [1, 3] {
        let pool = pool(&db, connections).await;
        let mgr = PgQueue::new(pool.clone());
        for n in 0..20 {
            mgr.queue.push(&work, &n).await.unwrap();
            let job = take(&mgr, &work).await;
            assert_eq!(job.payload, n);
            if n % 2 == 0 {
                assert!(mgr.queue.complete_many(&work, &[job.id]).await.unwrap().is_empty());
            } else {
                mgr.queue.complete(&work, job.id).await.unwrap();
            }
        }
        // One that nobody uses goes back to the pool by itself.
        eventually("all are back", async || pool.num_idle() == pool.size() as usize).await;
        assert!(settings(&pool).await.iter().all(|settings| *settings == as_before()), "{connections}");
    }
}

/// A claim of which nobody has heard is undone: else its jobs would be leased for minutes, and one attempt poorer.
#[tokio::test]
async fn one_who_goes_away_in_the_midst_has_taken_nothing() {
    let db = database().await;
    let work = db.queue("work").await;
    let pool = pool(&db, 2).await;
    let mgr = PgQueue::new(pool.clone());
    mgr.queue.push(&work, &1).await.unwrap();
    let mut lock = PgConnection::connect(db.database.url()).await.unwrap();
    sqlx::raw_sql("begin; lock table queue_work in exclusive mode").execute(&mut lock).await.unwrap();
    let popped = tokio::time::timeout(Duration::from_millis(300), mgr.queue.pop::<u64>(&work)).await;
    assert!(popped.is_err(), "it waits for the lock");
    sqlx::query("rollback").execute(&mut lock).await.unwrap();
    let claims = "select count(*) from pg_stat_activity where datname = current_database() and query like '-- Takes%'
        and state <> 'idle'";
    eventually("the claim has ended", async || db.count(claims).await == 0).await;
    let untouched = "select count(*) from queue_work where lease_token is null and attempt = 0";
    assert_eq!(db.count(untouched).await, 1);
    assert_eq!(take(&mgr, &work).await.payload, 1);
    eventually("all are back", async || pool.num_idle() == pool.size() as usize).await;
    assert!(settings(&pool).await.iter().all(|settings| *settings == as_before()));
}

/// As an application does at its end, which its consumers and producers are to notice.
#[tokio::test]
async fn a_pool_is_closed_however_busy_its_users_are() {
    let db = database().await;
    let work = db.queue("work").await;
    let pool = pool(&db, 5).await;
    let mgr = PgQueue::new(pool.clone());
    let rounds = std::cell::Cell::new(0);
    let busy = async || {
        loop {
            rounds.set(rounds.get() + 1);
            mgr.queue.push(&work, &1).await.map_err(|_| ())?;
            mgr.queue.push_many(&work, &[2, 3]).await.map_err(|_| ())?;
            let jobs = mgr.queue.pop_many::<u64>(&work, 3).await.map_err(|_| ())?;
            let ids: Vec<_> = jobs.into_iter().map(|job| job.unwrap().id).collect();
            mgr.queue.complete_many(&work, &ids).await.map_err(|_| ())?;
        }
        #[expect(unreachable_code, reason = "it names the type")]
        Ok::<(), ()>(())
    };
    let closing = async {
        eventually("it is busy", async || rounds.get() > 10).await;
        pool.close().await;
    };
    let (ended, ()) = tokio::time::timeout(LONG, async { tokio::join!(busy(), closing) }).await.expect("it ends");
    assert!(ended.is_err());
}

/// As tests share a static handle: each runtime ends with its test, and with it what it has at hand.
#[test]
fn a_runtime_that_ends_takes_no_connection_along() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let long_lived = runtime();
    let db = long_lived.block_on(database());
    let work = long_lived.block_on(db.queue("work"));
    let mgr = long_lived.block_on(async { db.without_reuse() });
    for n in 0..20 {
        runtime().block_on(async {
            mgr.queue.push(&work, &n).await.unwrap();
            let job = take(&mgr, &work).await;
            assert_eq!(job.payload, n);
            mgr.queue.complete(&work, job.id).await.unwrap();
        });
    }
    long_lived.block_on(async move { drop(db) });
}
