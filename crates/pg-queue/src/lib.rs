//! Jobs, pub/sub, a cache and request-response on the PostgreSQL that an application already runs.
//!
//! ```no_run
//! use pg_queue::{Context, Failure, Handler, Job, Outcome, PgQueue, QueueName, Worker};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize, Job)]
//! #[job(queue = "emails")]
//! struct SendEmail {
//!     to: String,
//! }
//!
//! struct App;
//!
//! impl Handler<App> for SendEmail {
//!     async fn run(self, ctx: Context<App>) -> Result<Outcome, Failure> {
//!         println!("attempt {} to reach {}", ctx.attempt(), self.to);
//!         Ok(Outcome::Complete)
//!     }
//! }
//!
//! # async fn example(pool: sqlx::PgPool, ctrl_c: impl Future) -> Result<(), Box<dyn std::error::Error>> {
//! let mgr = PgQueue::new(pool);
//! mgr.migrate().await?;
//! mgr.queue.create(&QueueName::new("emails")?).await?;
//! SendEmail { to: "ada@example.com".into() }.enqueue(&mgr).await?;
//! Worker::builder().register::<SendEmail>().build(&mgr, App)?.run_until(ctrl_c).await?;
//! # Ok(())
//! # }
//! ```
//!
//! - [`PgQueue`] is the handle: [`queue`](PgQueue::queue) (jobs by hand), [`notify`](PgQueue::notify) and
//!   [`create_listener`](PgQueue::create_listener), [`topics`](PgQueue::topics), [`cache`](PgQueue::cache),
//!   [`request_response`](PgQueue::request_response).
//! - [`Job`] is derived on payloads; [`Handler`] runs them; [`Worker`] puts both to work.
//! - [`migrate`] brings a database up to date; [`migrations`] has the parts of it.
//!
//! Without the default feature `worker`, this crate enqueues, and compiles no worker. The feature `cron`, which that one brings
//! along, has schedules: the field `schedules` of [`PgQueue`]. With the feature `testing`, which belongs among the
//! `dev-dependencies`, there is a module of that name for an application's own tests.
#![forbid(unsafe_code)]

#[cfg(feature = "testing")]
pub mod testing;

/// The name under which the project first promised [`PgQueue`].
pub use pg_queue_client::PgQueue as PgQueueManager;
pub use pg_queue_client::{
    Cache, CacheKey, CacheStatistics, Call, CallError, CallFuture, CancelOutcome, Cancelled, ConfigError,
    DEFAULT_LEASE, GetOrSetError, History, Housekeeping, ListenError, Listener, LoadOptions, LocalTier, Lock, LockLost,
    Notification, Notifier, On, PgQueue, PgQueueBuilder, PopError, PoppedJob, Queue, RecvError, RenewError,
    RequestResponse, Retried, RetryOutcome, SettingError, TidiedUp, TimeLeft, UndecodableJob, Versioned, migrate,
};
#[cfg(feature = "cron")]
pub use pg_queue_client::{
    FiredSchedule, InvalidCron, NotFired, NotFiredReason, PutScheduleError, Schedule, ScheduleError, Schedules,
    next_times,
};
/// Messages to whoever is subscribed, into queues that are bound, and into logs.
pub use pg_queue_client::{logs, topics};
#[cfg(feature = "cron")]
pub use pg_queue_core::schedules::{InvalidSchedule, StoredSchedule};
pub use pg_queue_core::{
    AttemptError, Backoff, Cron, DEFAULT_CALL_TIMEOUT, DatabaseError, DecodeError, Enqueue, EnqueueMany, Enqueuer,
    Failed, Inbox, InvalidPriority, InvalidQueueName, InvalidSchema, InvalidTraceContext, Job, JobFilter, JobId,
    JobState, LeaseLost, LeasedJobId, Missed, OnConflict, Priority, PushOptions, PushOutcome, QueueError, QueueName,
    Request, RequestId, Schema, TraceContext, Unique, UniqueScope, UniqueUntil, WorkerId,
    cache::{
        Allowed, CacheError, Expiry, InvalidLimit, InvalidNamespace, InvalidTtl, LockError, PrefixTooLong, Ttl, Version,
    },
    history::{Edit, FinishedJob, FinishedState, HistoryFilter},
    jobs::{LeaseError, NewJob, PushError, QueueStats, StoredJob},
    migrate as migrations,
    queues::{QueueDdlError, QueueSettings},
    replies::StoreReplyError,
    topics::NotifyError,
};
#[cfg(feature = "worker")]
pub use pg_queue_worker::{
    BuildError, Context, Event, EventJob, Events, Failure, Handler, JobInfo, Middleware, Next, Outcome, OutputError,
    Panicked, QueueOptions, Responder, RunError, Summary, TransactionHandler, Worker, WorkerBuilder, WorkerHandle,
};

/// Not for applications: see `cargo xtask chaos --without`.
#[cfg(pg_queue_sabotage)]
#[doc(hidden)]
pub use pg_queue_core::sabotage;

/// What the README promises works when pasted.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;

/// And what the derives' documentation shows.
#[cfg(doctest)]
#[doc = include_str!("../../pg-queue-derive/src/job.md")]
struct Derive;

#[cfg(doctest)]
#[doc = include_str!("../../pg-queue-derive/src/request.md")]
struct DeriveRequest;
