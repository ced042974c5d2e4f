//! A migrated database for each test, a job whose handler is a closure, and a worker that runs beside the test.

use std::{
    collections::BTreeMap,
    future::Future,
    hash::{DefaultHasher, Hash, Hasher},
    pin::Pin,
    sync::Mutex,
    time::Duration,
};

use pg_queue_client::PgQueue;
use pg_queue_core::{Job, QueueName, migrate};
use pg_queue_embedded::{Database, shared};
use pg_queue_worker::{Context, Failure, Handler, Outcome, RunError, Summary, Worker, WorkerBuilder};
use serde::{Deserialize, Serialize};
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool, Postgres, Transaction, postgres::PgPoolOptions};
use tokio::{task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

/// How long a test waits for what must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A database of the test's own with the queue `work`, dropped at its end.
pub(crate) struct Db {
    pub(crate) pool: PgPool,
    pub(crate) queue: PgQueue,
    pub(crate) database: Database,
}

pub(crate) async fn db() -> Db {
    // With RUST_LOG set, a test that fails tells what the worker saw.
    let log = tracing_subscriber::fmt().with_env_filter(tracing_subscriber::EnvFilter::from_default_env());
    drop(log.with_test_writer().try_init());
    let mut version = DefaultHasher::new();
    migrate::MIGRATIONS.iter().for_each(|migration| migration.checksum().hash(&mut version));
    let version = version.finish();
    let database = Database::from_template(shared(), &format!("worker_{version:016x}"), async |pool| {
        let queue = PgQueue::new(pool);
        queue.migrate().await?;
        queue.queue.create(&work()).await?;
        Ok(())
    })
    .await
    .unwrap();
    let pool = database.pool_of(20).await.unwrap();
    Db { queue: handle(&database, &pool), pool, database }
}

/// A handle on this pool; when all tests are to work through a pooler, on another one that does.
fn handle(database: &Database, pool: &PgPool) -> PgQueue {
    #[cfg(unix)]
    if let Some(pooler) = pg_queue_embedded::shared_pooler() {
        let options = PgPoolOptions::new().max_connections(20);
        let own = (database.name().to_owned(), pool.clone());
        PAST_THE_POOLER.lock().unwrap().extend([own]);
        let pool = options.connect_lazy(&pooler.url(database.name())).unwrap();
        return PgQueue::builder().transaction_pooler().listener_url(database.url()).unwrap().build(pool);
    }
    let _ = database;
    PgQueue::new(pool.clone())
}

/// By database: the pools that go past the pooler.
static PAST_THE_POOLER: Mutex<BTreeMap<String, PgPool>> = Mutex::new(BTreeMap::new());

/// A pool for a handler's single statements, which sqlx cannot send through a pooler.
pub(crate) fn past_the_pooler(pool: &PgPool) -> PgPool {
    let options = pool.connect_options();
    let pools = PAST_THE_POOLER.lock().unwrap();
    options.get_database().and_then(|name| pools.get(name)).unwrap_or(pool).clone()
}

/// Statements are known by the comment at their head; the server shows no more of them.
const WAITING_CLAIMS: &str = "select from pg_stat_activity
    where datname = current_database() and wait_event_type = 'Lock' and query like '-- Takes due jobs%'";

/// The queue of most tests.
pub(crate) fn work() -> QueueName {
    QueueName::new("work").unwrap()
}

impl Db {
    pub(crate) async fn push(&self, n: i64) {
        Task { n }.enqueue(&self.queue).await.unwrap();
    }

    pub(crate) async fn push_many(&self, jobs: std::ops::Range<i64>) {
        let push = "insert into queue_work (kind, payload, max_attempts)
            select 'task', json_build_object('n', n), 3 from generate_series($1, $2) as n";
        sqlx::query(push).bind(jobs.start).bind(jobs.end - 1).execute(&self.pool).await.unwrap();
    }

    pub(crate) async fn execute(&self, statement: &str) {
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&self.pool).await.unwrap();
    }

    pub(crate) async fn get<T>(&self, query: &str) -> T
    where
        T: Send + Unpin + for<'r> sqlx::Decode<'r, Postgres> + sqlx::Type<Postgres>,
    {
        sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(&self.pool).await.unwrap()
    }

    /// How many jobs there are in `work`.
    pub(crate) async fn jobs(&self) -> i64 {
        self.get("select count(*) from queue_work").await
    }

    /// The errors of the one job in `work`, or in the history, in the order of attempts.
    pub(crate) async fn errors(&self, table: &str) -> Vec<String> {
        let query = format!("select array(select e->>'error' from {table}, jsonb_array_elements(errors) as e)");
        self.get(&query).await
    }

    /// Makes the clock of jobs show this from now on, and no other time. Tells the workers, who sleep by their own clocks.
    pub(crate) async fn set_clock(&self, time: &str) {
        let clock = format!(
            "create or replace function pg_queue_now() returns timestamptz language sql stable parallel safe
             as $$ select timestamptz '{time}' $$;
             select pg_notify('pg_queue.public', 'cron')"
        );
        self.execute(&clock).await;
    }

    /// Waits until a query answers true.
    pub(crate) async fn until(&self, query: &str) {
        eventually(query, async || self.get::<bool>(query).await).await;
    }

    /// Ends every connection to this database.
    pub(crate) async fn terminate(&self) {
        self.administrate("select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'").await;
    }

    /// Ends every connection to this database, and lets nobody connect until [`end_outage`](Self::end_outage).
    pub(crate) async fn begin_outage(&self) {
        self.administrate("alter database {name} with allow_connections false").await;
        self.terminate().await;
    }

    pub(crate) async fn end_outage(&self) {
        self.administrate("alter database {name} with allow_connections true").await;
    }

    async fn administrate(&self, statement: &str) {
        let statement = statement.replace("{name}", self.database.name());
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut self.admin().await).await.unwrap();
    }

    /// Locks the queue in a transaction, and waits until a claim waits for it.
    pub(crate) async fn lock_out_claims(&self) -> Transaction<'static, Postgres> {
        let mut operator = self.pool.begin().await.unwrap();
        sqlx::query("lock table queue_work in access exclusive mode").execute(&mut *operator).await.unwrap();
        self.until(&format!("select exists ({WAITING_CLAIMS})")).await;
        operator
    }

    /// Ends the connection of a claim while its answer is awaited.
    pub(crate) async fn break_a_claim(&self) {
        let operator = self.lock_out_claims().await;
        self.execute(&WAITING_CLAIMS.replace("select", "select pg_terminate_backend(pid)")).await;
        operator.rollback().await.unwrap();
    }

    /// Ids and whether they are dead, of all workers in the table.
    pub(crate) async fn workers(&self) -> Vec<(i64, bool)> {
        let query = "select id, dead_at is not null from pg_queue_workers order by started_at";
        sqlx::query_as(query).fetch_all(&self.pool).await.unwrap()
    }

    /// The id of the one worker that lives.
    pub(crate) async fn worker(&self) -> i64 {
        self.get("select id from pg_queue_workers where dead_at is null").await
    }

    /// How many jobs have left effects, and how many effects there are. Without a unique constraint, so that doubles are
    /// seen and not prevented.
    pub(crate) async fn effects(&self) -> (i64, i64) {
        let query = "select count(distinct job), count(*) from effects";
        sqlx::query_as(query).fetch_one(&self.pool).await.unwrap()
    }

    /// A connection that no test ends.
    pub(crate) async fn admin(&self) -> PgConnection {
        PgConnection::connect(&shared().admin_url()).await.unwrap()
    }
}

