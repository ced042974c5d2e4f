//! Jobs that run in the test's own task, until nothing is due.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::StreamExt;
use pg_queue_client::CancelOutcome;
use pg_queue_core::{Job, JobId, JobState, Priority, PushOptions, PushOutcome, QueueName};
use pg_queue_worker::{
    Context, Event, Failure, Handler, Outcome, QueueOptions, RunError, TransactionHandler, Worker, WorkerBuilder,
    WorkerHandle,
    testing::{DrainError, Ended, InlineError, Report, drain},
};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::support::{App, Db, Ended as HandlerEnded, Slow, Task, db, effect, tasks, work};

/// What handlers saw, in their order.
type Seen = Arc<Mutex<Vec<i64>>>;

fn noting(seen: &Seen) -> App {
    let seen = Arc::clone(seen);
    App::new(move |n, _| {
        seen.lock().unwrap().push(n);
        async { Ok(Outcome::Complete) }
    })
}

fn numbers(seen: &Seen) -> Vec<i64> {
    std::mem::take(&mut *seen.lock().unwrap())
}

async fn push(db: &Db, n: i64, options: PushOptions) -> JobId {
    let payload = serde_json::json!({ "n": n });
    db.queue.queue.push_with(&work(), Task::KIND, &payload, options).await.unwrap().id()
}

/// What a worker leaves behind that has signed off.
async fn assert_nothing_left(db: &Db) {
    assert_eq!(db.workers().await, []);
    assert_eq!(db.get::<i64>("select count(*) from pg_queue_waiters").await, 0);
    assert_eq!(db.get::<i64>("select count(*) from queue_work where lease_token is not null").await, 0);
}

#[tokio::test]
async fn whatever_is_due_runs_in_the_order_of_claims_and_in_the_tests_own_task() {
    tokio::task_local! { static HERE: u8; }
    let db = db().await;
    for (n, priority) in [(1, 5), (2, 9), (3, 0), (4, 5)] {
        push(&db, n, PushOptions::default().priority(Priority::new(priority).unwrap())).await;
    }
    let seen = Seen::default();
    let note = Arc::clone(&seen);
    let app = App::new(move |n, _| {
        assert_eq!(HERE.get(), 7);
        note.lock().unwrap().push(n);
        async { Ok(Outcome::Complete) }
    });
    let worker = tasks().build(&db.queue, app).unwrap();
    let report = HERE.scope(7, async { drain(worker).await }).await.unwrap();
    assert_eq!(numbers(&seen), [3, 1, 4, 2]);
    assert_eq!((report.completed(), report.runs().len()), (4, 4));
    assert_eq!(report.errors(), []);
    report.assert_all_completed();
    assert_eq!(db.jobs().await, 0);
    assert_nothing_left(&db).await;
}

#[tokio::test]
async fn what_handlers_enqueue_is_run_as_well() {
    let db = db().await;
    db.push(3).await;
    let app = App::new(|n, ctx| async move {
        if n > 0 {
            Task { n: n - 1 }.enqueue(ctx.pg_queue()).await?;
            Task { n: 100 }.enqueue(ctx.pg_queue()).delay(Duration::from_secs(60)).await?;
        }
        Ok(Outcome::Complete)
    });
    let report = drain(tasks().build(&db.queue, app).unwrap()).await.unwrap();
    assert_eq!(report.completed(), 4);
    assert_eq!(db.jobs().await, 3, "what is not due waits");
}

