//! A migrated database for each test, and the few steps that most tests begin with.

use std::time::Duration;

use pg_queue_core::{
    BEGIN_PINNED, JobId, LeaseToken, LeasedJobId, PushOutcome, QueueName, QueueTable, Schema,
    jobs::{self, Claimant, ClaimedJob, EndedAttempt, Ending, NewJob, PushOptions},
    logs::{self, LogName, LogTable, Retention},
    migrate, queues,
};
use pg_queue_embedded::{Database, shared};
use serde_json::json;
use sha2::{Digest, Sha256};
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};

/// Long enough that no lease runs out while a test runs.
pub(crate) const LONG: Duration = Duration::from_secs(600);

/// A database of the test's own, dropped at its end.
pub(crate) struct Db {
    pub(crate) pool: PgPool,
    pub(crate) schema: Schema,
    database: Database,
}

/// A database with all migrations in the schema `public`.
pub(crate) async fn database() -> Db {
    let mut hash = Sha256::new();
    for migration in migrate::MIGRATIONS {
        hash.update(migration.checksum());
    }
    let hash: String = hash.finalize()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    let database = Database::from_template(shared(), &format!("core_{hash}"), async |pool| {
        migrate::run(&mut *pool.acquire().await?, &Schema::default()).await?;
        Ok(())
    })
    .await
    .unwrap();
    Db::new(database).await
}

/// A database without any migration.
pub(crate) async fn empty_database() -> Db {
    Db::new(Database::create(shared()).await.unwrap()).await
}

impl Db {
    async fn new(database: Database) -> Self {
        Self { pool: database.pool_of(20).await.unwrap(), schema: Schema::default(), database }
    }

    /// A connection of its own, not the pool's.
    pub(crate) async fn connect(&self) -> PgConnection {
        PgConnection::connect(self.database.url()).await.unwrap()
    }

    /// The database's name, unique on the server; the test's role is called so too.
    pub(crate) fn name(&self) -> &str {
        self.database.name()
    }

    /// Makes a role without any right, to whom a test grants what it is about. Roles belong to the server, not to the
    /// database: [`drop_role`](Self::drop_role) takes it away again.
    pub(crate) async fn create_role(&self, grants: &str) -> PgConnection {
        let name = self.name();
        let script = format!("create role {name}; {}", grants.replace("{role}", name));
        sqlx::raw_sql(AssertSqlSafe(script)).execute(&self.pool).await.unwrap();
        let mut connection = self.connect().await;
        let set = AssertSqlSafe(format!("set role {name}"));
        sqlx::raw_sql(set).execute(&mut connection).await.unwrap();
        connection
    }

    /// Takes the role away that [`create_role`](Self::create_role) made.
    pub(crate) async fn drop_role(&self, connection: PgConnection) {
        connection.close().await.unwrap();
        let script = format!("drop owned by {0}; drop role {0}", self.name());
        sqlx::raw_sql(AssertSqlSafe(script)).execute(&self.pool).await.unwrap();
    }

    /// The queue of that name, made.
    pub(crate) async fn queue(&self, name: &str) -> QueueTable {
        let table = table(name);
        queues::create(&self.pool, &table).await.unwrap();
        table
    }

    /// The log of that name, made; it keeps everything.
    pub(crate) async fn log(&self, name: &str) -> LogTable {
        let table = LogName::new(name).unwrap().table(&self.schema);
        logs::create(&self.pool, &table, Retention::default()).await.unwrap();
        table
    }

    /// Pushes a job of kind `kind`.
    pub(crate) async fn push(&self, table: &QueueTable, kind: &str) -> JobId {
        self.push_with(table, kind, PushOptions::default()).await
    }

    /// Pushes a job of kind `kind` with options.
    pub(crate) async fn push_with(&self, table: &QueueTable, kind: &str, options: PushOptions) -> JobId {
        let mut job = NewJob::new(kind, &json!({"to": "a@example.org"})).unwrap();
        job.options = options;
        let mut connection = self.pool.acquire().await.unwrap();
        jobs::push(&mut connection, table, &job).await.unwrap().id()
    }

    /// Pushes a raw job for each payload, all with the same options.
    pub(crate) async fn push_many<P: serde::Serialize>(
        &self,
        table: &QueueTable,
        payloads: &[P],
        options: &PushOptions,
    ) -> Vec<JobId> {
        let jobs = raw_jobs(payloads, options);
        let pushed = jobs::push_many(&mut self.pool.acquire().await.unwrap(), table, &jobs).await.unwrap();
        pushed.into_iter().map(PushOutcome::id).collect()
    }

    /// Claims up to `limit` jobs of every kind by hand, under a lease that stands longer than the test.
    pub(crate) async fn claim(&self, table: &QueueTable, limit: u32) -> Vec<ClaimedJob> {
        self.claim_as(table, Claimant::HandDriven(LONG), limit).await
    }

    /// Claims up to `limit` jobs of every kind.
    pub(crate) async fn claim_as(&self, table: &QueueTable, claimant: Claimant, limit: u32) -> Vec<ClaimedJob> {
        claim_on(&mut self.pool.acquire().await.unwrap(), table, claimant, limit).await
    }

