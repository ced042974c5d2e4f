//! A worker in a process of its own, which a test can kill: the test binary once more, with only one test.

use std::{
    env,
    io::Read,
    process::{Command, Stdio},
    time::Duration,
};

use pg_queue_client::PgQueue;
use pg_queue_worker::{Context, Outcome};
use rustix::process::{Pid, Signal, kill_process};
use tokio_util::sync::CancellationToken;

use crate::support::{App, Db, Ended, effect, soon, tasks};

/// What the process is to do, and where.
const ROLE: &str = "PG_QUEUE_TEST_WORKER_ROLE";
const URL: &str = "PG_QUEUE_TEST_WORKER_URL";
const HEARTBEAT: &str = "PG_QUEUE_TEST_WORKER_HEARTBEAT_MS";

/// The other process. Ends with the test, however that ends.
pub(crate) struct Process(std::process::Child);

impl Process {
    /// Starts a worker with 100 slots for `work`. See [`handle`] for the roles.
    pub(crate) fn start(db: &Db, role: &str, heartbeat: Duration) -> Self {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--exact", "process::the_worker_of_another_test", "--nocapture", "--test-threads=1"]);
        command.env(ROLE, role).env(URL, db.database.url()).env(HEARTBEAT, heartbeat.as_millis().to_string());
        Self(command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }

    /// Waits for its end by itself, after its standard input was closed, which shuts the worker down. Answers what it
    /// has printed.
    pub(crate) async fn ended(mut self) -> String {
        drop(self.0.stdin.take());
        self.printed().await
    }

    /// Waits for its end by itself, and answers what it has printed.
    pub(crate) async fn printed(mut self) -> String {
        let stdout = self.0.stdout.take().unwrap();
        let mut stderr = self.0.stderr.take().unwrap();
        let printed = tokio::task::spawn_blocking(move || {
            let mut text = String::new();
            { stdout }.read_to_string(&mut text).unwrap();
            stderr.read_to_string(&mut text).unwrap();
            text
        });
        let printed = soon(printed).await.unwrap();
        self.0.wait().unwrap();
        printed
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Not a test of its own: returns at once when nobody has asked for it.
#[test]
fn the_worker_of_another_test() {
    let Ok(role) = env::var(ROLE) else { return };
    let url = env::var(URL).unwrap();
    let heartbeat = Duration::from_millis(env::var(HEARTBEAT).unwrap().parse().unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    let summary = runtime.block_on(async {
        let queue = PgQueue::connect(&url).await.unwrap();
        let stop = CancellationToken::new();
        let signal = stop.clone();
        std::thread::spawn(move || {
            // Ends with the process that has started this one.
            drop(std::io::stdin().read(&mut [0]));
            stop.cancel();
        });
        let does = role.clone();
        let app = App::new(move |n, ctx| handle(does.clone(), n, ctx));
        let worker = tasks().concurrency(100).heartbeat(heartbeat);
        if role == "signals" {
            // An hour of patience with its handlers, which is for somebody to end.
            return worker.shutdown_timeout(Duration::from_secs(3600)).build(&queue, app).unwrap().run().await.unwrap();
        }
        let worker = worker.shutdown_timeout(Duration::ZERO).build(&queue, app).unwrap();
        worker.run_until(async move { signal.cancelled().await }).await.unwrap()
    });
    println!("{summary:?}");
}

async fn handle(role: String, n: i64, ctx: Context<App>) -> Ended {
    let start = sqlx::query("insert into starts (job, attempt) values ($1, $2)").bind(ctx.job_id().get());
    start.bind(i16::try_from(ctx.attempt())?).execute(ctx.pool()).await?;
    match (&*role, n) {
        ("signals", 0) => {
            go(&ctx).await;
            Ok(Outcome::Complete)
        }
        // Takes the whole process with it.
        ("abort", _) => std::process::abort(),
        // Blocks its thread, so that nobody can drop it, until the test says so; and succeeds then.
        ("stale", 0 | 1) => {
            let handle = tokio::runtime::Handle::current();
            tokio::task::block_in_place(|| handle.block_on(go(&ctx)));
            Ok(Outcome::Complete)
        }
        // Goes on behind the worker's back, where nobody can drop it either.
        ("stale", _) => {
            let detached = ctx.clone();
            tokio::spawn(async move {
                go(&detached).await;
                match effect(&detached).await {
                    Ok(_) => println!("a stale effect was committed"),
                    Err(error) => println!("rejected: {error:?}"),
                }
            });
            std::future::pending().await
        }
        _ => std::future::pending().await,
    }
}

/// Waits for a row in `go`.
async fn go(ctx: &Context<App>) {
    let go = "select exists (select from go)";
    while !sqlx::query_scalar::<_, bool>(go).fetch_one(ctx.pool()).await.unwrap_or(false) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