#[tokio::test]
async fn every_way_to_end_is_told_as_it_was() {
    let db = db().await;
    let app = App::new(|n, ctx| async move {
        match n {
            0 => Err("no luck".into()),
            1 => panic!("job {n} is unlucky"),
            2 => Ok(Outcome::Snooze(Duration::from_secs(60))),
            3 => Err(Failure::cancel("not wanted")),
            4 => Err(Failure::discard("no such user")),
            5 => Err(Failure::retry_after(Duration::from_secs(600), "rate limited")),
            6 => std::future::pending().await,
            7 => {
                ctx.output(&vec![1, 2])?;
                Ok(Outcome::Complete)
            }
            _ => Ok(Outcome::Complete),
        }
    });
    for n in 0..9 {
        Slow { n }.enqueue(&db.queue).timeout(Duration::from_millis(50)).await.unwrap();
    }
    db.execute("select pg_queue_push('work', 'slow', '{\"m\": 1}')").await;
    let worker = tasks().cancel_grace(Duration::from_millis(10)).build(&db.queue, app).unwrap();
    let report = drain(worker).await.unwrap();
    assert_eq!((report.completed(), report.retried(), report.discarded()), (2, 4, 2));
    assert_eq!((report.cancelled(), report.snoozed(), report.runs().len()), (1, 1, 10));
    let messages: Vec<String> = report.errors().into_iter().map(|error| error.message).collect();
    assert_eq!(
        messages,
        [
            "no luck",
            "the handler panicked: job 1 is unlucky",
            "no such user",
            "rate limited",
            "the handler took longer than 50ms",
            "the payload does not decode: missing field `n` at line 1 column 8",
        ]
    );
    let error = &report.errors()[0];
    assert_eq!((error.kind.as_str(), error.attempt), ("slow", 1));
    assert_eq!(error.to_string(), format!("job {} (slow), attempt 1: no luck", error.job));
    let ended: Vec<Ended> = report.runs().iter().map(|ran| ran.ended.clone()).collect();
    assert_eq!(ended[2], Ended::Snoozed { delay: Duration::from_secs(60) });
    assert_eq!(ended[3], Ended::Cancelled { reason: Some("not wanted".to_owned()) });
    assert_eq!(ended[5], Ended::Retried { error: "rate limited".to_owned(), delay: Duration::from_secs(600) });
    assert_eq!(ended[7], Ended::Completed { output: Some(serde_json::json!([1, 2])) });
    // As in production: the database has it too.
    let states = "select array_agg(state order by id) from pg_queue_history";
    assert_eq!(db.get::<Vec<String>>(states).await, ["cancelled", "discarded", "completed", "discarded"]);
    assert_nothing_left(&db).await;
}

#[tokio::test]
async fn a_report_says_what_was_not_completed_in_the_end() {
    let db = db().await;
    for n in 0..3 {
        db.push(n).await;
    }
    let app = App::new(|n, ctx| async move {
        match n {
            0 => Err("never works".into()),
            1 if ctx.attempt() == 1 => Err("not at once".into()),
            _ => Ok(Outcome::Complete),
        }
    });
    let report = drain(tasks().build(&db.queue, app).unwrap()).with_scheduled().await.unwrap();
    assert_eq!((report.completed(), report.retried(), report.discarded()), (2, 3, 1));
    let failed = std::panic::catch_unwind(|| drop(report.assert_all_completed().clone())).unwrap_err();
    let message = failed.downcast_ref::<String>().unwrap();
    let job = report.runs()[0].job;
    assert_eq!(
        *message,
        format!(
            "not all jobs were completed: 2 completed, 3 retried, 1 discarded, 0 cancelled, 0 snoozed\n  \
             job {job} (task), attempt 3: Discarded {{ error: \"never works\" }}"
        )
    );
    // What fails first and works later is completed.
    let worked = Report::default();
    worked.assert_all_completed();
}

#[tokio::test]
async fn what_is_scheduled_runs_before_its_time_in_the_order_of_times() {
    let db = db().await;
    let hours = |hours: u64| PushOptions::default().delay(Duration::from_secs(3600 * hours));
    push(&db, 1, hours(3).priority(Priority::HIGHEST)).await;
    push(&db, 2, hours(1)).await;
    push(&db, 3, PushOptions::default().priority(Priority::LOWEST)).await;
    push(&db, 4, hours(2)).await;
    let seen = Seen::default();
    let worker = tasks().build(&db.queue, noting(&seen)).unwrap();
    assert_eq!(drain(&worker).await.unwrap().completed(), 1);
    assert_eq!(numbers(&seen), [3]);
    push(&db, 5, PushOptions::default()).await;
    assert_eq!(drain(&worker).with_scheduled().await.unwrap().completed(), 4);
    assert_eq!(numbers(&seen), [5, 2, 4, 1], "what is due comes before what is not");
    assert_nothing_left(&db).await;
}

#[tokio::test]
async fn a_job_that_always_fails_ends_with_its_last_attempt() {
    let db = db().await;
    Slow { n: 1 }.enqueue(&db.queue).await.unwrap();
    let app = App::new(|_, ctx| async move { Err(format!("error {}", ctx.attempt()).into()) });
    let report = drain(tasks().build(&db.queue, app).unwrap()).with_scheduled().await.unwrap();
    assert_eq!((report.retried(), report.discarded()), (2, 1));
    assert_eq!(db.errors("pg_queue_history").await, ["error 1", "error 2", "error 3"]);
}

