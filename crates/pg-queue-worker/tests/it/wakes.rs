//! Being woken, and not being woken.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use pg_queue_core::{Job, QueueName};
use pg_queue_worker::{Outcome, QueueOptions};
use tokio::sync::{Mutex, Semaphore, mpsc};

use crate::support::{App, Ended, Task, db, past_the_pooler, soon, start, tasks, work};

/// Longer than a notification takes, shorter than the polls of a worker that has been idle for seconds.
const AT_ONCE: Duration = Duration::from_millis(500);

/// The worker's pauses have grown: it wants to be woken and has not looked into the queue for a second and a half, so the
/// next poll is further away than that. Its heartbeat must be slow, or what it does after each beat hides the looks.
const SLEEPS: &str = "select exists (select from pg_queue_waiters) and not exists (
        select from pg_stat_activity where datname = current_database()
        and (query like '-- Takes due jobs%' or query like '-- How long until%')
        and state_change > now() - interval '1500 ms')";

const SLOW: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_worker_is_woken_at_once() {
    let db = db().await;
    let (sender, mut ran) = mpsc::unbounded_channel();
    let app = App::new(move |_, _| {
        sender.send(Instant::now()).unwrap();
        async { Ok(Outcome::Complete) }
    });
    let worker = start(tasks().heartbeat(SLOW).poll_interval(SLOW).build(&db.queue, app).unwrap());
    db.until(SLEEPS).await;
    let pushed = Instant::now();
    db.push(1).await;
    let took = soon(ran.recv()).await.unwrap() - pushed;
    assert!(took < AT_ONCE, "{took:?} from the push");

    db.until(SLEEPS).await;
    let mut transaction = db.pool.begin().await.unwrap();
    Task { n: 2 }.enqueue(db.queue.on(&mut transaction)).await.unwrap();
    let early = tokio::time::timeout(Duration::from_millis(200), ran.recv()).await;
    assert!(early.is_err(), "ran before its transaction was committed");
    let committed = Instant::now();
    transaction.commit().await.unwrap();
    let took = soon(ran.recv()).await.unwrap() - committed;
    assert!(took < AT_ONCE, "{took:?} from the commit");
    worker.stop().await;
}

