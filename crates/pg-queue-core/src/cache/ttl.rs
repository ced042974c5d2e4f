//! How long a value lives.

use std::time::{Duration, SystemTime};

use crate::timestamp::{clamped_database_micros, micros};

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

/// When a value expires. A number of seconds and a [`Duration`] stand for [`After`](Self::After).
///
/// ```
/// use std::time::Duration;
/// use pg_queue_core::cache::Expiry;
/// assert_eq!(Expiry::from(300), Expiry::from(Duration::from_secs(300)));
/// assert_ne!(Expiry::from(300), Expiry::sliding(300));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// After this time.
    After(Ttl),
    /// When it was not read for this time. Being read renews it when an eighth of the time has passed since it was renewed
    /// last, so that it lives for seven eighths of this time after a read at least.
    Sliding(Ttl),
    /// At this moment, on the database's clock.
    At(SystemTime),
    /// Not by itself.
    Never,
}

impl Expiry {
    /// After this time without being read.
    #[must_use]
    pub fn sliding(ttl: impl Into<Ttl>) -> Self {
        Self::Sliding(ttl.into())
    }

    /// As the statements have it.
    ///
    /// # Errors
    /// A time to live is out of its range.
    pub(super) fn checked(self) -> Result<Written, InvalidTtl> {
        let none = Written { lives: None, expires: None, slides: None };
        Ok(match self {
            // Less than a microsecond is one: else it would be none.
            Self::After(ttl) => Written { lives: Some(micros(ttl.checked()?).max(1)), ..none },
            Self::Sliding(ttl) => {
                let micros = micros(ttl.checked()?).max(1);
                Written { lives: Some(micros), slides: Some(micros), ..none }
            }
            Self::At(moment) => Written { expires: Some(clamped_database_micros(moment)), ..none },
            Self::Never => none,
        })
    }
}

impl From<Ttl> for Expiry {
    fn from(ttl: Ttl) -> Self {
        Self::After(ttl)
    }
}

// From `u64` alone among the integers, as above.
impl From<u64> for Expiry {
    fn from(seconds: u64) -> Self {
        Self::After(seconds.into())
    }
}

impl From<Duration> for Expiry {
    fn from(duration: Duration) -> Self {
        Self::After(duration.into())
    }
}

/// An expiry in the parameters of a statement.
#[derive(Debug, Clone, Copy)]
pub(super) struct Written {
    /// Microseconds from now on.
    pub(super) lives: Option<i64>,
    /// Microseconds since 2000.
    pub(super) expires: Option<i64>,
    /// Microseconds from each use on.
    pub(super) slides: Option<i64>,
}

/// A time to live that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("invalid time to live {0:?}: more than zero and at most ten years")]
pub struct InvalidTtl(Duration);
