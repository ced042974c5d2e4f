//! For the tests of an application: looking at what it has enqueued, and moving the jobs' time. Only with the feature
//! `testing`.

mod assert;
mod clock;
mod enqueued;
mod look;
#[doc(hidden)]
pub mod wanted;

#[doc(hidden)]
pub use self::look::Looked;
pub use self::{
    clock::{Clock, ClockError},
    enqueued::{Enqueued, LookError, enqueued},
    look::Look,
};
pub use crate::{assert_enqueued, refute_enqueued};
