//! What is refused before a worker runs, and with which words.

use std::time::Duration;

use pg_queue_client::PgQueue;
use pg_queue_core::{Job, QueueName};
use pg_queue_embedded::{Database, shared};
use pg_queue_worker::{BuildError, Context, Handler, Outcome, RunError, Worker};
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgPoolOptions;

use crate::support::{App, Ended, Task, db, soon};

#[derive(Serialize, Deserialize, Job)]
#[job(crate = "pg_queue_core", kind = "old_task", queue = "work")]
struct SameAsAnAlias;

impl Handler<App> for SameAsAnAlias {
    async fn run(self, _: Context<App>) -> Ended {
        Ok(Outcome::Complete)
    }
}

fn nothing() -> App {
    App::new(|_, _| async { Ok(Outcome::Complete) })
}

/// A handle on a server that is not there: building a worker sends nothing.
fn nowhere() -> PgQueue {
    PgQueue::new(PgPoolOptions::new().connect_lazy("postgres://nobody:secret@127.0.0.1:1/none").unwrap())
}

#[tokio::test]
async fn a_kind_that_is_registered_twice_is_refused() {
    let twice = Worker::builder().register::<Task>().register::<Task>().build(&nowhere(), nothing());
    assert_eq!(twice.unwrap_err(), BuildError::DuplicateKind("task"));
    let alias = Worker::builder().register::<Task>().register::<SameAsAnAlias>().build(&nowhere(), nothing());
    let error = alias.unwrap_err();
    assert_eq!(error, BuildError::DuplicateKind("old_task"));
    assert!(error.to_string().contains("\"old_task\" is registered twice"), "{error}");
}

#[tokio::test]
async fn a_worker_without_a_handler_is_refused() {
    let error = Worker::builder().build(&nowhere(), ()).unwrap_err();
    assert_eq!(error, BuildError::NoHandler);
    assert!(error.to_string().contains("register::<YourJob>()"), "{error}");
}

#[tokio::test]
async fn a_setting_out_of_its_range_is_refused() {
    let worker = || Worker::builder().register::<Task>();
    for concurrency in [0, 1_000_001] {
        let error = worker().concurrency(concurrency).build(&nowhere(), nothing()).unwrap_err();
        assert_eq!(error, BuildError::Concurrency(concurrency));
    }
    for heartbeat in [Duration::ZERO, Duration::from_millis(499), Duration::from_secs(301)] {
        let error = worker().heartbeat(heartbeat).build(&nowhere(), nothing()).unwrap_err();
        assert!(matches!(error, BuildError::OutOfRange { setting: "heartbeat", .. }), "{error}");
        assert!(error.to_string().contains("500ms to 300s"), "{error}");
    }
    for poll in [Duration::from_millis(9), Duration::from_secs(61)] {
        let error = worker().poll_interval(poll).build(&nowhere(), nothing()).unwrap_err();
        assert!(matches!(error, BuildError::OutOfRange { setting: "poll_interval", .. }), "{error}");
    }
}

#[tokio::test]
async fn a_worker_without_a_server_ends_at_once_with_the_cure() {
    let worker = Worker::builder().register::<Task>().build(&nowhere(), nothing()).unwrap();
    let began = std::time::Instant::now();
    let error = soon(worker.run_until(std::future::pending::<()>())).await.unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    let message = error.to_string();
    assert!(message.contains("cannot reach the PostgreSQL server"), "{message}");
    assert!(!message.contains("secret"), "{message}");
}

#[tokio::test]
async fn a_worker_without_migrations_ends_at_once_with_the_cure() {
    let database = Database::create(shared()).await.unwrap();
    let queue = PgQueue::new(database.pool().await.unwrap());
    let worker = Worker::builder().register::<Task>().build(&queue, nothing()).unwrap();
    let error = soon(worker.run_until(std::future::pending::<()>())).await.unwrap_err();
    assert!(matches!(error, RunError::Migrate(_)), "{error:?}");
    assert!(error.to_string().contains("migrate"), "{error}");
}

#[tokio::test]
async fn a_worker_without_its_queue_ends_at_once_with_the_cure() {
    let db = db().await;
    let missing = QueueName::new("missing").unwrap();
    let worker = Worker::builder().register::<Task>().queue(&missing).build(&db.queue, nothing()).unwrap();
    let error = soon(worker.run_until(std::future::pending::<()>())).await.unwrap_err();
    assert!(matches!(error, RunError::Queue(_)), "{error:?}");
    assert!(error.to_string().contains("select pg_queue_create_queue('missing')"), "{error}");
    assert_eq!(db.get::<i64>("select count(*) from pg_queue_workers").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_that_is_there_from_the_start_ends_the_worker_cleanly() {
    let db = db().await;
    let worker = Worker::builder().register::<Task>().build(&db.queue, nothing()).unwrap();
    let summary = soon(worker.run_until(async {})).await.unwrap();
    assert_eq!(summary, pg_queue_worker::Summary::default());
    assert_eq!(db.get::<i64>("select count(*) from pg_queue_workers").await, 0);
}
