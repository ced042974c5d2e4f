//! Jobs, pub/sub, a cache and request-response on the PostgreSQL that an application already runs.
#![forbid(unsafe_code)]

/// The name under which the project first promised [`PgQueue`].
pub use pg_queue_client::PgQueue as PgQueueManager;
pub use pg_queue_client::{
    Cache, CallError, ConfigError, DEFAULT_LEASE, GetOrSetError, ListenError, Listener, Notification, Notifier, On,
    PgQueue, PgQueueBuilder, PopError, PoppedJob, Queue, RecvError, RequestResponse, UndecodableJob, migrate,
};
pub use pg_queue_core::{
    Backoff, DatabaseError, Enqueue, Enqueuer, Inbox, InvalidPriority, InvalidQueueName, InvalidSchema, Job, JobId,
    LeaseLost, LeasedJobId, Priority, PushOptions, PushOutcome, QueueError, QueueName, RequestId, Schema, WorkerId,
    cache::{CacheError, InvalidTtl, Ttl},
    jobs::{LeaseError, PushError},
    migrate as migrations,
    queues::QueueDdlError,
    replies::StoreReplyError,
    topics::NotifyError,
};
#[cfg(feature = "worker")]
pub use pg_queue_worker::{BuildError, Context, Failure, Handler, Outcome, RunError, Summary, Worker, WorkerBuilder};
