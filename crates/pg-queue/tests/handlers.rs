//! Handlers of several types in one worker, as a user writes them: that this compiles is the test.

use pg_queue::{Context, Failure, Handler, Job, Outcome, PgQueue, Worker};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Job)]
struct SendEmail {
    to: String,
}

#[derive(Serialize, Deserialize, Job)]
struct MakeInvoice {
    number: u64,
}

/// Neither `Clone` nor `Debug`.
struct App;

impl Handler<App> for SendEmail {
    async fn run(self, _: Context<App>) -> Result<Outcome, Failure> {
        Err("a string is a failure")?
    }
}

impl Handler<App> for MakeInvoice {
    async fn run(self, ctx: Context<App>) -> Result<Outcome, Failure> {
        let mut tx = ctx.pool().begin().await?;
        let done = ctx.complete_in(&mut tx).await?;
        tx.commit().await?;
        Ok(done)
    }
}

/// The state is inferred from what is registered and built, in either order.
async fn run(queue: &PgQueue) -> Result<(), Box<dyn std::error::Error>> {
    let worker = Worker::builder().register::<SendEmail>().register::<MakeInvoice>().build(queue, App)?;
    println!("{:?}", worker.run_until(std::future::pending::<()>()).await?);
    Ok(())
}

#[test]
fn handlers_with_one_state_fit_into_one_worker() {
    // Not called: it would need a server. The tests of the worker run such workers.
    let _ = run;
}
