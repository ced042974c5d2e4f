//! The worker pool of pg-queue: handlers by type, retries by policy, leases that are never held by two.
//!
//! Most users want the crate `pg-queue`, which re-exports this.
#![forbid(unsafe_code)]

mod builder;
mod context;
mod events;
mod handle;
mod handler;
mod job_info;
mod middleware;
mod queue_options;
mod registry;
mod responder;
mod run;
#[cfg(feature = "testing")]
pub mod testing;

pub use self::{
    builder::{BuildError, Worker, WorkerBuilder},
    context::{Context, OutputError},
    events::{Event, EventJob, Events},
    handle::WorkerHandle,
    handler::{Failure, Handler, Outcome, Panicked, TransactionHandler},
    job_info::JobInfo,
    middleware::{Middleware, Next},
    queue_options::QueueOptions,
    responder::Responder,
    run::{RunError, Summary},
};
