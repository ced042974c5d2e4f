//! How long a value lives.

use std::time::Duration;

/// A time to live: a number of seconds, or a [`Duration`].
///
/// ```
/// use std::time::Duration;
/// use pg_queue_core::cache::Ttl;
/// assert_eq!(Ttl::from(300), Ttl::from(Duration::from_secs(300)));
/// ```
// From `u64` alone among the integers: a second one would make a bare literal ambiguous.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ttl(Duration);

/// The longest time to live: ten years. More than that is a mistake in the unit.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

impl Ttl {
    /// The time, if it can be used: more than nothing, at most ten years.
    ///
    /// # Errors
    /// It is out of this range.
    pub fn checked(self) -> Result<Duration, InvalidTtl> {
        if self.0.is_zero() || self.0 > LONGEST { Err(InvalidTtl(self.0)) } else { Ok(self.0) }
    }
}

impl From<u64> for Ttl {
    fn from(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }
}

impl From<Duration> for Ttl {
    fn from(duration: Duration) -> Self {
        Self(duration)
    }
}

/// A time to live that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("invalid time to live {0:?}: more than zero and at most ten years")]
pub struct InvalidTtl(Duration);
