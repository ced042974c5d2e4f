//! For the tests of an application: running its jobs in the test's own task. Only with the feature `testing`.

mod drain;
mod inline_error;
mod ran;
mod report;
mod run_job;

pub use pg_queue_core::jobs::Progress;

pub use self::{
    drain::{Drain, DrainError, drain},
    inline_error::InlineError,
    ran::{Ended, Ran},
    report::{JobError, Report},
    run_job::{RunJob, RunJobError, TakeError, run, run_transactional},
};
