//! What surrounds handlers, and what a worker tells of itself.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use futures_util::StreamExt;
use pg_queue_core::{Job, JobId, TraceContext};
use pg_queue_worker::{Event, Failure, JobInfo, Middleware, Next, Outcome, Panicked};

use crate::support::{App, Slow, Task, db, soon, start, tasks};

const EMPTY: &str = "select count(*) = 0 from queue_work";

type Seen = Arc<Mutex<Vec<String>>>;

/// Writes down what passes it.
struct Note {
    name: &'static str,
    seen: Seen,
}

#[async_trait]
impl Middleware for Note {
    async fn around(&self, job: &JobInfo, next: Next<'_>) -> Result<Outcome, Failure> {
        self.seen.lock().unwrap().push(format!("{} before {}", self.name, job.kind()));
        let ended = next.run().await;
        let how = match &ended {
            Ok(outcome) => format!("{outcome:?}"),
            Err(failure) if failure.error().is::<Panicked>() => "a panic".to_owned(),
            Err(failure) => failure.message(),
        };
        self.seen.lock().unwrap().push(format!("{} after {how}", self.name));
        ended
    }
}

/// Answers by itself.
struct Refuse;

#[async_trait]
impl Middleware for Refuse {
    async fn around(&self, job: &JobInfo, next: Next<'_>) -> Result<Outcome, Failure> {
        if job.tags().iter().any(|tag| tag == "unwanted") {
            return Err(Failure::cancel("refused"));
        }
        next.run().await
    }
}

struct Panics;

