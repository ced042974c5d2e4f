//! Jobs: one verb a file, each beside its statement.

mod acknowledged;
mod claim;
mod complete;
mod extend;
mod fail;
mod held;
mod lock;
mod new_job;
mod next_due;
mod pending_count;
mod push;
mod push_many;
mod release;
mod rescue;
mod withdraw;

pub use self::{
    acknowledged::Acknowledged,
    claim::{Claimant, ClaimedJob, claim},
    complete::{LeaseError, complete, complete_one},
    extend::extend,
    fail::{FailedAttempt, MAX_ERROR_BYTES, fail},
    held::held,
    lock::lock,
    new_job::{
        MAX_KIND_BYTES, MAX_PAYLOAD_BYTES, MAX_UNIQUE_KEY_BYTES, NewJob, PushError, PushOptions, PushOutcome, RAW_KIND,
    },
    next_due::next_due,
    pending_count::pending_count,
    push::push,
    push_many::push_many,
    release::{Release, release},
    rescue::{Rescued, discard_expired, release_orphans, rescue},
    withdraw::withdraw,
};
use crate::LeasedJobId;

/// Ids and tokens as the two arrays that statements about leases take.
fn split(jobs: &[LeasedJobId]) -> (Vec<i64>, Vec<i64>) {
    jobs.iter().map(|job| (job.id, job.token.0)).unzip()
}
