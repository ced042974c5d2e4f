//! The handle that an application holds.

use std::{fmt, sync::Arc};

use pg_queue_core::{
    DatabaseError, InvalidSchema, QueueName, Request, Schema, TraceContext,
    jobs::Commit,
    migrate::{self as migrations, MigrateError},
};
use sqlx::{
    PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::sync::Notify;

#[cfg(feature = "cron")]
use crate::Schedules;
use crate::{
    Cache, Call, History, ListenError, Listener, Notifier, On, Queue, RequestResponse,
    listener::{Address, Hub},
    logs::Logs,
    shared::{Shared, Tracer},
    topics::Topics,
};

/// Jobs, notifications, a cache and request-response on an application's own PostgreSQL.
///
/// Cheap to clone; all clones share the pool and one listener connection, which is opened when something first listens.
///
/// ```no_run
/// use pg_queue_client::PgQueue;
/// use pg_queue_core::QueueName;
///
/// # async fn example(pool: sqlx::PgPool) -> Result<(), Box<dyn std::error::Error>> {
/// let mgr = PgQueue::new(pool);
/// let emails = QueueName::new("emails")?;
/// mgr.queue.create(&emails).await?;
/// mgr.queue.push(&emails, &"hello").await?;
/// if let Some(job) = mgr.queue.pop::<String>(&emails).await? {
///     mgr.queue.complete(&emails, job.id).await?;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct PgQueue {
    /// Queues, and jobs driven by hand.
    pub queue: Queue,
    /// Finished jobs that are kept.
    pub history: History,
    /// Notifications.
    pub notify: Notifier,
    /// The cache.
    pub cache: Cache,
    /// Request-response.
    pub request_response: RequestResponse,
    /// Messages to topics, and topics into queues.
    pub topics: Topics,
    /// Logs: topics that keep their messages.
    pub logs: Logs,
    /// Schedules: jobs that are made by themselves. With the feature `cron`.
    #[cfg(feature = "cron")]
    pub schedules: Schedules,
    shared: Arc<Shared>,
}

impl PgQueue {
    /// Wraps a pool. Sends nothing to the server.
    #[must_use]
    pub fn new(pool: PgPool) -> Self {
        Self::builder().build(pool)
    }

    /// Connects to `url` with a pool of sqlx's defaults.
    ///
    /// # Errors
    /// At once, when the server is not there or refuses the user: see [`DatabaseError`].
    pub async fn connect(url: &str) -> Result<Self, DatabaseError> {
        let options = options(url).map_err(|error| DatabaseError::Other(sqlx::Error::Configuration(error.into())))?;
        let queue = Self::new(PgPoolOptions::new().connect_lazy_with(options));
        queue.shared.acquire().await?;
        Ok(queue)
    }

    /// Settings beyond the pool.
    #[must_use]
    pub fn builder() -> PgQueueBuilder {
        PgQueueBuilder::default()
    }

