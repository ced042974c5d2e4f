//! Finished jobs that are kept: one verb a file.

mod delete;
mod filter;
mod finished_job;
mod list;
mod maintain;
mod retry;

pub use self::{
    delete::delete,
    filter::HistoryFilter,
    finished_job::{FinishedJob, FinishedState},
    list::{find, get, list},
    maintain::maintain,
    retry::{Edit, retry},
};
