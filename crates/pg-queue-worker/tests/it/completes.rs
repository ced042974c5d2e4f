//! Completing a job in the handler's own transaction.

use std::sync::Arc;

use pg_queue_worker::{Context, Summary};
use tokio::sync::{Notify, mpsc};

use crate::support::{App, Db, Ended, db, past_the_pooler, soon, start, tasks};

async fn with_effects() -> Db {
    let db = db().await;
    db.execute("create table effects (job bigint not null)").await;
    db
}

/// A transaction with the handler's own write in it.
async fn began(ctx: &Context<App>) -> Result<sqlx::Transaction<'static, sqlx::Postgres>, sqlx::Error> {
    let mut transaction = ctx.pool().begin().await?;
    let effect = sqlx::query("insert into effects values ($1)").persistent(false).bind(ctx.job_id().get());
    effect.execute(&mut *transaction).await?;
    Ok(transaction)
}

async fn run_until(db: &Db, app: App, done: &str) -> Summary {
    let worker = start(tasks().build(&db.queue, app).unwrap());
    db.until(done).await;
    worker.stop().await
}

const EMPTY: &str = "select count(*) = 0 from queue_work";

#[tokio::test(flavor = "multi_thread")]
async fn effects_and_completion_are_committed_together() {
    let db = with_effects().await;
    db.push_many(0..50).await;
    let app = App::new(|_, ctx| async move {
        let mut transaction = began(&ctx).await?;
        let done = ctx.complete_in(&mut transaction).await?;
        transaction.commit().await?;
        Ok(done)
    });
    let summary = run_until(&db, app, EMPTY).await;
    assert_eq!((summary.completed, summary.retried, summary.lost_leases), (50, 0, 0));
    assert_eq!(db.get::<i64>("select count(distinct job) from effects").await, 50);
    assert_eq!(db.get::<i64>("select count(*) from effects").await, 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_keeps_the_job_and_the_handlers_own_error() {
    let db = with_effects().await;
    db.push(1).await;
    let app = App::new(|_, ctx| async move {
        let mut transaction = began(&ctx).await?;
        let done = ctx.complete_in(&mut transaction).await?;
        if ctx.attempt() == 1 {
            transaction.rollback().await?;
            return Err("thought better of it".into());
        }
        if ctx.attempt() == 2 {
            transaction.rollback().await?;
            return Ok(done);
        }
        let errors: String =
            sqlx::query_scalar("select errors::text from queue_work").fetch_one(&past_the_pooler(ctx.pool())).await?;
        assert!(errors.contains("thought better of it"), "{errors}");
        assert!(
            errors.contains("the transaction in which the handler completed the job was not committed"),
            "{errors}"
        );
        transaction.commit().await?;
        Ok(done)
    });
    let summary = run_until(&db, app, EMPTY).await;
    assert_eq!((summary.retried, summary.completed, summary.discarded), (2, 1, 0));
    assert_eq!(db.get::<i64>("select count(*) from effects").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forgotten_commit_is_a_failed_attempt() {
    let db = with_effects().await;
    db.push(1).await;
    let app = App::new(|_, ctx| async move {
        let mut transaction = began(&ctx).await?;
        Ok(ctx.complete_in(&mut transaction).await?)
    });
    let summary = run_until(&db, app, EMPTY).await;
    assert_eq!((summary.retried, summary.discarded, summary.completed), (2, 1, 0));
    let errors = db.errors("pg_queue_history").await;
    assert_eq!(errors, ["the transaction in which the handler completed the job was not committed"; 3]);
    assert_eq!(db.get::<i64>("select count(*) from effects").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_fails_after_its_commit_has_completed_its_job() {
    let db = with_effects().await;
    db.push(1).await;
    let app = App::new(|_, ctx| async move {
        let mut transaction = began(&ctx).await?;
        ctx.complete_in(&mut transaction).await?;
        transaction.commit().await?;
        Err("too late".into())
    });
    let summary = run_until(&db, app, EMPTY).await;
    assert_eq!((summary.completed, summary.retried, summary.discarded), (1, 0, 0));
    assert_eq!(db.get::<i64>("select count(*) from effects").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_lease_nothing_is_committed() {
    let db = with_effects().await;
    db.push(1).await;
    let (begun, mut begins) = mpsc::unbounded_channel();
    let go_on = Arc::new(Notify::new());
    let goes_on = go_on.clone();
    let app = App::new(move |_, ctx| {
        begun.send(()).unwrap();
        let goes_on = goes_on.clone();
        async move {
            goes_on.notified().await;
            let mut transaction = began(&ctx).await?;
            let done = ctx.complete_in(&mut transaction).await?;
            transaction.commit().await?;
            Ok(done) as Ended
        }
    });
    let worker = start(tasks().build(&db.queue, app).unwrap());
    soon(begins.recv()).await.unwrap();
    // Somebody else has it.
    db.execute("update queue_work set lease_token = 1, lease_worker = 1").await;
    go_on.notify_one();
    // Its error cannot be noted with a job that is not its own any more.
    let summary = worker.stop().await;
    assert_eq!((summary.lost_leases, summary.completed, summary.retried), (1, 0, 0));
    assert_eq!(db.get::<i64>("select count(*) from effects").await, 0);
    assert!(db.get::<bool>("select lease_token = 1 and attempt = 1 and errors is null from queue_work").await);
}
