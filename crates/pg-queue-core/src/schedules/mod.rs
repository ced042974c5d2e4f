//! Schedules: jobs that are made by themselves. One verb a file.
//!
//! What a cron expression means is the client's; here are times.

mod delete;
mod due;
mod fire;
mod list;
mod new_schedule;
mod now;
mod pause;
mod put;
mod run_now;
mod stored_schedule;
mod undeclare;
mod until_next;

pub use self::{
    delete::delete,
    due::{DueSchedule, due},
    fire::fire,
    list::{get, list},
    new_schedule::{InvalidSchedule, MAX_CATCH_UP, MAX_SCHEDULE_NAME_BYTES, NewSchedule},
    now::now,
    pause::{pause, resume},
    put::put,
    run_now::run_now,
    stored_schedule::StoredSchedule,
    undeclare::undeclare,
    until_next::until_next,
};