    /// Enqueues on this connection, inside of its transaction if it has one, in this handle's schema:
    /// `job.enqueue(queue.on(&mut transaction))`.
    pub fn on<'c>(&self, connection: &'c mut PgConnection) -> On<'c> {
        On::new(Arc::clone(&self.shared), connection)
    }

    /// Sends a request to whoever responds to its type, and waits for the response: see [`Call`].
    pub fn call<R: Request>(&self, request: &R) -> Call<R> {
        self.request_response.call(request)
    }

    /// A listener of its own on the process's one connection.
    ///
    /// # Errors
    /// The connection cannot be opened.
    pub async fn create_listener(&self) -> Result<Listener, ListenError> {
        self.shared.hub.attach().await
    }

    /// A listener that is given whether or not the server can be reached: for users that have a poll behind it. It
    /// listens on `channels` whenever there is a connection, and is told of a gap each time there is one again.
    ///
    /// # Errors
    /// A channel's name cannot be used.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn background_listener(&self, channels: &[&str]) -> Result<Listener, ListenError> {
        self.shared.hub.attach_in_background(channels)
    }

    /// Notifies `bell` whenever something was enqueued into the queue through this handle's pool, or that of a clone: at once,
    /// and without the server. What is enqueued elsewhere, or in a transaction of the caller's, only the server tells. Ends when
    /// `bell` is dropped everywhere else.
    ///
    /// ```no_run
    /// # use std::sync::Arc;
    /// # async fn example(mgr: pg_queue_client::PgQueue) -> Result<(), Box<dyn std::error::Error>> {
    /// let emails = pg_queue_core::QueueName::new("emails")?;
    /// let bell = Arc::new(tokio::sync::Notify::new());
    /// mgr.notify_on_enqueue(&emails, &bell);
    /// mgr.queue.push(&emails, &"hello").await?;
    /// bell.notified().await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn notify_on_enqueue(&self, queue: &QueueName, bell: &Arc<Notify>) {
        self.shared.bells.hang(queue.as_str().to_owned(), bell);
    }

    /// Whether it is known that notifications do not arrive in this process, because its listener goes through a
    /// [`transaction_pooler`](PgQueueBuilder::transaction_pooler): what waits for one polls. It is found out when something first
    /// listens.
    #[must_use]
    pub fn is_deaf(&self) -> bool {
        self.shared.hub.is_deaf()
    }

    /// Brings the database up to date in this handle's schema. Two at once wait for each other.
    ///
    /// # Errors
    /// See [`MigrateError`].
    pub async fn migrate(&self) -> Result<(), MigrateError> {
        let schema = &self.shared.schema;
        self.shared.run(async |connection| migrations::run(connection, schema).await).await?;
        Ok(())
    }

    /// Checks that the database has what this version of the library needs.
    ///
    /// # Errors
    /// Migrations are missing, or a newer library has applied a breaking one.
    pub async fn check(&self) -> Result<(), MigrateError> {
        let schema = &self.shared.schema;
        self.shared.run(async |connection| migrations::status(connection, schema).await).await?.check(schema)
    }

    /// The pool that was given.
    #[must_use]
    pub fn pool(&self) -> &PgPool {
        &self.shared.pool
    }

    /// The schema of the tables.
    #[must_use]
    pub fn schema(&self) -> &Schema {
        &self.shared.schema
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

impl fmt::Debug for PgQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PgQueue").field("schema", &self.shared.schema).finish_non_exhaustive()
    }
}

/// Brings a database up to date in the schema `public`. Two at once wait for each other.
///
/// # Errors
/// See [`MigrateError`].
pub async fn migrate(pool: &PgPool) -> Result<(), MigrateError> {
    PgQueue::new(pool.clone()).migrate().await
}

/// Settings of a [`PgQueue`] beyond its pool.
///
/// ```no_run
/// # fn example(pool: sqlx::PgPool) -> Result<(), Box<dyn std::error::Error>> {
/// let mgr = pg_queue_client::PgQueue::builder()
///     .schema("jobs")?
///     .listener_url("postgres://app@db.internal:5432/app")?
///     .build(pool);
/// # Ok(())
/// # }
/// ```
#[derive(Default, Clone)]
pub struct PgQueueBuilder {
    schema: Schema,
    listener: Option<PgConnectOptions>,
    tracer: Option<Tracer>,
    commit: Commit,
    pooled: bool,
}

impl PgQueueBuilder {
    /// The schema that holds the tables. Default: `public`.
    ///
    /// # Errors
    /// It is not a name that can be used: see [`Schema`].
    pub fn schema(mut self, schema: &str) -> Result<Self, InvalidSchema> {
        self.schema = Schema::new(schema)?;
        Ok(self)
    }

