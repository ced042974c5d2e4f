//! The worker pool of pg-queue: handlers by type, retries by policy, leases that are never held by two.
//!
//! Most users want the crate `pg-queue`, which re-exports this.
#![forbid(unsafe_code)]

mod builder;
mod context;
mod handler;
mod registry;
mod run;

pub use self::{
    builder::{BuildError, Worker, WorkerBuilder},
    context::Context,
    handler::{Failure, Handler, Outcome},
    run::{RunError, Summary},
};