#[tokio::test]
async fn a_handler_that_enqueues_itself_for_ever_ends_at_the_limit() {
    let db = db().await;
    db.push(1).await;
    let app = App::new(|n, ctx| async move {
        Task { n: n + 1 }.enqueue(ctx.pg_queue()).await?;
        Ok(Outcome::Complete)
    });
    let worker = tasks().build(&db.queue, app).unwrap();
    let error = drain(&worker).limit(5).await.unwrap_err();
    let DrainError::Limit { limit: 5, kind, ran, .. } = &error else { panic!("{error}") };
    assert_eq!((kind.as_str(), ran.as_str()), ("task", "5 task"));
    assert!(error.to_string().contains("raise the number with `limit`"), "{error}");
    assert_eq!(db.get::<i64>("select count(*) from queue_work where attempt = 0").await, 1, "it went back");
    assert_nothing_left(&db).await;
}

#[tokio::test]
async fn so_many_jobs_as_the_limit_are_fine_and_a_snooze_for_ever_is_not() {
    let db = db().await;
    db.push_many(0..5).await;
    let done = App::new(|_, _| async { Ok(Outcome::Complete) });
    assert_eq!(drain(tasks().build(&db.queue, done).unwrap()).limit(5).await.unwrap().completed(), 5);
    db.push(1).await;
    let app = App::new(|_, _| async { Ok(Outcome::Snooze(Duration::from_secs(60))) });
    let worker = tasks().build(&db.queue, app).unwrap();
    assert_eq!(drain(&worker).await.unwrap().snoozed(), 1);
    let error = drain(&worker).with_scheduled().limit(20).await.unwrap_err();
    assert!(matches!(error, DrainError::Limit { limit: 20, .. }), "{error}");
    assert_eq!(db.get::<i64>("select count(*) from queue_work where attempt = 0").await, 1);
}

#[derive(Serialize, Deserialize, Job)]
#[job(crate = "pg_queue_core", queue = "work", max_attempts = 2, backoff = "constant(1h)")]
struct Book {
    fails: bool,
}

impl TransactionHandler<()> for Book {
    async fn run(self, ctx: Context<()>, tx: &mut sqlx::PgConnection) -> HandlerEnded {
        sqlx::query("insert into effects (job) values ($1)")
            .persistent(false)
            .bind(ctx.job_id().get())
            .execute(tx)
            .await?;
        if self.fails { Err("thought better of it".into()) } else { Ok(Outcome::Complete) }
    }
}

#[tokio::test]
async fn transactional_handlers_and_complete_in_work_in_the_tests_task() {
    let db = db().await;
    db.execute("create table effects (job bigint not null)").await;
    for fails in [false, true] {
        Book { fails }.enqueue(&db.queue).await.unwrap();
    }
    let worker = Worker::builder().register_transactional::<Book>().build(&db.queue, ()).unwrap();
    let report = drain(&worker).await.unwrap();
    assert_eq!((report.completed(), report.retried()), (1, 1));
    assert_eq!(db.effects().await, (1, 1));
    db.execute("truncate effects; truncate queue_work").await;
    db.push(1).await;
    db.push(2).await;
    let app = App::new(|n, ctx| async move {
        if n == 1 {
            return effect(&ctx).await;
        }
        let mut transaction = ctx.pool().begin().await?;
        Ok(ctx.complete_in(&mut transaction).await?)
    });
    let report = drain(tasks().build(&db.queue, app).unwrap()).with_scheduled().await.unwrap();
    assert_eq!((report.completed(), report.retried(), report.discarded()), (1, 2, 1));
    assert_eq!(report.errors()[0].message, "the transaction in which the handler completed the job was not committed");
    assert_eq!(db.effects().await, (1, 1));
}

#[derive(Serialize, Deserialize, Job)]
#[job(crate = "pg_queue_core", queue = "work", unique = ["key"], keep = "1d")]
struct Digest {
    key: i64,
}

impl Handler<()> for Digest {
    async fn run(self, ctx: Context<()>) -> HandlerEnded {
        // Its own key is held until it has finished.
        let again = Digest { key: self.key }.enqueue(ctx.pg_queue()).await?;
        assert_eq!(again, PushOutcome::Duplicate(ctx.job_id()));
        if self.key < 3 {
            Digest { key: self.key + 1 }.enqueue(ctx.pg_queue()).await?;
        }
        Ok(Outcome::Complete)
    }
}

