#![cfg_attr(feature = "worker", doc = include_str!("testing.md"))]
#![cfg_attr(not(feature = "worker"), doc = "For the tests of an application that only enqueues.")]

pub use pg_queue_client::testing::{
    Clock, ClockError, Enqueued, Look, LookError, assert_enqueued, enqueued, refute_enqueued,
};
#[cfg(feature = "worker")]
pub use pg_queue_worker::testing::{
    Drain, DrainError, Ended, InlineError, JobError, Progress, Ran, Report, RunJob, RunJobError, TakeError, drain, run,
    run_transactional,
};
