//! How long a failed job waits for its next attempt.

use std::time::Duration;

/// The waiting time between a failed attempt and the next one, before jitter.
///
/// ```
/// use std::time::Duration;
/// use pg_queue_core::Backoff;
///
/// let backoff = Backoff::Exponential { base: Duration::from_secs(1), max: Duration::from_secs(60) };
/// assert_eq!(backoff.delay(1), Duration::from_secs(1));
/// assert_eq!(backoff.delay(4), Duration::from_secs(8));
/// assert_eq!(backoff.delay(30), Duration::from_secs(60));
/// ```
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Backoff {
    /// The same delay after every attempt.
    Constant(Duration),
    /// `base` after the first attempt, twice that after the second, and so on up to `max`.
    Linear {
        /// The delay after the first attempt, and what each further one adds.
        base: Duration,
        /// The longest delay.
        max: Duration,
    },
    /// `base` after the first attempt, doubled by every further one up to `max`.
    Exponential {
        /// The delay after the first attempt.
        base: Duration,
        /// The longest delay.
        max: Duration,
    },
    /// What a function says of the number of the attempt that has failed; the first is 1.
    Function(fn(attempt: u16) -> Duration),
}

impl Backoff {
    /// One second, doubled by each attempt, at most an hour.
    pub const DEFAULT: Self = Self::Exponential { base: Duration::from_secs(1), max: Duration::from_secs(3600) };

    /// The part of a delay by which [`jittered`](Self::jittered) may shorten or lengthen it.
    pub const JITTER: f64 = 0.1;

    /// The delay after attempt number `attempt` (the first is 1) has failed, without jitter.
    #[must_use]
    pub fn delay(&self, attempt: u16) -> Duration {
        let attempt = u32::from(attempt.max(1));
        match *self {
            Self::Constant(delay) => delay,
            Self::Linear { base, max } => base.saturating_mul(attempt).min(max),
            Self::Exponential { base, max } => {
                let factor = 2_u32.checked_pow(attempt - 1).unwrap_or(u32::MAX);
                base.saturating_mul(factor).min(max)
            }
            Self::Function(delay) => delay(u16::try_from(attempt).unwrap_or(u16::MAX)),
        }
    }

    /// The same delay, shortened or lengthened at random by up to a tenth, so that jobs that failed together do not
    /// all come back together.
    #[must_use]
    pub fn jittered(&self, attempt: u16) -> Duration {
        let factor = 1.0 + Self::JITTER * (2.0 * rand::random::<f64>() - 1.0);
        // Capped first: a delay near Duration::MAX would panic when it is multiplied.
        self.delay(attempt).min(LONGEST).mul_f64(factor)
    }
}

/// A hundred years: longer than any honest delay, and far from where timestamps overflow.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Two functions are equal when they are at the same address; the compiler may give one to two of them, or two to one.
impl PartialEq for Backoff {
    fn eq(&self, other: &Self) -> bool {
        match (*self, *other) {
            (Self::Constant(one), Self::Constant(other)) => one == other,
            (Self::Linear { base, max }, Self::Linear { base: other, max: longest })
            | (Self::Exponential { base, max }, Self::Exponential { base: other, max: longest }) => {
                (base, max) == (other, longest)
            }
            (Self::Function(one), Self::Function(other)) => std::ptr::fn_addr_eq(one, other),
            _ => false,
        }
    }
}

impl Eq for Backoff {}

impl Default for Backoff {
    fn default() -> Self {
        Self::DEFAULT
    }
}
