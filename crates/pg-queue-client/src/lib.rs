//! What one process needs around pg-queue's primitives.
//!
//! [`PgQueue`] is the handle: it wraps the application's pool and offers the queue, notifications, the cache and
//! request-response. All of its clones share one supervised listener connection, which is opened when somebody first
//! listens. Most users want the crate `pg-queue`, which re-exports this.
#![forbid(unsafe_code)]

mod alarm;
mod at_hand;
mod batches;
mod bells;
mod cache;
mod connection;
mod history;
mod link;
mod listener;
pub mod logs;
mod missing;
mod notify;
mod on;
mod pg_queue;
mod publisher;
mod queue;
mod request_response;
#[cfg(feature = "cron")]
mod schedules;
mod shared;
#[cfg(feature = "testing")]
pub mod testing;
pub mod topics;

#[cfg(feature = "cron")]
pub use self::schedules::{
    FiredSchedule, InvalidCron, NotFired, NotFiredReason, Plan, PreparedSchedule, PutScheduleError, Schedule,
    ScheduleError, Schedules, next_times, plan,
};
pub use self::{
    cache::{
        Cache, CacheKey, CacheStatistics, GetOrSetError, Housekeeping, LoadOptions, LocalTier, Lock, LockLost,
        RenewError, TidiedUp, TimeLeft, Versioned,
    },
    history::{History, Retried},
    listener::{ListenError, Listener, Notification, RecvError},
    notify::Notifier,
    on::On,
    pg_queue::{ConfigError, PgQueue, PgQueueBuilder, migrate},
    queue::{
        CancelOutcome, Cancelled, DEFAULT_LEASE, PopError, PoppedJob, Queue, RetryOutcome, SettingError, UndecodableJob,
    },
    request_response::{Call, CallError, CallFuture, RequestResponse},
};