/// Asks again and again until the answer is true.
pub(crate) async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let asking = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(timeout(PATIENCE, asking).await.is_ok(), "never came true: {what}");
}

/// What must happen, and soon.
pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    timeout(PATIENCE, future).await.expect("this ends in time")
}

/// A job whose handler is the closure in [`App`]. Failed attempts are tried again at once.
#[derive(Debug, Serialize, Deserialize, Job)]
#[job(crate = "pg_queue_core", queue = "work", aliases = ["old_task"], max_attempts = 3, backoff = "constant(10ms)")]
pub(crate) struct Task {
    pub(crate) n: i64,
}

/// The same with a policy that a test can look at: it is tried again in an hour.
#[derive(Debug, Serialize, Deserialize, Job)]
#[job(crate = "pg_queue_core", queue = "work", max_attempts = 3, backoff = "constant(1h)", timeout = "1s")]
pub(crate) struct Slow {
    pub(crate) n: i64,
}

/// How a handler ends.
pub(crate) type Ended = Result<Outcome, Failure>;
type Run = dyn Fn(i64, Context<App>) -> Pin<Box<dyn Future<Output = Ended> + Send>> + Send + Sync;

/// The state of the tests' handlers: what they do.
pub(crate) struct App(Box<Run>);

impl App {
    pub(crate) fn new<F, Fut>(run: F) -> Self
    where
        F: Fn(i64, Context<App>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Ended> + Send + 'static,
    {
        Self(Box::new(move |n, ctx| Box::pin(run(n, ctx))))
    }
}

impl Handler<App> for Task {
    async fn run(self, ctx: Context<App>) -> Ended {
        (ctx.state().0)(self.n, ctx.clone()).await
    }
}

impl Handler<App> for Slow {
    async fn run(self, ctx: Context<App>) -> Ended {
        (ctx.state().0)(self.n, ctx.clone()).await
    }
}

/// Leaves an effect and completes the job with it.
pub(crate) async fn effect(ctx: &Context<App>) -> Ended {
    let mut transaction = ctx.pool().begin().await?;
    let effect = sqlx::query("insert into effects (job) values ($1)").persistent(false).bind(ctx.job_id().get());
    effect.execute(&mut *transaction).await?;
    let done = ctx.complete_in(&mut transaction).await?;
    transaction.commit().await?;
    Ok(done)
}

/// Tells the test when it is dropped: with the handler that holds it.
pub(crate) struct Dropped(pub(crate) tokio::sync::mpsc::UnboundedSender<std::time::Instant>);

impl Drop for Dropped {
    fn drop(&mut self) {
        let _ = self.0.send(std::time::Instant::now());
    }
}

/// A worker for [`Task`] that looks often, and whose death would be noticed soon.
pub(crate) fn tasks() -> WorkerBuilder<App> {
    Worker::builder().register::<Task>().register::<Slow>().heartbeat(Duration::from_secs(1)).shutdown_timeout(PATIENCE)
}

/// A worker that runs beside the test.
pub(crate) struct Running {
    stop: CancellationToken,
    handle: JoinHandle<Result<Summary, RunError>>,
}

pub(crate) fn start<S: Send + Sync + 'static>(worker: Worker<S>) -> Running {
    let stop = CancellationToken::new();
    let signal = stop.clone();
    Running { stop, handle: tokio::spawn(worker.run_until(async move { signal.cancelled().await })) }
}

impl Running {
    /// Shuts it down.
    pub(crate) async fn stop(self) -> Summary {
        self.signal();
        self.ended().await
    }

    pub(crate) fn signal(&self) {
        self.stop.cancel();
    }

    pub(crate) async fn ended(self) -> Summary {
        soon(self.handle).await.unwrap().unwrap()
    }

    /// Drops the future that runs it.
    pub(crate) async fn drop_future(self) {
        self.handle.abort();
        assert!(self.handle.await.unwrap_err().is_cancelled());
    }
}

/// What a handler does that has something to do for a while. Nothing is waited for here.
pub(crate) async fn work_for(duration: Duration) {
    let done = tokio::time::Instant::now() + duration;
    while tokio::time::Instant::now() < done {
        tokio::time::sleep_until(done).await;
    }
}

/// The same for a handler that blocks its thread.
pub(crate) fn block_for(duration: Duration) {
    let done = std::time::Instant::now() + duration;
    while std::time::Instant::now() < done {
        std::thread::sleep(duration / 10);
    }
}
