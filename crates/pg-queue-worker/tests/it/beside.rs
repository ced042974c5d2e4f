//! Jobs that run in the test's own task, beside workers; and what becomes of them when the test drops them half-way.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering::SeqCst},
    },
    time::Duration,
};

use pg_queue_core::{Job, JobState, QueueName};
use pg_queue_worker::{
    Context, Handler, Outcome, Worker,
    testing::{DrainError, Ended, InlineError, drain},
};
use serde::{Deserialize, Serialize};
use tokio::{sync::Notify, time::timeout};

use crate::support::{App, Db, Dropped, Ended as HandlerEnded, Task, db, effect, soon, start, tasks, work};

async fn with_effects() -> Db {
    let db = db().await;
    db.execute("create table effects (job bigint not null)").await;
    db
}

/// A worker that looks after the dead and the parked as often as it may.
fn quick() -> pg_queue_worker::WorkerBuilder<App> {
    tasks().heartbeat(Duration::from_millis(500)).poll_interval(Duration::from_millis(10))
}

fn effects() -> App {
    App::new(|_, ctx| async move { effect(&ctx).await })
}

/// Waits until the only worker that is not in the tests' task has beaten so often from now on: it looks after everything after
/// each beat.
async fn beats(db: &Db, count: i64) {
    let beat = "select max(beat) from pg_queue_workers where beat_interval_ms = 500";
    let now: i64 = db.get(beat).await;
    db.until(&format!("select (({beat}) >= {})", now + count)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_job_runs_here_or_in_the_worker_beside() {
    let db = with_effects().await;
    let worker = start(quick().concurrency(3).build(&db.queue, effects()).unwrap());
    db.until("select exists (select from pg_queue_workers)").await;
    db.push_many(0..300).await;
    let here = soon(drain(tasks().build(&db.queue, effects()).unwrap()).into_future()).await.unwrap();
    db.until("select count(*) = 0 from queue_work").await;
    let there = worker.stop().await;
    assert_eq!(here.errors(), []);
    assert_eq!(here.completed() as u64 + there.completed, 300);
    assert_eq!((there.rescued, there.lost_leases, there.retried), (0, 0, 0));
    assert_eq!(db.effects().await, (300, 300));
    assert_eq!(db.workers().await, []);
}

/// The worker beside rescues, parks and verifies after every beat. It sees a worker that has not beaten since it came, for
/// longer than three of its own beats: but not three of the other one's.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_beside_takes_nothing_from_a_handler_that_takes_its_time() {
    let db = with_effects().await;
    for n in 0..3 {
        db.push(n).await;
    }
    let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (begins, goes_on) = (Arc::clone(&begun), Arc::clone(&go_on));
    let app = App::new(move |n, ctx| {
        let (begins, goes_on) = (Arc::clone(&begins), Arc::clone(&goes_on));
        async move {
            if n == 0 {
                begins.notify_one();
                goes_on.notified().await;
            }
            effect(&ctx).await
        }
    });
    let worker = tasks().build(&db.queue, app).unwrap();
    let beside = async {
        begun.notified().await;
        let worker = Worker::builder().register::<Other>().queue(&work()).heartbeat(Duration::from_millis(500));
        let worker = start(worker.build(&db.queue, ()).unwrap());
        db.until("select exists (select from pg_queue_workers where beat_interval_ms = 500)").await;
        beats(&db, 5).await;
        assert_eq!(db.get::<i64>("select count(*) from queue_work where parked is not null").await, 0);
        go_on.notify_one();
        worker
    };
    let (report, worker) = soon(async { tokio::join!(drain(worker).into_future(), beside) }).await;
    assert_eq!(report.unwrap().completed(), 3);
    assert_eq!(worker.stop().await, pg_queue_worker::Summary::default());
    assert_eq!(db.effects().await, (3, 3));
}

/// Of no kind that the others know, and in a queue that they share.
#[derive(Serialize, Deserialize, Job)]
#[job(crate = "pg_queue_core", queue = "work")]
struct Other;

impl Handler<()> for Other {
    async fn run(self, _: Context<()>) -> HandlerEnded {
        Ok(Outcome::Complete)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_worker_beside_has_parked_is_run() {
    let db = with_effects().await;
    db.push(1).await;
    let other = Worker::builder().register::<Other>().queue(&work()).heartbeat(Duration::from_millis(500));
    let worker = start(other.build(&db.queue, ()).unwrap());
    db.until("select parked is not null from queue_work").await;
    let report = drain(tasks().build(&db.queue, effects()).unwrap()).await.unwrap();
    assert_eq!(report.completed(), 1);
    worker.stop().await;
    // Parked, and not due either.
    Task { n: 2 }.enqueue(&db.queue).delay(Duration::from_secs(3600)).await.unwrap();
    db.execute("update queue_work set parked = 'kind'").await;
    let report = drain(tasks().build(&db.queue, effects()).unwrap()).with_scheduled().await.unwrap();
    assert_eq!(report.completed(), 1);
}

/// As after a quarter of an hour at a breakpoint: the job runs elsewhere, and this one is told so and changes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_test_that_was_declared_dead_loses_its_job_and_is_told_so() {
    let db = with_effects().await;
    db.push(1).await;
    let begun = Arc::new(Notify::new());
    let begins = Arc::clone(&begun);
    let (dropped, mut drops) = tokio::sync::mpsc::unbounded_channel();
    let app = App::new(move |_, _| {
        let guard = Dropped(dropped.clone());
        begins.notify_one();
        async move {
            std::future::pending::<()>().await;
            drop(guard);
            Ok(Outcome::Complete)
        }
    });
    let here = tasks().build(&db.queue, app).unwrap();
    let beside = async {
        begun.notified().await;
        db.execute("update pg_queue_workers set dead_at = now()").await;
        let worker = start(quick().build(&db.queue, effects()).unwrap());
        db.until("select count(*) = 0 from queue_work").await;
        worker
    };
    let (report, worker) = soon(async { tokio::join!(drain(here).into_future(), beside) }).await;
    let error = report.unwrap_err();
    assert!(matches!(error, DrainError::Inline(InlineError::DeclaredDead)), "{error}");
    drops.recv().await.unwrap();
    let summary = worker.stop().await;
    assert_eq!((summary.rescued, summary.completed), (1, 1));
    assert_eq!(db.effects().await, (1, 1));
}

/// Handlers that never end, and tell when they begin.
fn endless(begun: &Arc<Notify>) -> App {
    let begins = Arc::clone(begun);
    App::new(move |_, _| {
        begins.notify_one();
        std::future::pending()
    })
}

async fn assert_it_waits_as_before(db: &Db) {
    let stored = db.queue.queue.jobs(&work(), &Default::default(), None, 10).await.unwrap();
    assert_eq!(stored.len(), 1);
    assert_eq!((stored[0].state, stored[0].attempt, stored[0].errors.len()), (JobState::Waiting, 0, 0));
    assert_eq!(db.workers().await, []);
}

/// At the next line, whether the runtime goes on or not.
#[tokio::test]
async fn dropped_half_way_it_gives_its_job_back_at_once() {
    let db = db().await;
    db.push(1).await;
    let begun = Arc::new(Notify::new());
    let worker = tasks().build(&db.queue, endless(&begun)).unwrap();
    tokio::select! {
        _ = drain(&worker).into_future() => panic!("it does not end"),
        () = begun.notified() => {}
    }
    assert_it_waits_as_before(&db).await;
    let done = App::new(|_, _| async { Ok(Outcome::Complete) });
    assert_eq!(drain(tasks().build(&db.queue, done).unwrap()).await.unwrap().runs()[0].attempt, 1);
}

#[test]
fn dropped_with_its_runtime_it_gives_its_job_back_too() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let outer = runtime();
    let db = outer.block_on(db());
    outer.block_on(db.push(1));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let inner = runtime();
            let begun = Arc::new(Notify::new());
            let url = db.database.url().to_owned();
            let begins = Arc::clone(&begun);
            inner.spawn(async move {
                let queue = pg_queue_client::PgQueue::connect(&url).await.unwrap();
                let worker = tasks().build(&queue, endless(&begins)).unwrap();
                drain(worker).await.unwrap();
            });
            inner.block_on(soon(begun.notified()));
        });
    });
    outer.block_on(assert_it_waits_as_before(&db));
}