    /// Claims the one job there is, under a lease that has run out when this returns.
    pub(crate) async fn claim_and_let_expire(&self, table: &QueueTable) -> ClaimedJob {
        let mut jobs = self.claim_as(table, Claimant::HandDriven(Duration::ZERO), 1).await;
        jobs.pop().expect("a job to claim")
    }

    /// Puts a clock in the place of the jobs' own: an expression of type `timestamptz`.
    pub(crate) async fn set_clock(&self, expression: &'static str) {
        let expression = expression.replace('\'', "''");
        let replace = format!(
            "create or replace function pg_queue_now() returns timestamptz language sql stable as 'select {expression}'"
        );
        sqlx::raw_sql(AssertSqlSafe(replace)).execute(&self.pool).await.unwrap();
    }

    /// The number that a query answers.
    pub(crate) async fn count(&self, query: &'static str) -> i64 {
        sqlx::query_scalar(query).fetch_one(&self.pool).await.unwrap()
    }
}

/// A raw job for each payload, all with the same options.
pub(crate) fn raw_jobs<P: serde::Serialize>(payloads: &[P], options: &PushOptions) -> Vec<NewJob> {
    let job = |payload| {
        let mut job = NewJob::raw(payload).unwrap();
        job.options = options.clone();
        job
    };
    payloads.iter().map(job).collect()
}

/// An attempt that failed, and is to be made again at once.
pub(crate) fn failed(id: LeasedJobId, error: &str) -> EndedAttempt {
    EndedAttempt { id, ending: Ending::Retry(Duration::ZERO), error: Some(error.to_owned()), took: None }
}

/// An attempt after which the job is given up.
pub(crate) fn given_up(id: LeasedJobId, error: &str) -> EndedAttempt {
    EndedAttempt { ending: Ending::Discard, ..failed(id, error) }
}

/// A job that goes back to its place.
pub(crate) fn given_back(id: LeasedJobId) -> EndedAttempt {
    EndedAttempt { id, ending: Ending::Release(None), error: None, took: None }
}

/// A claim as workers do it: in a transaction of its own with its plan pinned.
pub(crate) async fn claim_on(
    connection: &mut PgConnection,
    table: &QueueTable,
    claimant: Claimant,
    limit: u32,
) -> Vec<ClaimedJob> {
    let mut transaction = connection.begin_with(BEGIN_PINNED).await.unwrap();
    let claimed = jobs::claim(&mut *transaction, table, claimant, LeaseToken::random(), None, limit).await;
    transaction.commit().await.unwrap();
    claimed.unwrap()
}

/// The table of the queue `name` in the schema `public`, made or not.
pub(crate) fn table(name: &str) -> QueueTable {
    QueueName::new(name).unwrap().table(&Schema::default())
}

/// Waits until somebody in this database waits for a lock of this type, as `pg_stat_activity` calls it.
pub(crate) async fn wait_for_lock(db: &Db, event: &str) {
    let waiting = "select exists (select from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock' and wait_event = $1)";
    until(async || sqlx::query_scalar(waiting).bind(event).fetch_one(&db.pool).await.unwrap()).await;
}

/// Makes whoever inserts this payload into the queue `emails` wait, with the event `advisory`, until what is answered is
/// dropped.
pub(crate) async fn stop_at(db: &Db, payload: &str) -> sqlx::Transaction<'static, sqlx::Postgres> {
    let mut gate = db.pool.begin().await.unwrap();
    let script = format!(
        "create function stop() returns trigger language plpgsql as
            $$ begin perform pg_advisory_xact_lock_shared(4711); return new; end $$;
         create trigger stop before insert on queue_emails for each row
            when (new.payload::text = '{payload}') execute function stop()"
    );
    sqlx::raw_sql(AssertSqlSafe(script)).execute(&db.pool).await.unwrap();
    sqlx::query("select pg_advisory_xact_lock(4711)").execute(&mut *gate).await.unwrap();
    gate
}

/// Asks again and again until the answer is true; panics after a minute.
pub(crate) async fn until(condition: impl AsyncFn() -> bool) {
    let patience = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), patience).await.expect("the condition came true");
}

/// What must happen, and soon.
pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("this ends in time")
}

/// The code and the message with which the server refused a statement.
pub(crate) fn sql_error<T: std::fmt::Debug>(result: Result<T, sqlx::Error>) -> (String, String) {
    let error = result.expect_err("the server refuses this");
    let error = error.into_database_error().expect("an error of the server");
    (error.code().unwrap_or_default().into_owned(), error.message().to_owned())
}

/// A statement of the library, by its file, in the form in which it is sent about `queue`.
pub(crate) fn statement(file: &str, queue: &QueueTable) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(file);
    let template = std::fs::read_to_string(path).unwrap();
    // A log of the same name stands for all logs.
    let log = LogName::new(queue.queue().as_str()).unwrap().table(queue.schema());
    match file.strip_prefix("logs/") {
        Some(_) => pg_queue_core::filled_for_log(&template, &log),
        None => pg_queue_core::filled(&template, queue),
    }
}
