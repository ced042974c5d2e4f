//! What users' tests need beyond what users need: a clock to move, all jobs of a type, one job by its id. Only with the feature
//! `testing`.

mod clock;
mod next_scheduled;
mod take;
mod unfinished;

pub use self::{
    clock::{advance_clock, install_clock, now, remove_clock, set_clock},
    next_scheduled::next_scheduled,
    take::take,
    unfinished::{QueuedJob, other_kinds, unfinished},
};
