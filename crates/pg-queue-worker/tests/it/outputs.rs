//! What handlers leave: results, progress, and writes in one transaction with the completion.

use std::{sync::Arc, time::Duration};

use pg_queue_core::{Job, JobId};
use pg_queue_worker::{Context, Failure, Outcome, OutputError, TransactionHandler, Worker};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use tokio::sync::{Notify, mpsc};

use crate::support::{App, Db, Ended, Task, db, past_the_pooler, soon, start, tasks, work};

const EMPTY: &str = "select count(*) = 0 from queue_work";
const DAY: Duration = Duration::from_secs(24 * 3600);

async fn run(db: &Db, app: App) {
    let worker = start(tasks().build(&db.queue, app).unwrap());
    db.until(EMPTY).await;
    worker.stop().await;
}

async fn push(db: &Db) -> JobId {
    Task { n: 1 }.enqueue(&db.queue).await.unwrap().id()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_output_is_kept_for_a_day_and_for_as_long_as_its_handler_says() {
    let db = db().await;
    let ids = [push(&db).await, push(&db).await];
    let app = App::new(move |_, ctx| async move {
        ctx.output(&"first")?;
        ctx.output(&vec![1, 2, 3])?;
        if ctx.job_id() == ids[1] {
            ctx.keep_for(7 * DAY);
        }
        Ok(Outcome::Complete)
    });
    run(&db, app).await;
    for (id, time) in [(ids[0], DAY), (ids[1], 7 * DAY)] {
        let past = db.queue.history.get(id).await.unwrap().unwrap();
        assert_eq!(past.output.as_deref(), Some("[1,2,3]"));
        assert_eq!(past.keep_until.duration_since(past.finished_at).unwrap(), time);
        assert!(past.worker.is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_output_nothing_is_kept_unless_the_queue_or_the_handler_says_so() {
    let db = db().await;
    let id = push(&db).await;
    run(&db, App::new(|_, _| async { Ok(Outcome::Complete) })).await;
    assert!(db.queue.history.get(id).await.unwrap().is_none());
    db.queue.queue.keep(&work(), Some(Duration::from_secs(3600)), DAY).await.unwrap();
    let ids = [push(&db).await, push(&db).await];
    let app = App::new(move |_, ctx| async move {
        if ctx.job_id() == ids[1] {
            ctx.keep_for(Duration::ZERO);
        }
        Ok(Outcome::Complete)
    });
    run(&db, app).await;
    assert!(db.queue.history.get(ids[0]).await.unwrap().is_some());
    assert!(db.queue.history.get(ids[1]).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_output_that_is_too_long_is_refused_and_the_one_before_it_stays() {
    let db = db().await;
    let id = push(&db).await;
    let app = App::new(|_, ctx| async move {
        // Quotes around it make it longer by two.
        ctx.output(&"x".repeat((1 << 20) - 2))?;
        let refused = ctx.output(&"x".repeat((1 << 20) - 1));
        assert!(matches!(refused, Err(OutputError::TooLarge { bytes: 1_048_577 })));
        Ok(Outcome::Complete)
    });
    run(&db, app).await;
    assert_eq!(db.queue.history.get(id).await.unwrap().unwrap().output.unwrap().len(), 1 << 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_output_goes_with_the_handlers_own_transaction() {
    let db = db().await;
    let id = push(&db).await;
    let app = App::new(|_, ctx| async move {
        ctx.output(&ctx.attempt())?;
        let mut transaction = ctx.pool().begin().await?;
        let done = ctx.complete_in(&mut transaction).await?;
        if ctx.attempt() == 1 {
            transaction.rollback().await?;
        } else {
            transaction.commit().await?;
        }
        Ok(done)
    });
    run(&db, app).await;
    let past = db.queue.history.get(id).await.unwrap().unwrap();
    assert_eq!((past.output.as_deref(), past.attempt), (Some("2"), 2));
    let error = "the transaction in which the handler completed the job was not committed";
    assert_eq!(past.errors[0].error, error);
    assert_eq!(past.errors[0].worker.as_deref().map(str::len), Some(16));
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_can_be_seen_while_the_job_runs_and_does_not_flood() {
    let db = db().await;
    let id = push(&db).await;
    let go_on = Arc::new(Notify::new());
    let (begun, mut begins) = mpsc::unbounded_channel();
    let goes_on = go_on.clone();
    let app = App::new(move |_, ctx| {
        let (goes_on, begun) = (goes_on.clone(), begun.clone());
        async move {
            for page in 0_u16..10_000 {
                ctx.progress(f32::from(page) / 10_000.0, format!("page {page}"));
            }
            begun.send(()).unwrap();
            goes_on.notified().await;
            Ok(Outcome::Complete) as Ended
        }
    });
    let worker = start(tasks().build(&db.queue, app).unwrap());
    soon(begins.recv()).await.unwrap();
    crate::support::eventually("its last word is there", async || {
        let job = db.queue.queue.get(&work(), id).await.unwrap().unwrap();
        job.progress_note.as_deref() == Some("page 9999") && job.progress.unwrap() > 0.99
    })
    .await;
    // One version of the row for the push, one for the claim, and two for what was said before and after a pause.
    let versions: i64 = db.get("select n_tup_upd from pg_stat_user_tables where relname = 'queue_work'").await;
    assert!(versions <= 4, "{versions}");
    go_on.notify_one();
    db.until(EMPTY).await;
    worker.stop().await;
}

#[derive(Debug, Serialize, Deserialize, Job)]
#[job(crate = "pg_queue_core", queue = "work", max_attempts = 5, backoff = "constant(10ms)")]
struct Book {
    n: i64,
}

impl TransactionHandler<()> for Book {
    async fn run(self, ctx: Context<()>, transaction: &mut PgConnection) -> Result<Outcome, Failure> {
        let book = sqlx::query("insert into effects (job) values ($1)").persistent(false).bind(ctx.job_id().get());
        book.execute(&mut *transaction).await?;
        match (self.n, ctx.attempt()) {
            // Fails, panics or is put off once; what it has written goes with that.
            (1, 1) => Err("not yet".into()),
            (2, 1) => std::panic::resume_unwind(Box::new("a panic")),
            (3, 1) if ctx.metadata().contains_key("snooze") => {
                // A snoozed attempt comes again as the same one: this time without the reason.
                let again = "update queue_work set metadata = null where id = $1";
                sqlx::query(again).bind(ctx.job_id().get()).execute(&past_the_pooler(ctx.pool())).await?;
                Ok(Outcome::Snooze(Duration::from_millis(10)))
            }
            (4, _) => Ok(Outcome::Cancel),
            // The transaction is broken, and cannot be committed.
            (5, 1) => {
                drop(sqlx::query("select 1 / 0").execute(&mut *transaction).await);
                Ok(Outcome::Complete)
            }
            _ => {
                ctx.output(&self.n)?;
                Ok(Outcome::Complete)
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transactional_handler_writes_exactly_once_however_its_attempts_end() {
    let db = db().await;
    db.execute("create table effects (job bigint not null)").await;
    for n in 0..6 {
        Book { n }.enqueue(&db.queue).metadata("snooze", n == 3).await.unwrap();
    }
    let worker = Worker::builder().register_transactional::<Book>().build(&db.queue, ()).unwrap();
    let worker = start(worker);
    db.until(EMPTY).await;
    let summary = worker.stop().await;
    assert_eq!((summary.completed, summary.cancelled, summary.snoozed), (5, 1, 1), "{summary:?}");
    assert_eq!((summary.retried, summary.lost_leases), (3, 0));
    assert_eq!(db.effects().await, (5, 5));
    assert_eq!(db.get::<i64>("select count(*) from pg_queue_history where output is not null").await, 5);
}
