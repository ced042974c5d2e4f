//! State that handlers share, and what becomes of attempts that fail. Needs PostgreSQL's programs, or `DATABASE_URL`.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use pg_queue::{Context, Failure, Handler, Job, Outcome, PgQueue, QueueName, Worker};
use pg_queue_embedded::{Database, Server, Settings};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

/// One value of this type per worker; handlers see it by `ctx.state()`. The compiler checks that all of them agree on it.
#[derive(Default)]
struct App {
    greeted: Mutex<HashMap<String, u32>>,
    attempts: Mutex<u32>,
    finished: Notify,
}

#[derive(Serialize, Deserialize, Job)]
#[job(queue = "greetings")]
struct Greet {
    name: String,
}

impl Handler<Arc<App>> for Greet {
    async fn run(self, ctx: Context<Arc<App>>) -> Result<Outcome, Failure> {
        if self.name.is_empty() {
            // No retry would help.
            return Err(Failure::discard("nobody to greet"));
        }
        *ctx.state().greeted.lock().map_err(|_| "poisoned")?.entry(self.name).or_default() += 1;
        Ok(Outcome::Complete)
    }
}

#[derive(Serialize, Deserialize, Job)]
#[job(queue = "greetings", max_attempts = 5, backoff = "constant(10ms)")]
struct Unsteady;

impl Handler<Arc<App>> for Unsteady {
    async fn run(self, ctx: Context<Arc<App>>) -> Result<Outcome, Failure> {
        *ctx.state().attempts.lock().map_err(|_| "poisoned")? += 1;
        if ctx.attempt() < 3 {
            Err("not yet")?;
        }
        ctx.state().finished.notify_one();
        Ok(Outcome::Complete)
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let server = Server::from_env_or_start(Settings::for_tests())?;
    let database = Database::create(&server).await?;
    let pool = database.pool().await?;
    let mgr = PgQueue::new(pool.clone());
    mgr.migrate().await?;
    mgr.queue.create(&QueueName::new("greetings")?).await?;

    for name in ["ada", "grace", ""] {
        Greet { name: name.to_owned() }.enqueue(&mgr).await?;
    }
    // The last one in the queue: when it is done, so are the others.
    Unsteady.enqueue(&mgr).priority(pg_queue::Priority::LOWEST).await?;

    // An Arc, because `main` looks at it too; a worker's state need not be one.
    let app = Arc::new(App::default());
    let worker =
        Worker::builder().register::<Greet>().register::<Unsteady>().concurrency(1).build(&mgr, Arc::clone(&app))?;
    let summary = worker.run_until(app.finished.notified()).await?;
    println!("greeted: {:?}", app.greeted.lock().expect("no handler panicked"));
    let reasons: Vec<(String,)> =
        sqlx::query_as("select errors -> -1 ->> 'error' from pg_queue_history").fetch_all(&pool).await?;
    println!("discarded: {reasons:?}");
    println!("{summary:?}");
    anyhow::ensure!((summary.completed, summary.retried, summary.discarded) == (3, 2, 1));
    Ok(())
}
