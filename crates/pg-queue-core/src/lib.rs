//! The SQL primitives of pg-queue: one verb, one function, one statement.
//!
//! Everything here takes an executor, sends its statement and answers. Nothing in this crate spawns a task, sleeps or
//! holds a connection; that is what `pg-queue-client` and `pg-queue-worker` are for. Most users want the crate
//! `pg-queue`, which re-exports what they need.
#![forbid(unsafe_code)]

// The derive writes `::pg_queue::..` or the path given by `crate = ".."`; inside of this crate's own tests and docs that
// path is this name.
extern crate self as pg_queue_core;

pub mod cache;
pub mod history;
pub mod jobs;
pub mod logs;
pub mod migrate;
pub mod queues;
pub mod replies;
pub mod requests;
#[cfg(pg_queue_sabotage)]
pub mod sabotage;
pub mod schedules;
#[cfg(feature = "testing")]
pub mod testing;
pub mod topics;
pub mod workers;

mod backoff;
mod commit;
mod cron;
mod database_error;
mod decode;
mod enqueue;
mod errors;
mod ids;
mod job;
mod priority;
mod queue_name;
mod request;
mod schema;
mod sql;
mod timestamp;
mod trace_context;
mod transaction;
mod tuple_id;

pub use self::{
    backoff::Backoff,
    commit::Commit,
    cron::{Cron, Missed},
    database_error::{DatabaseError, QueueError},
    decode::{DecodeError, from_json},
    enqueue::{Enqueue, EnqueueFuture, EnqueueMany, EnqueueManyFuture, Enqueuer, push_checked, push_many_checked},
    errors::AttemptError,
    ids::{Inbox, JobId, LeaseLost, LeaseToken, LeasedJobId, RequestId, WorkerId},
    job::{DEFAULT_MAX_ATTEMPTS, DEFAULT_TIMEOUT, Job},
    jobs::{JobFilter, JobState, OnConflict, PushError, PushOptions, PushOutcome, Unique, UniqueScope, UniqueUntil},
    priority::{InvalidPriority, Priority},
    queue_name::{InvalidQueueName, QueueName, QueueTable},
    request::{DEFAULT_CALL_TIMEOUT, Failed, Request},
    schema::{InvalidSchema, Schema},
    sql::{BEGIN, BEGIN_PINNED, BEGIN_PINNED_PATIENT, PIN_PLANS, filled, filled_for_log},
    trace_context::{InvalidTraceContext, TraceContext},
    transaction::{in_transaction, in_transaction_of_pool},
    tuple_id::TupleId,
};
pub use pg_queue_derive::{Job, Request};
