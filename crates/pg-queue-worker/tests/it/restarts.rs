//! The server stops, or crashes, and starts again.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use pg_queue_client::PgQueue;
use pg_queue_core::Job;
use pg_queue_embedded::{Halt, Server, Settings};
use pg_queue_worker::{Outcome, Worker};
use sqlx::PgPool;

use crate::support::{App, Ended, Task, effect, eventually, soon, start, tasks, work};

/// A server of the test's own, on disk, so that what was answered is there after a crash.
struct Own {
    server: Arc<Server>,
    pool: PgPool,
    queue: PgQueue,
}

async fn own() -> Own {
    let server = Arc::new(Server::start(Settings::durable()).unwrap());
    let queue = PgQueue::connect(&server.admin_url()).await.unwrap();
    queue.migrate().await.unwrap();
    queue.queue.create(&work()).await.unwrap();
    let pool = queue.pool().clone();
    sqlx::raw_sql("create table effects (job bigint not null)").execute(&pool).await.unwrap();
    Own { server, pool, queue }
}

impl Own {
    /// Halting waits for the server, and blocks the thread.
    async fn halt(&self, how: Halt) {
        let server = Arc::clone(&self.server);
        tokio::task::spawn_blocking(move || server.halt(how).unwrap()).await.unwrap();
    }

    async fn resume(&self) {
        let server = Arc::clone(&self.server);
        tokio::task::spawn_blocking(move || server.resume().unwrap()).await.unwrap();
    }

    /// The number that a query answers; none while the server or a connection of the pool is away.
    async fn number(&self, query: &'static str) -> Option<i64> {
        sqlx::query_scalar(query).fetch_one(&self.pool).await.ok()
    }
}

/// Two minutes without a database, under load: the workers wait for it, deliver what has ended meanwhile, and go on.
#[tokio::test(flavor = "multi_thread")]
async fn two_minutes_without_a_database_lose_nothing_and_end_no_worker() {
    let own = own().await;
    let ended = Arc::new(AtomicI64::new(0));
    let app = || {
        let ended = ended.clone();
        App::new(move |n, ctx| {
            let ended = ended.clone();
            async move {
                // Some end while the server is away, and have nothing to write themselves.
                if n % 50 == 0 {
                    crate::support::work_for(Duration::from_secs(3)).await;
                    ended.fetch_add(1, SeqCst);
                    ctx.output(&n)?;
                    return Ok(Outcome::Complete) as Ended;
                }
                effect(&ctx).await
            }
        })
    };
    let builder = || tasks().heartbeat(Duration::from_secs(5)).concurrency(20);
    let workers = [(); 2].map(|()| start(builder().build(&own.queue, app()).unwrap()));
    let halted = Arc::new(AtomicBool::new(false));
    // Notes what was acknowledged, and goes on when the server is away.
    let enqueueing = tokio::spawn({
        let (queue, halted) = (own.queue.clone(), halted.clone());
        async move {
            let (mut acknowledged, mut refused, mut n) = (0_i64, 0_i64, 0);
            while !halted.load(SeqCst) || n % 200 != 0 {
                // What fails in the end is tried until the server is gone for good in this test.
                match (Task { n }).enqueue(&queue).max_attempts(1000).await {
                    Ok(_) => acknowledged += 1,
                    Err(_) => refused += 1,
                }
                n += 1;
                tokio::task::yield_now().await;
            }
            (acknowledged, refused)
        }
    });
    eventually("the workers are busy", async || own.number("select count(*) from effects").await > Some(500)).await;
    own.halt(Halt::Fast).await;
    let away = Instant::now();
    let before = ended.load(SeqCst);
    eventually("what ran has ended", async || ended.load(SeqCst) > before).await;
    halted.store(true, SeqCst);
    let (acknowledged, refused) = enqueueing.await.unwrap();
    assert!(refused > 0);
    crate::support::work_for(Duration::from_secs(120).saturating_sub(away.elapsed())).await;
    own.resume().await;
    let done = "select (select count(distinct job) from effects) + (select count(*) from pg_queue_history where output is not null)";
    eventually("the queue is empty", async || own.number("select count(*) from queue_work").await == Some(0)).await;
    let finished = own.number(done).await.unwrap();
    // One whose answer was lost may have been enqueued all the same.
    assert!((acknowledged..=acknowledged + refused).contains(&finished), "{finished} of {acknowledged} + {refused}");
    assert_eq!(
        own.number("select count(*) from effects").await,
        own.number("select count(distinct job) from effects").await
    );
    assert_eq!(own.number("select count(*) from pg_queue_history where state <> 'completed'").await, Some(0));
    // All were silent for longer than a lease, and nobody has taken that for a death.
    assert_eq!(own.number("select count(*) from pg_queue_workers where dead_at is null").await, Some(2));
    assert_eq!(own.number("select count(*) from pg_queue_workers").await, Some(2));
    for worker in workers {
        let summary = worker.stop().await;
        assert!(summary.completed > 0, "{summary:?}");
    }
}

/// A crash of the server in the middle of the watch does not make the observers begin anew: what they saw is on disk.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_shortly_before_the_server_crashes_is_rescued_in_time() {
    let own = own().await;
    let heartbeat = Duration::from_secs(5);
    Task { n: 1 }.enqueue(&own.queue).await.unwrap();
    // A worker without a heart, as one that was killed leaves it: registered, with a job, and silent.
    sqlx::raw_sql(
        "insert into pg_queue_workers (id, name, queues, kinds, beat_interval_ms) values (1, 'victim', '{work}', '{task}', 5000);
         update queue_work set lease_worker = 1, lease_token = 1, attempt = 1, leased_at = now()",
    )
    .execute(&own.pool)
    .await
    .unwrap();
    let app = App::new(|_, ctx| async move { effect(&ctx).await });
    let began = Instant::now();
    let worker = start(tasks().heartbeat(heartbeat).build(&own.queue, app).unwrap());
    // Twelve of the fifteen seconds of watching are over.
    crate::support::work_for(Duration::from_secs(12)).await;
    own.halt(Halt::Immediate).await;
    own.resume().await;
    eventually("its job was run", async || own.number("select count(*) from effects").await == Some(1)).await;
    let took = began.elapsed();
    assert!(took < Duration::from_secs(26), "{took:?}: whoever begins to watch anew needs 27 s");
    assert_eq!(worker.stop().await.rescued, 1);
}

/// A worker that starts while the server is away says so, and does not hang.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_cannot_start_without_its_server() {
    let own = own().await;
    own.halt(Halt::Immediate).await;
    let app = App::new(|_, _| async { Ok(Outcome::Complete) });
    let worker = Worker::builder().register::<Task>().build(&own.queue, app).unwrap();
    let error = soon(worker.run_until(std::future::pending::<()>())).await.unwrap_err();
    assert!(error.to_string().contains("cannot reach the PostgreSQL server"), "{error}");
}