#[tokio::test]
async fn unique_jobs_are_unique_and_kept_ones_are_kept() {
    let db = db().await;
    Digest { key: 1 }.enqueue(&db.queue).await.unwrap();
    let worker = Worker::builder().register::<Digest>().build(&db.queue, ()).unwrap();
    let report = drain(&worker).await.unwrap();
    report.assert_all_completed();
    assert_eq!(report.completed(), 3);
    assert_eq!(db.get::<i64>("select count(*) from pg_queue_history where state = 'completed'").await, 3);
    // Its key is free again.
    assert!(matches!(Digest { key: 1 }.enqueue(&db.queue).await, Ok(PushOutcome::Enqueued(_))));
    assert_eq!(drain(&worker).await.unwrap().completed(), 3);
}

#[tokio::test]
async fn what_the_worker_does_not_serve_is_left_alone() {
    let db = db().await;
    let (paused, other) = (QueueName::new("paused").unwrap(), QueueName::new("other").unwrap());
    for queue in [&paused, &other] {
        db.queue.queue.create(queue).await.unwrap();
        Task { n: 1 }.enqueue(&db.queue).queue(queue).await.unwrap();
    }
    Task { n: 2 }.enqueue(&db.queue).queue(&paused).delay(Duration::from_secs(60)).await.unwrap();
    db.queue.queue.pause(&paused).await.unwrap();
    db.queue.queue.push(&work(), &"of no type").await.unwrap();
    db.execute("select pg_queue_push('work', 'old_task', '{\"n\": 9}')").await;
    let seen = Seen::default();
    let worker = tasks().queue(&paused).build(&db.queue, noting(&seen)).unwrap();
    assert_eq!(drain(&worker).with_scheduled().await.unwrap().completed(), 1);
    assert_eq!(numbers(&seen), [9], "an alias is served");
    assert_eq!(db.get::<i64>("select count(*) from pg_queue_jobs where attempt = 0").await, 4);
    db.queue.queue.resume(&paused).await.unwrap();
    assert_eq!(drain(&worker).await.unwrap().completed(), 1);
}

#[tokio::test]
async fn several_queues_have_their_shares() {
    let db = db().await;
    let other = QueueName::new("other").unwrap();
    db.queue.queue.create(&other).await.unwrap();
    for n in 0..4 {
        db.push(n).await;
        Task { n: n + 10 }.enqueue(&db.queue).queue(&other).await.unwrap();
    }
    let seen = Seen::default();
    let worker = tasks().queue(QueueOptions::new(&other).weight(3)).build(&db.queue, noting(&seen)).unwrap();
    drain(worker).await.unwrap();
    // As a worker with one slot would: one of the first, three of the second.
    assert_eq!(numbers(&seen), [0, 10, 11, 12, 1, 13, 2, 3]);
}

/// A handler that waits to be cancelled, in a worker whose patience a test can set.
fn heeding() -> WorkerBuilder<App> {
    tasks().cancel_grace(Duration::from_secs(30))
}

#[tokio::test]
async fn a_job_that_is_cancelled_while_it_runs_hears_of_it() {
    let db = db().await;
    let id = Task { n: 1 }.enqueue(&db.queue).await.unwrap().id();
    let begun = Arc::new(Notify::new());
    let begins = Arc::clone(&begun);
    let app = App::new(move |_, ctx| {
        begins.notify_one();
        async move {
            ctx.progress(0.5, "half");
            ctx.cancelled().await;
            Err("stopped".into())
        }
    });
    let worker = heeding().build(&db.queue, app).unwrap();
    let cancel = async {
        begun.notified().await;
        db.until("select progress is not distinct from 0.5 from queue_work").await;
        assert_eq!(db.queue.queue.cancel(&work(), id).await.unwrap(), CancelOutcome::Cancelling);
    };
    let (report, ()) = tokio::join!(drain(worker).into_future(), cancel);
    let reason = Some("the job was cancelled while it ran: stopped".to_owned());
    assert_eq!(report.unwrap().runs()[0].ended, Ended::Cancelled { reason });
}

#[tokio::test]
async fn a_job_that_is_taken_away_while_it_runs_is_dropped() {
    let db = db().await;
    db.push(1).await;
    let begun = Arc::new(Notify::new());
    let begins = Arc::clone(&begun);
    let app = App::new(move |_, _| {
        begins.notify_one();
        std::future::pending()
    });
    let worker = heeding().build(&db.queue, app).unwrap();
    let take_away = async {
        begun.notified().await;
        db.execute("delete from queue_work").await;
    };
    let (report, ()) = tokio::join!(drain(worker).into_future(), take_away);
    let report = report.unwrap();
    assert_eq!(report.runs()[0].ended, Ended::LeaseLost);
    assert_nothing_left(&db).await;
}

