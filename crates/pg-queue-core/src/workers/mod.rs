//! Worker processes: registration, heartbeats, death, and the wish to be woken.

mod liveness;
mod waiting;

pub use self::{
    liveness::{Observed, Registration, beat, declare_dead, observe, prune, register, retire, timeline},
    waiting::{unwait, wait, wait_for},
};