#[async_trait]
impl Middleware for Panics {
    async fn around(&self, job: &JobInfo, next: Next<'_>) -> Result<Outcome, Failure> {
        let ended = next.run().await;
        assert!(job.attempt() > 1, "the middleware is unlucky");
        ended
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_is_the_outermost_and_each_sees_how_the_handler_ended() {
    let db = db().await;
    let seen = Seen::default();
    let note = |name| Note { name, seen: seen.clone() };
    let app = App::new(|n, ctx| async move {
        match (n, ctx.attempt()) {
            (0, 1) => Err("no route".into()),
            (0, 2) => std::panic::resume_unwind(Box::new("a panic")),
            _ => Ok(Outcome::Complete),
        }
    });
    let builder = tasks().middleware(note("outer")).middleware(note("inner")).concurrency(1);
    let worker = start(builder.build(&db.queue, app).unwrap());
    db.push(0).await;
    db.until(EMPTY).await;
    db.execute("select pg_queue_push('work', 'old_task', '[]')").await;
    db.until(EMPTY).await;
    worker.stop().await;
    let seen = seen.lock().unwrap();
    let pass = |kind: &str, how: &str| {
        [
            format!("outer before {kind}"),
            format!("inner before {kind}"),
            format!("inner after {how}"),
            format!("outer after {how}"),
        ]
    };
    let undecodable =
        "the payload does not decode: invalid length 0, expected struct Task with 1 element at line 1 column 2";
    let expected =
        [pass("task", "no route"), pass("task", "a panic"), pass("task", "Complete"), pass("old_task", undecodable)];
    assert_eq!(*seen, expected.concat());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_middleware_may_answer_for_the_handler_and_may_panic() {
    let db = db().await;
    Task { n: 0 }.enqueue(&db.queue).tag("unwanted").await.unwrap();
    Task { n: 1 }.enqueue(&db.queue).await.unwrap();
    let app = App::new(|n, _| async move {
        assert_eq!(n, 1);
        Ok(Outcome::Complete)
    });
    let worker = start(tasks().middleware(Refuse).middleware(Panics).build(&db.queue, app).unwrap());
    db.until(EMPTY).await;
    let summary = worker.stop().await;
    assert_eq!((summary.completed, summary.cancelled, summary.retried), (1, 1, 1));
    assert_eq!(db.errors("pg_queue_history").await, ["refused"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_goes_on_with_the_trace_of_its_enqueuer() {
    let db = db().await;
    let here = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let context = TraceContext::new(here).unwrap().with_tracestate("vendor=1");
    Task { n: 1 }.enqueue(&db.queue).trace_context(context.clone()).metadata("tenant", 17).await.unwrap();
    let app = App::new(move |_, ctx| {
        let context = context.clone();
        async move {
            assert_eq!(ctx.trace_context(), Some(context));
            assert_eq!(ctx.metadata()["tenant"], 17);
            Ok(Outcome::Complete)
        }
    });
    let worker = start(tasks().build(&db.queue, app).unwrap());
    db.until(EMPTY).await;
    assert_eq!(worker.stop().await.completed, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_tells_what_it_does() {
    let db = db().await;
    let app = App::new(|n, ctx| async move {
        match (n, ctx.attempt()) {
            (0, 1) => Err(Failure::retry_after(Duration::from_millis(5), "no route")),
            (1, _) => Err(Failure::discard("no such user")),
            (2, _) => Ok(Outcome::Cancel),
            (3, 1) if ctx.created_at().elapsed().is_ok_and(|age| age < Duration::from_millis(300)) => {
                Ok(Outcome::Snooze(Duration::from_millis(300)))
            }
            _ => Ok(Outcome::Complete),
        }
    });
    let worker = tasks().concurrency(1).build(&db.queue, app).unwrap();
    let mut events = worker.events();
    let worker = start(worker);
    let mut told = Vec::new();
    let mut id = JobId::clone(&Task { n: 0 }.enqueue(&db.queue).await.unwrap().id());
    for n in 1..=4 {
        // A job ends before the next one comes, so that the order is certain.
        loop {
            let event = soon(events.next()).await.unwrap();
            let (job, text) = match &event {
                Event::Started(job) => (job, "started".to_owned()),
                Event::Completed { job, .. } => (job, "completed".to_owned()),
                Event::Retried { job, error, delay, .. } => (job, format!("retried after {delay:?}: {error}")),
                Event::Discarded { job, error, .. } => (job, format!("discarded: {error}")),
                Event::Cancelled { job, .. } => (job, "cancelled".to_owned()),
                Event::Snoozed { job, delay } => (job, format!("snoozed for {delay:?}")),
                other => panic!("{other:?}"),
            };
            assert_eq!((job.id, job.kind.as_str(), job.queue.as_str()), (id, "task", "work"));
            told.push(format!("{} {text}", job.attempt));
            if matches!(event, Event::Completed { .. } | Event::Discarded { .. } | Event::Cancelled { .. }) {
                break;
            }
        }
        id = Task { n }.enqueue(&db.queue).await.unwrap().id();
    }
    assert_eq!(
        told,
        [
            "1 started",
            "1 retried after 5ms: no route",
            "2 started",
            "2 completed",
            "1 started",
            "1 discarded: no such user",
            "1 started",
            "1 cancelled",
            "1 started",
            "1 snoozed for 300ms",
            "1 started",
            "1 completed",
        ]
    );
    worker.stop().await;
    // The stream ends with the worker.
    let rest: Vec<Event> = soon(events.collect()).await;
    assert!(
        rest.iter().all(|event| matches!(event, Event::Started(_) | Event::Completed { .. } | Event::Released(_))),
        "{rest:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_is_slow_is_told_how_much_it_missed_and_holds_up_nobody() {
    let db = db().await;
    let app = App::new(|_, _| async { Ok(Outcome::Complete) });
    let worker = tasks().concurrency(50).build(&db.queue, app).unwrap();
    let events = worker.events();
    let worker = start(worker);
    db.push_many(0..3000).await;
    db.until(EMPTY).await;
    worker.stop().await;
    let all: Vec<Event> = soon(events.collect()).await;
    let Some(Event::Lagged(missed)) = all.first() else { panic!("{:?}", all.first()) };
    assert_eq!(*missed as usize + all.len() - 1, 6000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_tells_that_it_is_cut_off_and_back() {
    let db = db().await;
    Slow { n: 1 }.enqueue(&db.queue).no_timeout().await.unwrap();
    let app = App::new(|_, ctx| async move {
        ctx.cancelled().await;
        Err("cancelled".into())
    });
    let worker = tasks().heartbeat(Duration::from_millis(500)).build(&db.queue, app).unwrap();
    let mut events = worker.events();
    let worker = start(worker);
    assert!(matches!(soon(events.next()).await, Some(Event::Started(_))));
    db.begin_outage().await;
    assert_eq!(soon(events.next()).await, Some(Event::OutOfContact));
    db.end_outage().await;
    let mut rest = vec![soon(events.next()).await.unwrap(), soon(events.next()).await.unwrap()];
    rest.sort_by_key(|event| matches!(event, Event::Retried { .. }));
    assert_eq!(rest[0], Event::InContact);
    assert!(matches!(rest[1], Event::Retried { .. }), "{rest:?}");
    worker.stop().await;
}
