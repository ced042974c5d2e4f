//! Jobs: one verb a file, each beside its statement.

mod acknowledged;
mod cancel;
mod claim;
mod complete;
mod delete;
mod end;
mod extend;
mod filter;
mod floors;
mod fold;
mod hasten;
mod held;
mod list;
mod lock;
mod lock_free;
mod new_job;
mod next_due;
mod options;
mod park;
mod pending_count;
mod progress;
mod prune_unique_keys;
mod push;
mod push_error;
mod push_many;
mod push_outcome;
mod push_unique;
mod rescue;
pub(crate) mod row;
mod stats;
mod unique;

#[cfg(feature = "testing")]
pub(crate) use self::claim::claimed;
pub use self::{
    acknowledged::{Acknowledged, Became},
    cancel::{Cancelling, cancel},
    claim::{Claimant, ClaimedJob, TimeLimit, claim, claim_within},
    complete::{Kept, LeaseError, MAX_OUTPUT_BYTES, complete, complete_at, complete_kept, complete_one},
    delete::delete,
    end::{EndedAttempt, Ending, MAX_ERROR_BYTES, end},
    extend::extend,
    filter::{JobFilter, JobState},
    floors::{Floors, Reach},
    hasten::{hasten, hasten_one},
    held::{Held, held},
    list::{StoredJob, find, get, list},
    lock::lock,
    lock_free::lock_free,
    new_job::{MAX_KIND_BYTES, MAX_PAYLOAD_BYTES, NewJob, RAW_KIND},
    next_due::{next_due, next_due_since},
    options::PushOptions,
    park::{park, unpark},
    pending_count::pending_count,
    progress::{Progress, progress},
    prune_unique_keys::prune_unique_keys,
    push::{push, push_and_commit},
    push_error::PushError,
    push_many::{push_many, push_many_and_commit},
    push_outcome::PushOutcome,
    rescue::{Rescued, discard_expired, release_orphans, rescue},
    stats::{QueueStats, stats},
    unique::{MAX_UNIQUE_KEY_BYTES, OnConflict, Unique, UniqueScope, UniqueUntil},
};
pub(crate) use self::{new_job::to_json, row::checked_attempts};
pub use crate::Commit;
use crate::{JobId, LeasedJobId};

/// Ids and tokens as the two arrays that statements about leases take.
fn split(jobs: &[LeasedJobId]) -> (Vec<i64>, Vec<i64>) {
    jobs.iter().map(|job| (job.id, job.token.0)).unzip()
}

/// Ids as the array that statements about jobs take.
fn numbers(jobs: &[JobId]) -> Vec<i64> {
    jobs.iter().map(|job| job.get()).collect()
}
