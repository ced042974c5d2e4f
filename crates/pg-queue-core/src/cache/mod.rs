//! The cache: values with a time to live.

mod add;
mod allow;
mod cleanup;
mod error;
mod get;
mod key;
mod load;
mod lock;
mod remove;
mod set;
mod slots;
mod table;
mod tidy;
mod tiers;
mod ttl;
mod value;

pub use self::{
    add::{Addition, add},
    allow::{Allowed, InvalidLimit, Wish, allow},
    cleanup::{cleanup_expired, cleanup_limits, cleanup_part, parts, parts_of_limits},
    error::CacheError,
    get::{get, get_many, slide},
    key::{InvalidNamespace, Key, Namespace, PrefixTooLong, SLOTS},
    load::{LoadToken, Peeked, claim_load, finish_load, peek, release_load, renew_load},
    lock::{LockError, LockHolder, acquire_lock, prune_locks, release_lock, renew_lock},
    remove::{REMOVED_AT_ONCE, Removed, delete, delete_prefix, delete_tagged, take},
    set::{compare_and_swap, set, set_if_absent, set_many, touch},
    slots::{Changed, channel, read_changed},
    table::CacheTable,
    tidy::{Survey, Walk, vacuum},
    tiers::register_tier,
    ttl::{Expiry, InvalidTtl, Ttl},
    value::{Entry, Found, MAX_VALUE_BYTES, Version, decode},
};