/// What is enqueued in the worker's own process needs no notification.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_is_woken_by_its_own_process_without_the_server() {
    let db = db().await;
    db.execute("alter table queue_work disable trigger pg_queue_wake").await;
    let (sender, mut ran) = mpsc::unbounded_channel();
    let app = App::new(move |_, _| {
        sender.send(Instant::now()).unwrap();
        async { Ok(Outcome::Complete) }
    });
    let worker = start(tasks().heartbeat(SLOW).poll_interval(SLOW).build(&db.queue, app).unwrap());
    db.until(SLEEPS).await;
    let pushed = Instant::now();
    Task { n: 1 }.enqueue(&db.queue).await.unwrap();
    let took = soon(ran.recv()).await.unwrap() - pushed;
    assert!(took < AT_ONCE, "{took:?} from the push");
    db.until(SLEEPS).await;
    let pushed = Instant::now();
    Task::enqueue_many(&[Task { n: 2 }], &db.queue).await.unwrap();
    let took = soon(ran.recv()).await.unwrap() - pushed;
    assert!(took < AT_ONCE, "{took:?} from the push");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wish_to_be_woken_comes_back_after_the_connections_were_lost() {
    let db = db().await;
    let (sender, mut ran) = mpsc::unbounded_channel();
    let app = App::new(move |_, _| {
        sender.send(Instant::now()).unwrap();
        async { Ok(Outcome::Complete) }
    });
    let worker = start(tasks().heartbeat(SLOW).poll_interval(SLOW).build(&db.queue, app).unwrap());
    db.until("select count(*) > 0 from pg_queue_waiters").await;
    // As a crash of the server would.
    db.execute("delete from pg_queue_waiters").await;
    db.terminate().await;
    db.until("select count(*) > 0 from pg_queue_waiters").await;
    db.until(SLEEPS).await;
    let pushed = Instant::now();
    db.push(1).await;
    let took = soon(ran.recv()).await.unwrap() - pushed;
    assert!(took < AT_ONCE, "{took:?} from the push");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_queue_has_no_waiters() {
    let db = db().await;
    // What was seen while there was more to claim, in the same snapshot, one look after the other.
    let seen: Arc<Mutex<Vec<bool>>> = Arc::default();
    let looks = seen.clone();
    let app = App::new(move |_, ctx| {
        let looks = looks.clone();
        async move {
            let mut looks = looks.lock().await;
            let waits = "select exists (select from pg_queue_waiters)
                where (select count(*) from queue_work where lease_token is null) > 20";
            looks.extend(sqlx::query_scalar::<_, bool>(waits).fetch_optional(&past_the_pooler(ctx.pool())).await?);
            Ok(Outcome::Complete)
        }
    });
    let worker = start(tasks().concurrency(4).build(&db.queue, app).unwrap());
    db.until("select count(*) > 0 from pg_queue_waiters").await;
    db.push_many(0..400).await;
    db.until("select count(*) = 0 from queue_work").await;
    // The wish of when there was nothing is taken back, and does not come again.
    let seen = seen.lock().await.clone();
    let busy: Vec<bool> = seen.iter().copied().skip_while(|waits| *waits).collect();
    assert!(!busy.is_empty() && !busy.contains(&true), "{seen:?}");
    worker.stop().await;
    assert_eq!(db.get::<i64>("select count(*) from pg_queue_waiters").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_without_a_free_slot_does_not_want_to_be_woken() {
    let db = db().await;
    let (begun, mut begins) = mpsc::unbounded_channel();
    let app = App::new(move |_, ctx| {
        begun.send(()).unwrap();
        async move {
            ctx.cancelled().await;
            Ok(Outcome::Complete)
        }
    });
    let worker = start(tasks().concurrency(2).shutdown_timeout(Duration::ZERO).build(&db.queue, app).unwrap());
    db.until("select count(*) > 0 from pg_queue_waiters").await;
    db.push_many(0..2).await;
    for _ in 0..2 {
        soon(begins.recv()).await.unwrap();
    }
    db.until("select count(*) = 0 from pg_queue_waiters").await;
    assert_eq!(worker.stop().await.completed, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_dropped_does_not_disturb_the_others() {
    let db = db().await;
    let doomed = QueueName::new("doomed").unwrap();
    db.queue.queue.create(&doomed).await.unwrap();
    let (sender, mut ran) = mpsc::unbounded_channel();
    let app = App::new(move |n, _| {
        sender.send(n).unwrap();
        async { Ok(Outcome::Complete) }
    });
    let worker = start(tasks().queue(&doomed).concurrency(2).build(&db.queue, app).unwrap());
    db.push(0).await;
    soon(ran.recv()).await.unwrap();
    db.execute("select pg_queue_drop_queue('doomed', true)").await;
    let began = Instant::now();
    for n in 0..50 {
        db.push(n).await;
        assert_eq!(soon(ran.recv()).await, Some(n));
    }
    assert!(began.elapsed() < Duration::from_secs(10), "{:?} for 50 jobs one after the other", began.elapsed());
    // Made anew, it is served again, though not at once.
    db.queue.queue.create(&doomed).await.unwrap();
    Task { n: 99 }.enqueue(&db.queue).queue(&doomed).await.unwrap();
    assert_eq!(soon(ran.recv()).await, Some(99));
    worker.stop().await;
}

/// Handlers that tell when they begin, and end when they are let.
fn gated() -> (App, mpsc::UnboundedReceiver<i64>, Arc<Semaphore>) {
    let (begun, begins) = mpsc::unbounded_channel();
    let gate = Arc::new(Semaphore::new(0));
    let opened = gate.clone();
    let app = App::new(move |n, _| {
        begun.send(n).unwrap();
        let gate = gate.clone();
        async move {
            gate.acquire().await?.forget();
            Ok(Outcome::Complete) as Ended
        }
    });
    (app, begins, opened)
}

/// No worker has looked for jobs for a second and a half.
const QUIET: &str = "select not exists (
        select from pg_stat_activity where datname = current_database()
        and (query like '-- Takes due jobs%' or query like '-- How long until%')
        and state_change > now() - interval '1500 ms')";

/// Its last claim failed, and before there was another one its queue had got as many running jobs as it may have.
#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_full_after_a_claim_that_failed_is_left_alone() {
    let db = db().await;
    let (app, mut begins, gate) = gated();
    let worker = start(tasks().heartbeat(SLOW).poll_interval(SLOW).build(&db.queue, app).unwrap());
    db.push(1).await;
    assert_eq!(soon(begins.recv()).await, Some(1));
    let operator = db.lock_out_claims().await;
    db.queue.queue.set_concurrency(&work(), Some(1)).await.unwrap();
    // The claim gives up, and is not repeated.
    db.until("select not exists (select from pg_locks where not granted)").await;
    operator.rollback().await.unwrap();
    db.until(QUIET).await;
    gate.add_permits(2);
    db.push(2).await;
    assert_eq!(soon(begins.recv()).await, Some(2));
    assert_eq!(worker.stop().await.completed, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_does_not_want_to_be_woken_for_a_queue_that_is_full() {
    let db = db().await;
    let other = QueueName::new("other").unwrap();
    db.queue.queue.create(&other).await.unwrap();
    let (app, mut begins, gate) = gated();
    let builder = tasks().queue(QueueOptions::new(&work()).concurrency(1)).queue(&other).heartbeat(SLOW);
    let worker = start(builder.poll_interval(SLOW).build(&db.queue, app).unwrap());
    db.push(1).await;
    assert_eq!(soon(begins.recv()).await, Some(1));
    let waits = "select array(select queue from pg_queue_waiters order by queue) =";
    db.until(&format!("{waits} '{{other}}'")).await;
    // What comes meanwhile starts when there is room, and then it wants to be woken again.
    db.push(2).await;
    gate.add_permits(1);
    assert_eq!(soon(begins.recv()).await, Some(2));
    gate.add_permits(1);
    db.until(&format!("{waits} '{{other,work}}'")).await;
    assert_eq!(worker.stop().await.completed, 2);
}