/// The dropped handler has completed its job in a transaction that it cannot roll back while its runtime waits.
#[tokio::test]
async fn what_it_cannot_give_back_is_rescued() {
    let db = db().await;
    db.push(1).await;
    let (begun, fails) = (Arc::new(Notify::new()), Arc::new(AtomicBool::new(true)));
    let begins = Arc::clone(&begun);
    let app = App::new(move |_, ctx| {
        let (begins, fails) = (Arc::clone(&begins), fails.swap(false, SeqCst));
        async move {
            if fails {
                let mut transaction = ctx.pool().begin().await?;
                ctx.complete_in(&mut transaction).await?;
                begins.notify_one();
                std::future::pending::<()>().await;
            }
            Ok(Outcome::Complete)
        }
    });
    let worker = tasks().build(&db.queue, app).unwrap();
    tokio::select! {
        _ = drain(&worker).into_future() => panic!("it does not end"),
        () = begun.notified() => {}
    }
    assert!(db.get::<bool>("select dead_at is not null from pg_queue_workers").await);
    // Until its transaction is rolled back, the row is locked.
    db.until("select exists (select from queue_work for update skip locked)").await;
    let report = drain(&worker).await.unwrap();
    assert_eq!((report.runs()[0].attempt, report.completed()), (2, 1));
}

