//! One job that runs in the test's own task.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use pg_queue_core::{
    Job, JobId, QueueError,
    jobs::{Progress, PushError},
};
use pg_queue_worker::{
    Context, Failure, Handler, JobInfo, Middleware, Next, Outcome, TransactionHandler,
    testing::{Ended, RunJobError, TakeError, run, run_transactional},
};
use serde::{Deserialize, Serialize};

use crate::support::{
    App, Db, Ended as HandlerEnded, Slow, Task, db, effect, past_the_pooler, soon, start, tasks, work,
};

fn done() -> App {
    App::new(|_, _| async { Ok(Outcome::Complete) })
}

#[tokio::test]
async fn it_runs_with_an_id_and_a_row_of_its_own_and_touches_no_other() {
    let db = db().await;
    db.push(1).await;
    let app = App::new(|n, ctx| async move {
        assert_eq!((n, ctx.attempt(), ctx.kind()), (2, 1, "task"));
        let mine = "select exists (select from queue_work where id = $1 and lease_token is not null)";
        assert!(
            sqlx::query_scalar::<_, bool>(mine)
                .bind(ctx.job_id().get())
                .fetch_one(&past_the_pooler(ctx.pool()))
                .await?
        );
        Ok(Outcome::Complete)
    });
    let ran = run(&db.queue, app, Task { n: 2 }).await.unwrap();
    assert_eq!((ran.queue.as_str(), ran.kind.as_str(), ran.attempt), ("work", "task", 1));
    assert_eq!(ran.assert_completed().ended, Ended::Completed { output: None });
    assert_eq!(
        db.get::<i64>("select count(*) from queue_work where attempt = 0 and payload::text = '{\"n\":1}'").await,
        1
    );
    assert_eq!((db.jobs().await, db.workers().await), (1, vec![]));
}

#[tokio::test]
async fn it_says_what_became_of_the_job() {
    let db = db().await;
    let app = || {
        App::new(|n, _| async move {
            match n {
                0 => Err("no luck".into()),
                1 => Err(Failure::discard("no such user")),
                2 => Err(Failure::cancel("not wanted")),
                3 => Ok(Outcome::Cancel),
                4 => Ok(Outcome::Snooze(Duration::from_secs(60))),
                5 => panic!("unlucky"),
                _ => std::future::pending().await,
            }
        })
    };
    let mut ended = Vec::new();
    for n in 0..7 {
        ended.push(run(&db.queue, app(), Slow { n }).timeout(Duration::from_millis(20)).await.unwrap().ended);
    }
    let Ended::Retried { error, delay } = &ended[0] else { panic!("{ended:?}") };
    assert_eq!(error, "no luck");
    // By its type's policy, an hour, more or less by a tenth.
    assert!((3240..=3960).contains(&delay.as_secs()), "{delay:?}");
    assert_eq!(ended[1], Ended::Discarded { error: "no such user".to_owned() });
    assert_eq!(ended[2], Ended::Cancelled { reason: Some("not wanted".to_owned()) });
    assert_eq!(ended[3], Ended::Cancelled { reason: None });
    assert_eq!(ended[4], Ended::Snoozed { delay: Duration::from_secs(60) });
    assert!(matches!(&ended[5], Ended::Retried { error, .. } if error == "the handler panicked: unlucky"));
    assert!(matches!(&ended[6], Ended::Retried { error, .. } if error == "the handler took longer than 20ms"));
    assert_eq!(db.jobs().await, 4, "what is tried again, and what was put off, waits");
    assert_eq!(db.get::<i64>("select count(*) from pg_queue_history").await, 3);
}

#[tokio::test]
async fn it_answers_the_output_and_all_progress() {
    let db = db().await;
    let app = App::new(|_, ctx| async move {
        for step in 1..=3_u8 {
            ctx.progress(f32::from(step) / 4.0, format!("step {step}"));
        }
        ctx.output(&("done", 3))?;
        Ok(Outcome::Complete)
    });
    let ran = run(&db.queue, app, Task { n: 1 }).await.unwrap();
    assert_eq!(ran.output::<(String, u8)>().unwrap(), Some(("done".to_owned(), 3)));
    assert!(ran.output::<bool>().is_err());
    let notes: Vec<(f32, &str)> =
        ran.progress.iter().map(|Progress { fraction, note }| (*fraction, note.as_str())).collect();
    assert_eq!(notes, [(0.25, "step 1"), (0.5, "step 2"), (0.75, "step 3")]);
    assert_eq!(db.get::<String>("select output::text from pg_queue_history").await, "[\"done\",3]");
}

