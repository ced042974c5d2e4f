//! A question through a queue, and its answer. Needs PostgreSQL's programs, or `DATABASE_URL`.

use std::time::Duration;

use pg_queue::{CallError, Context, Failure, Handler, Job, Outcome, PgQueue, QueueName, Worker};
use pg_queue_embedded::{Database, Server, Settings};
use serde::{Deserialize, Serialize};

/// The request: a job of the kind `raw`, which is what `push_and_wait` pushes, so that a worker can answer it.
#[derive(Serialize, Deserialize, Job)]
#[job(kind = "raw", queue = "sums", max_attempts = 1)]
struct Sum(Vec<i64>);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Total {
    total: i64,
}

struct Responder;

impl Handler<Responder> for Sum {
    async fn run(self, ctx: Context<Responder>) -> Result<Outcome, Failure> {
        let request = ctx.request_id().ok_or("nobody waits for this sum")?;
        let total = Total { total: self.0.iter().sum() };
        ctx.pg_queue().request_response.store_response(&request, &total).await?;
        Ok(Outcome::Complete)
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let server = Server::from_env_or_start(Settings::for_tests())?;
    let database = Database::create(&server).await?;
    let mgr = PgQueue::new(database.pool().await?);
    mgr.migrate().await?;
    let sums = QueueName::new("sums")?;
    mgr.queue.create(&sums).await?;

    // Nobody serves yet: that is told apart from an answer that takes too long.
    let unserved: Result<Total, _> =
        mgr.request_response.push_and_wait(&sums, &Sum(vec![1]), Duration::from_millis(200)).await;
    println!("without a responder: {}", unserved.as_ref().expect_err("nobody serves"));
    anyhow::ensure!(matches!(unserved, Err(CallError::NotTaken { .. })));

    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let worker = Worker::builder().register::<Sum>().build(&mgr, Responder)?;
    let responder = tokio::spawn(worker.run_until(stopped));
    for numbers in [vec![1, 2, 3], vec![40, 2]] {
        let question = format!("{numbers:?}");
        let answer: Total = mgr.request_response.push_and_wait(&sums, &Sum(numbers), Duration::from_secs(5)).await?;
        println!("the sum of {question} is {}", answer.total);
    }
    drop(stop);
    let summary = responder.await??;
    anyhow::ensure!(summary.completed == 2);
    Ok(())
}
