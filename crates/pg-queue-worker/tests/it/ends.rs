//! How attempts end, and what is kept of them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    time::Duration,
};

use anyhow::Context as _;
use pg_queue_core::Job;
use pg_queue_worker::{Context, Failure, Handler, Outcome, Summary, Worker};
use serde::{Deserialize, Deserializer, Serialize};

use crate::support::{App, Db, Ended, Slow, db, start, tasks};

/// Runs what is in the queue with `app` until `done` is true.
async fn run_until(db: &Db, app: App, done: &str) -> Summary {
    let worker = start(tasks().build(&db.queue, app).unwrap());
    db.until(done).await;
    worker.stop().await
}

const EMPTY: &str = "select count(*) = 0 from queue_work";
const PUT_BACK: &str = "select lease_token is null and attempt = 1 and run_at > now() from queue_work";

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_attempt_is_tried_again_by_the_policy_and_keeps_its_error() {
    let db = db().await;
    Slow { n: 1 }.enqueue(&db.queue).await.unwrap();
    let app = App::new(|_, _| async { Err("the mail server is away".into()) });
    let summary = run_until(&db, app, PUT_BACK).await;
    assert_eq!((summary.retried, summary.completed, summary.discarded), (1, 0, 0));
    assert_eq!(db.errors("queue_work").await, ["the mail server is away"]);
    // An hour by its policy, give or take a tenth.
    let in_time = "select run_at - now() between interval '53 min' and interval '67 min' from queue_work";
    assert!(db.get::<bool>(in_time).await);
    assert!(db.get::<bool>("select errors->0->>'attempt' = '1' from queue_work").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_attempt_may_succeed() {
    let db = db().await;
    db.push(1).await;
    let app =
        App::new(|_, ctx| async move { if ctx.attempt() < 3 { Err("not yet".into()) } else { Ok(Outcome::Complete) } });
    let summary = run_until(&db, app, EMPTY).await;
    assert_eq!((summary.retried, summary.completed, summary.discarded), (2, 1, 0));
    assert_eq!(db.get::<i64>("select count(*) from pg_queue_history").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_last_attempt_a_job_is_discarded_with_all_its_errors() {
    let db = db().await;
    db.push(1).await;
    let app = App::new(|_, ctx| async move { Err(format!("error {}", ctx.attempt()).into()) });
    let summary = run_until(&db, app, EMPTY).await;
    assert_eq!((summary.retried, summary.completed, summary.discarded), (2, 0, 1));
    assert_eq!(db.errors("pg_queue_history").await, ["error 1", "error 2", "error 3"]);
    assert!(
        db.get::<bool>("select state = 'discarded' and attempt = 3 and queue = 'work' from pg_queue_history").await
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_may_discard_its_job() {
    let db = db().await;
    db.push(1).await;
    let app = App::new(|_, _| async { Err(Failure::discard("no such user")) });
    let summary = run_until(&db, app, EMPTY).await;
    assert_eq!((summary.retried, summary.discarded), (0, 1));
    assert_eq!(db.errors("pg_queue_history").await, ["no such user"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_may_say_when_it_is_tried_again() {
    let db = db().await;
    db.push(1).await;
    let app = App::new(|_, _| async { Err(Failure::retry_after(Duration::from_secs(600), "rate limited")) });
    run_until(&db, app, PUT_BACK).await;
    assert!(
        db.get::<bool>("select run_at - now() between interval '9 min' and interval '10 min' from queue_work").await
    );
    assert_eq!(db.errors("queue_work").await, ["rate limited"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snooze_costs_no_attempt() {
    let db = db().await;
    db.push(1).await;
    let runs = Arc::new(AtomicU32::new(0));
    let app = App::new(move |_, ctx| {
        assert_eq!(ctx.attempt(), 1);
        let run = runs.fetch_add(1, SeqCst);
        // More often than there are attempts.
        async move { Ok(if run < 5 { Outcome::Snooze(Duration::from_millis(5)) } else { Outcome::Complete }) }
    });
    let summary = run_until(&db, app, EMPTY).await;
    assert_eq!((summary.snoozed, summary.completed, summary.retried, summary.discarded), (5, 1, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_is_a_failed_attempt_with_its_message_kept() {
    let db = db().await;
    db.push(1).await;
    db.push(2).await;
    let app = App::new(|n, _| async move {
        assert!(n != 1, "job {n} is unlucky");
        Ok(Outcome::Complete)
    });
    // One slot: it is free again after each panic.
    let worker = start(tasks().concurrency(1).build(&db.queue, app).unwrap());
    db.until(EMPTY).await;
    let summary = worker.stop().await;
    assert_eq!((summary.retried, summary.completed, summary.discarded), (2, 1, 1));
    assert_eq!(db.errors("pg_queue_history").await, ["the handler panicked: job 1 is unlucky"; 3]);
}

#[derive(Serialize, Job)]
#[job(crate = "pg_queue_core", queue = "work", max_attempts = 1)]
struct PanicsInDecode;

impl<'de> Deserialize<'de> for PanicsInDecode {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        panic!("cannot decode")
    }
}

impl Handler<()> for PanicsInDecode {
    async fn run(self, _: Context<()>) -> Ended {
        Ok(Outcome::Complete)
    }
}

#[derive(Serialize, Deserialize, Job)]
#[job(crate = "pg_queue_core", queue = "work", max_attempts = 1, timeout = "10ms")]
struct PanicsInDrop;

struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("dropped badly");
    }
}

impl Handler<()> for PanicsInDrop {
    async fn run(self, _: Context<()>) -> Ended {
        let _bomb = Bomb;
        std::future::pending().await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn panics_outside_of_the_handlers_code_are_failed_attempts_too() {
    let db = db().await;
    PanicsInDecode.enqueue(&db.queue).await.unwrap();
    PanicsInDrop.enqueue(&db.queue).await.unwrap();
    let worker = Worker::builder().register::<PanicsInDecode>().register::<PanicsInDrop>().concurrency(1);
    let worker = start(worker.build(&db.queue, ()).unwrap());
    db.until(EMPTY).await;
    assert_eq!(worker.stop().await.discarded, 2);
    let mut errors = db.errors("pg_queue_history").await;
    errors.sort();
    assert_eq!(
        errors,
        ["the handler panicked: cannot decode", "the handler panicked: dropped badly (while it was dropped)"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_that_does_not_decode_is_discarded_and_disturbs_nobody() {
    let db = db().await;
    db.execute("select pg_queue_push('work', 'task', '{\"m\": 1}'), pg_queue_push('work', 'task', '[]')").await;
    db.push_many(0..10).await;
    let app = App::new(|_, _| async { Ok(Outcome::Complete) });
    let summary = run_until(&db, app, EMPTY).await;
    assert_eq!((summary.completed, summary.discarded, summary.retried), (10, 2, 0));
    let errors = db.errors("pg_queue_history").await;
    assert!(
        errors.iter().any(|error| error.starts_with("the payload does not decode: missing field `n`")),
        "{errors:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_takes_too_long_is_cancelled_and_dropped() {
    let db = db().await;
    Slow { n: 1 }.enqueue(&db.queue).await.unwrap();
    let app = App::new(|_, _| std::future::pending());
    let summary = run_until(&db, app, PUT_BACK).await;
    assert_eq!(summary.retried, 1);
    assert_eq!(db.errors("queue_work").await, ["the handler took longer than 1s"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_heeds_its_cancellation_ends_sooner() {
    let db = db().await;
    for n in [1, 2] {
        Slow { n }.enqueue(&db.queue).await.unwrap();
    }
    let app = App::new(|n, ctx| async move {
        ctx.cancelled().await;
        assert!(ctx.is_cancelled());
        if n == 1 { Err("gave up at file 17".into()) } else { Ok(Outcome::Complete) }
    });
    let began = std::time::Instant::now();
    let summary = run_until(&db, app, PUT_BACK).await;
    // The drop would come after a grace of 5 s.
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!((summary.retried, summary.completed), (1, 1));
    assert_eq!(db.errors("queue_work").await, ["the handler took longer than 1s: gave up at file 17"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_every_make_are_kept_with_their_causes() {
    let db = db().await;
    for n in 0..4 {
        Slow { n }.enqueue(&db.queue).max_attempts(1).await.unwrap();
    }
    let app = App::new(|n, _| async move {
        match n {
            0 => {
                Err(anyhow::anyhow!("connection refused")).context("cannot reach the mail server")?;
            }
            1 => Err("a string slice")?,
            2 => Err(format!("a string, {n}\0"))?,
            _ => {
                "x".parse::<u32>()?;
            }
        }
        Ok(Outcome::Complete)
    });
    run_until(&db, app, EMPTY).await;
    let mut errors = db.errors("pg_queue_history").await;
    errors.sort();
    assert_eq!(
        errors,
        [
            "a string slice",
            "a string, 2\u{fffd}",
            "cannot reach the mail server: connection refused",
            "invalid digit found in string"
        ]
    );
}

#[derive(Debug)]
struct Circular;

impl std::fmt::Display for Circular {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("round and round")
    }
}

impl std::error::Error for Circular {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(self)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_that_is_its_own_cause_ends_all_the_same() {
    let db = db().await;
    db.push(1).await;
    let app = App::new(|_, _| async { Err(Circular.into()) });
    let summary = run_until(&db, app, EMPTY).await;
    assert_eq!(summary.discarded, 1);
    assert_eq!(db.errors("pg_queue_history").await, ["round and round"; 3]);
}