#[tokio::test]
async fn it_may_be_any_of_the_jobs_attempts() {
    let db = db().await;
    let fails = || App::new(|_, ctx| async move { Err(format!("attempt {}", ctx.attempt()).into()) });
    let ran = run(&db.queue, fails(), Slow { n: 1 }).attempt(2).await.unwrap();
    assert_eq!((ran.attempt, ran.error()), (2, Some("attempt 2")));
    assert!(matches!(ran.ended, Ended::Retried { .. }));
    let ran = run(&db.queue, fails(), Slow { n: 1 }).last_attempt().await.unwrap();
    assert_eq!(ran.ended, Ended::Discarded { error: "attempt 3".to_owned() });
    let ran = run(&db.queue, fails(), Slow { n: 1 }).last_attempt().max_attempts(7).await.unwrap();
    assert_eq!(ran.ended, Ended::Discarded { error: "attempt 7".to_owned() });
    for wrong in [0, 4] {
        let error = run(&db.queue, fails(), Slow { n: 1 }).attempt(wrong).await.unwrap_err();
        assert_eq!(error.to_string(), format!("attempt {wrong} is out of range: the job has 1 to 3"));
    }
    let failed = std::panic::catch_unwind(|| drop(ran.assert_completed().clone())).unwrap_err();
    let message = failed.downcast_ref::<String>().unwrap();
    let wanted = "(slow) was not completed by attempt 7: Discarded { error: \"attempt 7\" }";
    assert!(message.ends_with(wanted), "{message}");
}

#[tokio::test]
async fn it_has_the_tags_and_the_metadata_that_the_test_gives_it() {
    let db = db().await;
    let app = App::new(|_, ctx| async move {
        assert_eq!(ctx.tags(), ["import", "tenant-17"]);
        assert_eq!(ctx.metadata()["asked_by"], "ada");
        Ok(Outcome::Complete)
    });
    let ran = run(&db.queue, app, Task { n: 1 }).tag("import").tag("tenant-17").metadata("asked_by", "ada");
    ran.await.unwrap().assert_completed();
}

struct Noting(Arc<Mutex<Vec<JobId>>>);

#[async_trait]
impl Middleware for Noting {
    async fn around(&self, job: &JobInfo, next: Next<'_>) -> Result<Outcome, Failure> {
        self.0.lock().unwrap().push(job.id());
        next.run().await
    }
}

#[tokio::test]
async fn it_is_surrounded_and_completes_itself_in_a_transaction() {
    let db = with_effects().await;
    let seen = Arc::default();
    let app = App::new(|_, ctx| async move { effect(&ctx).await });
    let ran = run(&db.queue, app, Task { n: 1 }).middleware(Noting(Arc::clone(&seen))).await.unwrap();
    ran.assert_completed();
    assert_eq!(*seen.lock().unwrap(), [ran.job]);
    assert_eq!(db.effects().await, (1, 1));
}

#[derive(Serialize, Deserialize, Job)]
#[job(crate = "pg_queue_core", queue = "work")]
struct Book;

impl TransactionHandler<()> for Book {
    async fn run(self, ctx: Context<()>, tx: &mut sqlx::PgConnection) -> HandlerEnded {
        sqlx::query("insert into effects (job) values ($1)")
            .persistent(false)
            .bind(ctx.job_id().get())
            .execute(tx)
            .await?;
        Ok(Outcome::Complete)
    }
}

async fn with_effects() -> Db {
    let db = db().await;
    db.execute("create table effects (job bigint not null)").await;
    db
}

#[tokio::test]
async fn a_transactional_handler_runs_in_its_transaction() {
    let db = with_effects().await;
    run_transactional(&db.queue, (), Book).await.unwrap().assert_completed();
    assert_eq!(db.effects().await, (1, 1));
}

#[derive(Serialize, Deserialize, Job)]
#[job(crate = "pg_queue_core", queue = "work", unique = ["key"], on_conflict = "replace")]
struct Digest {
    key: i64,
    text: String,
}

impl Handler<()> for Digest {
    async fn run(self, _: Context<()>) -> HandlerEnded {
        Ok(Outcome::Complete)
    }
}

#[tokio::test]
async fn a_job_that_is_there_already_is_not_touched() {
    let db = db().await;
    let digest = |text: &str| Digest { key: 1, text: text.to_owned() };
    let waiting = digest("first").enqueue(&db.queue).await.unwrap().id();
    let error = run(&db.queue, (), digest("second")).await.unwrap_err();
    let RunJobError::Take(TakeError::NotNew { job }) = error else { panic!("{error}") };
    assert_eq!(job, waiting);
    assert_eq!(db.get::<String>("select payload->>'text' from queue_work").await, "first");
    assert_eq!(db.workers().await, []);
}

#[tokio::test]
async fn what_cannot_be_enqueued_is_said() {
    let db = db().await;
    let error = run(&db.queue, done(), Task { n: 1 }).tag("").await.unwrap_err();
    assert!(matches!(error, RunJobError::Take(TakeError::Push(PushError::InvalidTags))), "{error}");
    assert_eq!(db.workers().await, []);
    db.execute("select pg_queue_drop_queue('work')").await;
    let error = run(&db.queue, done(), Task { n: 1 }).await.unwrap_err();
    assert!(error.to_string().contains("queue \"work\" does not exist"), "{error}");
    let missing = QueueError::Missing(work());
    assert_eq!(error.to_string(), missing.to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_beside_never_takes_it() {
    let db = db().await;
    let theirs = App::new(|n, _| async move { panic!("job {n} is not theirs") });
    let worker = start(tasks().poll_interval(Duration::from_millis(10)).build(&db.queue, theirs).unwrap());
    db.until("select exists (select from pg_queue_waiters)").await;
    for n in 0..50 {
        soon(run(&db.queue, done(), Task { n }).into_future()).await.unwrap().assert_completed();
    }
    let summary = worker.stop().await;
    assert_eq!(summary, pg_queue_worker::Summary::default());
}
