//! Which jobs run, when, and by whom.

use std::time::{Duration, SystemTime};

use pg_queue_client::PgQueue;
use pg_queue_core::{Job, Priority, QueueName};
use pg_queue_worker::{Context, Handler, Outcome, Worker};
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, mpsc};

use crate::support::{App, Ended, Task, db, past_the_pooler, soon, start, tasks, work};

/// Handlers that tell the test which job they run.
fn tell() -> (App, mpsc::UnboundedReceiver<i64>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let app = App::new(move |n, _| {
        sender.send(n).unwrap();
        async { Ok(Outcome::Complete) }
    });
    (app, receiver)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registered_job_runs_and_leaves_the_queue() {
    let db = db().await;
    db.push(7).await;
    let (app, mut ran) = tell();
    let worker = start(tasks().build(&db.queue, app).unwrap());
    assert_eq!(soon(ran.recv()).await, Some(7));
    db.until("select count(*) = 0 from queue_work").await;
    let summary = worker.stop().await;
    assert_eq!((summary.completed, summary.retried, summary.lost_leases), (1, 0, 0));
    assert_eq!(db.get::<i64>("select count(*) from pg_queue_history").await, 0);
}

#[derive(Serialize, Deserialize, Job)]
#[job(crate = "pg_queue_core", queue = "other")]
struct Other {
    n: i64,
}

impl Handler<App> for Other {
    async fn run(self, ctx: Context<App>) -> Ended {
        Task { n: 1000 + self.n }.run(ctx).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_worker_runs_many_kinds_from_many_queues() {
    let db = db().await;
    let [other, third] = ["other", "third"].map(|name| QueueName::new(name).unwrap());
    db.queue.queue.create(&other).await.unwrap();
    db.queue.queue.create(&third).await.unwrap();
    for n in 0..20 {
        db.push(n).await;
        Other { n }.enqueue(&db.queue).await.unwrap();
        Other { n: n + 100 }.enqueue(&db.queue).queue(&third).await.unwrap();
    }
    let (app, mut ran) = tell();
    let worker = start(tasks().register::<Other>().queue(&third).concurrency(3).build(&db.queue, app).unwrap());
    let mut seen = Vec::new();
    for _ in 0..60 {
        seen.push(soon(ran.recv()).await.unwrap());
    }
    seen.sort_unstable();
    let expected: Vec<i64> = (0..20).chain(1000..1020).chain(1100..1120).collect();
    assert_eq!(seen, expected);
    assert_eq!(worker.stop().await.completed, 60);
    assert_eq!(db.get::<i64>("select count(*) from pg_queue_jobs").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alias_runs_the_jobs_of_the_old_kind() {
    let db = db().await;
    db.execute("select pg_queue_push('work', 'old_task', '{\"n\": 4}')").await;
    let (sender, mut kinds) = mpsc::unbounded_channel();
    let app = App::new(move |_, ctx| {
        sender.send(ctx.kind().to_owned()).unwrap();
        async { Ok(Outcome::Complete) }
    });
    let worker = start(tasks().build(&db.queue, app).unwrap());
    assert_eq!(soon(kinds.recv()).await.as_deref(), Some("old_task"));
    assert_eq!(worker.stop().await.completed, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_to_a_topic_that_is_bound_for_a_type_is_run_by_its_handler() {
    let db = db().await;
    db.queue.topics.bind("tasks.>", &work()).kind::<Task>().filter("country", ["at"]).await.unwrap();
    let (sender, mut ran) = mpsc::unbounded_channel();
    let app = App::new(move |n, ctx| {
        let of = |key: &str| ctx.metadata().get(key).cloned().unwrap_or_default();
        sender.send((n, of("topic"), of("attributes"))).unwrap();
        async { Ok(Outcome::Complete) }
    });
    let worker = start(tasks().build(&db.queue, app).unwrap());
    db.queue.topics.publish("tasks.eu", &Task { n: 1 }).await.unwrap();
    db.queue.topics.message("tasks.eu", &Task { n: 2 }).attribute("country", "at").publish().await.unwrap();
    db.execute("select pg_queue_publish('tasks.us', '{\"n\": 3}', '{\"country\": \"at\"}')").await;
    // The two run side by side, in either order.
    let mut both = [soon(ran.recv()).await.unwrap(), soon(ran.recv()).await.unwrap()];
    both.sort_by_key(|(n, ..)| *n);
    let attributes = serde_json::json!({"country": "at"});
    assert_eq!(both, [(2, "tasks.eu".into(), attributes.clone()), (3, "tasks.us".into(), attributes)]);
    assert_eq!(worker.stop().await.completed, 2);
}

#[derive(Serialize, Deserialize, Job)]
#[job(crate = "pg_queue_core", queue = "work")]
struct Stranger;

impl Handler<()> for Stranger {
    async fn run(self, _: Context<()>) -> Ended {
        Ok(Outcome::Complete)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_kind_stays_untouched_until_a_worker_comes_that_knows_it() {
    let db = db().await;
    Stranger.enqueue(&db.queue).await.unwrap();
    let (app, mut ran) = tell();
    let worker = start(tasks().build(&db.queue, app).unwrap());
    for n in 0..3 {
        // Behind the unknown one in the queue, and run all the same.
        db.push(n).await;
        assert_eq!(soon(ran.recv()).await, Some(n));
    }
    let untouched =
        "select attempt = 0 and lease_token is null and errors is null from queue_work where kind = 'stranger'";
    assert!(db.get::<bool>(untouched).await);
    let other = start(Worker::builder().register::<Stranger>().build(&db.queue, ()).unwrap());
    db.until("select count(*) = 0 from queue_work").await;
    assert_eq!(other.stop().await.completed, 1);
    assert_eq!(worker.stop().await.completed, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_pushed_in_sql_runs() {
    let db = db().await;
    let (app, mut ran) = tell();
    let worker = start(tasks().build(&db.queue, app).unwrap());
    db.execute("select pg_queue_push('work', 'task', '{\"n\": 42}')").await;
    assert_eq!(soon(ran.recv()).await, Some(42));
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scheduled_job_starts_when_it_is_due_and_not_a_poll_later() {
    let db = db().await;
    let (sender, mut started) = mpsc::unbounded_channel();
    let app = App::new(move |_, ctx| {
        let sender = sender.clone();
        async move {
            let now: i64 = sqlx::query_scalar("select (extract(epoch from clock_timestamp()) * 1000000)::bigint")
                .fetch_one(&past_the_pooler(ctx.pool()))
                .await?;
            let due = ctx.run_at().duration_since(SystemTime::UNIX_EPOCH)?.as_micros();
            sender.send(now - i64::try_from(due)?)?;
            Ok(Outcome::Complete)
        }
    });
    let worker = start(tasks().poll_interval(Duration::from_secs(60)).build(&db.queue, app).unwrap());
    // Once before the worker goes to sleep, and once, with the notification of its enqueueing, while it sleeps.
    for delay in [300, 900, 2500] {
        Task { n: 1 }.enqueue(&db.queue).delay(Duration::from_millis(delay)).await.unwrap();
        let late = soon(started.recv()).await.unwrap();
        assert!((0..500_000).contains(&late), "{late} us late");
    }
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_a_lower_priority_number_run_first() {
    let db = db().await;
    let (sender, mut ran) = mpsc::unbounded_channel();
    let gate = std::sync::Arc::new(Semaphore::new(0));
    let opened = gate.clone();
    let app = App::new(move |n, _| {
        sender.send(n).unwrap();
        let gate = gate.clone();
        async move {
            gate.acquire().await?.forget();
            Ok(Outcome::Complete)
        }
    });
    db.push(0).await;
    let worker = start(tasks().concurrency(1).build(&db.queue, app).unwrap());
    assert_eq!(soon(ran.recv()).await, Some(0));
    for priority in [9, 5, 0, 3] {
        let job = Task { n: i64::from(priority) };
        job.enqueue(&db.queue).priority(Priority::new(priority).unwrap()).await.unwrap();
    }
    opened.add_permits(5);
    for expected in [0, 3, 5, 9] {
        assert_eq!(soon(ran.recv()).await, Some(expected));
    }
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_listener_the_worker_polls() {
    let db = db().await;
    let deaf = PgQueue::builder().listener_url("postgres://nobody@127.0.0.1:1/none").unwrap().build(db.pool.clone());
    let (app, mut ran) = tell();
    let worker = start(tasks().poll_interval(Duration::from_millis(50)).build(&deaf, app).unwrap());
    for n in 0..3 {
        db.push(n).await;
        assert_eq!(soon(ran.recv()).await, Some(n));
    }
    assert_eq!(worker.stop().await.completed, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_sees_its_job() {
    let db = db().await;
    let (sender, mut seen) = mpsc::unbounded_channel();
    let app = App::new(move |_, ctx| {
        sender.send((ctx.attempt(), ctx.max_attempts(), ctx.kind().to_owned(), ctx.job_id())).unwrap();
        async move { if ctx.attempt() < 2 { Err("again".into()) } else { Ok(Outcome::Complete) } }
    });
    let id = Task { n: 1 }.enqueue(&db.queue).queue(&work()).await.unwrap().id();
    let worker = start(tasks().build(&db.queue, app).unwrap());
    assert_eq!(soon(seen.recv()).await, Some((1, 3, "task".to_owned(), id)));
    assert_eq!(soon(seen.recv()).await, Some((2, 3, "task".to_owned(), id)));
    worker.stop().await;
}