    /// The pool goes through a pooler that hands out server connections by transaction: PgBouncer with `pool_mode = transaction`,
    /// and others like it. Then every statement of the library is sent in a transaction, without a name for what is prepared,
    /// and without settings or locks of a session. Elsewhere that only costs round trips: four for a statement instead of one.
    ///
    /// PgBouncer has to be told `ignore_startup_parameters = extra_float_digits`, which every pool of sqlx sends. Give a
    /// [`listener_url`](Self::listener_url) that goes past the pooler: through it nobody hears a notification. Without one,
    /// workers find jobs by polling, once a second when there are none; cancels, pauses and changed schedules are heeded after the
    /// next heartbeat; a request's caller looks for the reply twice a second; and [`create_listener`](PgQueue::create_listener) and
    /// [`topics.subscribe`](crate::topics::Topics::subscribe) answer [`ListenError::Unheard`]. The log says so once.
    ///
    /// In a transaction of the application's own, enqueue by [`on`](PgQueue::on): what takes a bare connection
    /// (`job.enqueue(&mut *tx)`) does not know of the pooler. And the application's own statements through such a pool are its own
    /// affair: in sqlx, `.persistent(false)` inside of a transaction.
    ///
    /// ```no_run
    /// # fn example(pool: sqlx::PgPool) -> Result<(), Box<dyn std::error::Error>> {
    /// let mgr = pg_queue_client::PgQueue::builder()
    ///     .transaction_pooler()
    ///     .listener_url("postgres://app@db.internal:5432/app")?
    ///     .build(pool);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn transaction_pooler(mut self) -> Self {
        self.pooled = true;
        self
    }

    /// Where to open the listener connection. Default: like the pool's. Needed when the pool goes through a
    /// [`transaction_pooler`](Self::transaction_pooler), on which LISTEN does not work.
    ///
    /// # Errors
    /// The URL cannot be read. The error does not repeat it, since it may hold a password.
    pub fn listener_url(mut self, url: &str) -> Result<Self, ConfigError> {
        self.listener = Some(options(url)?);
        Ok(self)
    }

    /// How to find out where the caller of an enqueuing method is in a distributed trace: every job that is enqueued through
    /// the handle carries it, and its handler can go on from there. Called once for each call, in the caller's task.
    ///
    /// With `tracing-opentelemetry`, inject `Span::current().context()` by a `TraceContextPropagator` into a map, and make the
    /// [`TraceContext`] of what it wrote under `traceparent`.
    #[must_use]
    pub fn trace_context(mut self, find: impl Fn() -> Option<TraceContext> + Send + Sync + 'static) -> Self {
        self.tracer = Some(Arc::new(find));
        self
    }

    /// Lets enqueuing through the pool be quick at the risk of the last jobs: it no longer waits until the disk has them, and
    /// what was answered in the last moments before a crash of the server is lost then (up to three times its
    /// `wal_writer_delay`, which is 0.6 s unless somebody has set it). Default: nothing that was answered is lost.
    ///
    /// Not for what goes into a transaction of yours, nor for jobs with a unique key, nor for messages that become jobs: those are
    /// committed as ever, and so is everything else that the pool's connections do.
    #[must_use]
    pub fn lose_jobs_on_crash(mut self) -> Self {
        self.commit = Commit::LoseOnCrash;
        self
    }

    /// Wraps the pool. Sends nothing to the server.
    #[must_use]
    pub fn build(self, pool: PgPool) -> PgQueue {
        let schema = if self.pooled { self.schema.pooled() } else { self.schema };
        let hub = Hub::new(Address::new(pool.clone(), self.listener, schema.clone()));
        let shared = Arc::new(Shared::new(pool, schema, hub, self.tracer, self.commit));
        PgQueue {
            queue: Queue::new(Arc::clone(&shared)),
            history: History::new(Arc::clone(&shared)),
            notify: Notifier::new(Arc::clone(&shared)),
            cache: Cache::new(Arc::clone(&shared)),
            request_response: RequestResponse::new(Arc::clone(&shared)),
            topics: Topics::new(Arc::clone(&shared)),
            logs: Logs::new(Arc::clone(&shared)),
            #[cfg(feature = "cron")]
            schedules: Schedules::new(Arc::clone(&shared)),
            shared,
        }
    }
}

/// Shows no URL: it may hold a password.
impl fmt::Debug for PgQueueBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PgQueueBuilder").field("schema", &self.schema).finish_non_exhaustive()
    }
}

/// sqlx does not look at the scheme, and would take `https://..` for a database.
fn options(url: &str) -> Result<PgConnectOptions, ConfigError> {
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err(ConfigError);
    }
    url.parse().map_err(|_| ConfigError)
}

/// A URL that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the URL cannot be read: it should look like postgres://user:password@host:5432/database")]
pub struct ConfigError;