/// Whatever it was about to do when it was dropped: nothing is lost, and no job is left that nobody may run.
#[tokio::test(flavor = "multi_thread")]
async fn dropped_at_any_moment_it_loses_nothing() {
    let db = with_effects().await;
    db.push_many(0..100).await;
    // A claim that is dropped before its answer costs an attempt, as that of a process that died.
    db.execute("update queue_work set max_attempts = 1000").await;
    let worker = tasks().build(&db.queue, effects()).unwrap();
    for millis in (0..60).chain(0..20) {
        drop(timeout(Duration::from_millis(millis), drain(&worker).into_future()).await);
    }
    db.execute("select pg_queue_push('work', 'task', '{\"n\": 1}', max_attempts => 1000) from generate_series(1, 20)")
        .await;
    for micros in (0..20_000).step_by(500) {
        drop(timeout(Duration::from_micros(micros), drain(&worker).into_future()).await);
    }
    // Claims that were dropped on their way may commit now, and be taken from the dead.
    let left = AtomicU32::new(0);
    crate::support::eventually("all jobs have run", async || {
        left.fetch_add(drain(&worker).await.unwrap().completed() as u32, SeqCst);
        db.jobs().await == 0
    })
    .await;
    assert_eq!(db.effects().await, (120, 120));
    assert_eq!(db.get::<i64>("select count(*) from pg_queue_workers where dead_at is null").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_tests_in_one_database_share_the_jobs() {
    let db = with_effects().await;
    let other = QueueName::new("other").unwrap();
    db.queue.queue.create(&other).await.unwrap();
    db.push_many(0..100).await;
    let worker = tasks().queue(&other).build(&db.queue, effects()).unwrap();
    let (one, two) = tokio::join!(drain(&worker).into_future(), drain(&worker).into_future());
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!(one.completed() + two.completed(), 100);
    assert!(one.completed() > 0 && two.completed() > 0, "{one}; {two}");
    let ended = one.runs().iter().chain(two.runs()).all(|ran| ran.ended == Ended::Completed { output: None });
    assert!(ended, "each is told of its own jobs");
    assert_eq!(db.effects().await, (100, 100));
}