#[tokio::test]
async fn its_events_and_its_handle_are_the_workers() {
    let db = db().await;
    for n in 0..4 {
        db.push(n).await;
    }
    let handles = Arc::new(Mutex::new(None::<WorkerHandle>));
    let handle = Arc::clone(&handles);
    let app = App::new(move |n, _| {
        if n == 1 {
            handle.lock().unwrap().as_ref().unwrap().shut_down();
        }
        async { Ok(Outcome::Complete) }
    });
    let worker = tasks().build(&db.queue, app).unwrap();
    *handles.lock().unwrap() = Some(worker.handle());
    let mut events = worker.events();
    assert_eq!(drain(worker).await.unwrap().completed(), 2, "no more is begun");
    let mut told = Vec::new();
    while let Some(event) = events.next().await {
        told.push(match event {
            Event::Started(_) => "started",
            Event::Completed { .. } => "completed",
            _ => "another",
        });
    }
    assert_eq!(told, ["started", "completed"].repeat(2), "and they end with it");
    // In a hurry the handler is dropped, and its job goes back.
    let app = App::new(|_, _| std::future::pending());
    let worker = tasks().build(&db.queue, app).unwrap();
    let handle = worker.handle();
    let hurry = async {
        db.until("select exists (select from queue_work where lease_token is not null)").await;
        handle.hurry();
    };
    let (report, ()) = tokio::join!(drain(worker).into_future(), hurry);
    assert_eq!(report.unwrap().runs()[0].ended, Ended::Released);
    assert_eq!(db.get::<i64>("select count(*) from queue_work where attempt = 0").await, 2);
    assert_nothing_left(&db).await;
}

#[tokio::test]
async fn what_the_test_holds_back_is_not_seen_and_what_it_locks_is_said() {
    let db = db().await;
    let mut open = db.pool.begin().await.unwrap();
    Task { n: 1 }.enqueue(db.queue.on(&mut open)).await.unwrap();
    let app = App::new(|_, _| async { Ok(Outcome::Complete) });
    let worker = tasks().build(&db.queue, app).unwrap();
    assert_eq!(drain(&worker).await.unwrap().runs().len(), 0);
    open.commit().await.unwrap();
    // A row that is locked is passed over, as any worker does.
    let mut open = db.pool.begin().await.unwrap();
    sqlx::query("select from queue_work for update").execute(&mut *open).await.unwrap();
    assert_eq!(drain(&worker).await.unwrap().runs().len(), 0);
    open.rollback().await.unwrap();
    assert_eq!(drain(&worker).await.unwrap().completed(), 1);
}

#[tokio::test]
async fn a_missing_queue_and_a_missing_migration_are_said_at_the_start() {
    let db = db().await;
    let app = || App::new(|_, _| async { Ok(Outcome::Complete) });
    let worker = tasks().queue(&QueueName::new("gone").unwrap()).build(&db.queue, app()).unwrap();
    let error = drain(worker).await.unwrap_err();
    assert!(matches!(error, DrainError::Inline(InlineError::Start(RunError::Queue(_)))), "{error}");
    db.execute("drop table pg_queue_migrations").await;
    let error = drain(tasks().build(&db.queue, app()).unwrap()).await.unwrap_err();
    assert!(matches!(error, DrainError::Inline(InlineError::Start(RunError::Migrate(_)))), "{error}");
}

#[tokio::test]
async fn a_popped_job_is_not_run_before_its_lease_is_over() {
    let db = db().await;
    db.push(1).await;
    let popped = db.queue.queue.pop_for::<Task>(&work(), Duration::from_secs(600)).await.unwrap().unwrap();
    let app = App::new(|_, _| async { Ok(Outcome::Complete) });
    let worker = tasks().build(&db.queue, app).unwrap();
    assert_eq!(drain(&worker).with_scheduled().await.unwrap().runs().len(), 0);
    let stored = db.queue.queue.get(&work(), popped.id.job_id()).await.unwrap().unwrap();
    assert_eq!(stored.state, JobState::Running);
    db.execute("update queue_work set lease_until = now() - interval '1 second'").await;
    let report = drain(&worker).await.unwrap();
    assert_eq!(report.runs()[0].attempt, 2);
}
