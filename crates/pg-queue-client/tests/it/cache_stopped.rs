//! A holder of a lock in a process of its own, which is stopped for longer than the lock's time: the test binary once more, with
//! only one test.

use std::{
    env,
    process::{Child, Command, Stdio},
    time::Duration,
};

use pg_queue_client::PgQueue;
use rustix::process::{Pid, Signal, kill_process};
use sqlx::PgPool;

use crate::support::{Db, LONG, database, eventually};

/// Where the process finds the database.
const URL: &str = "PG_QUEUE_TEST_HOLDER_URL";

const TTL: Duration = Duration::from_secs(2);

/// What the lock guards, and who has written it in which order. The order is drawn under the row's lock.
const TABLES: &str = "
    create table guarded (fence bigint not null);
    insert into guarded values (0);
    create table writes (nr bigserial primary key, fence bigint not null)";

async fn write(pool: &PgPool, fence: i64) -> bool {
    let write = "with written as (update guarded set fence = $1 where fence <= $1 returning fence)
        insert into writes (fence) select fence from written";
    sqlx::query(write).bind(fence).execute(pool).await.unwrap().rows_affected() == 1
}

struct Holder(Child);

impl Holder {
    fn start(db: &Db) -> Self {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--exact", "cache_stopped::the_holder_of_another_test", "--nocapture", "--test-threads=1"]);
        Self(command.env(URL, db.database.url()).stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap())
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Not a test of its own: returns at once when nobody has asked for it.
#[tokio::test]
async fn the_holder_of_another_test() {
    let Ok(url) = env::var(URL) else { return };
    let mgr = PgQueue::connect(&url).await.unwrap();
    loop {
        let mut lock = mgr.cache.lock_within("l", TTL, LONG).await.unwrap().unwrap();
        let fence = lock.fence();
        // Writes for as long as it may, and renews the lock meanwhile.
        let refused = async { while write(mgr.pool(), fence).await {} };
        // It is told that it has lost the lock, or that it may not write.
        if lock.hold(refused).await.is_ok() || !write(mgr.pool(), fence).await {
            return;
        }
        // It was lost on a busy machine, and is nobody else's.
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_holder_that_was_stopped_for_longer_than_its_time_never_writes_after_the_next_one() {
    let db = database().await;
    sqlx::raw_sql(TABLES).execute(&db.pool).await.unwrap();
    for _ in 0..3 {
        let written = db.count("select count(*) from writes").await;
        let mut holder = Holder::start(&db);
        eventually("it writes", async || db.count("select count(*) from writes").await > written + 10).await;
        holder.signal(Signal::STOP);
        let lock = db.mgr.cache.lock_within("l", 60, LONG).await.unwrap().unwrap();
        assert!(write(&db.pool, lock.fence()).await);
        holder.signal(Signal::CONT);
        eventually("it ends", async || holder.0.try_wait().unwrap().is_some()).await;
        assert!(holder.0.wait().unwrap().success(), "it could write no more");
        assert!(write(&db.pool, lock.fence()).await, "the later one still can");
        assert!(lock.release().await.unwrap());
    }
    let before = "select count(*) from (select fence, max(fence) over (order by nr) as highest from writes) as seen
        where fence < highest";
    assert_eq!(db.count(before).await, 0, "no write with a lower number comes after one with a higher");
    assert!(db.count("select count(distinct fence) from writes").await >= 6);
}
