//! One clock for all processes of the machine: what one of them notes can be compared with what another one notes.

use std::{fmt, str::FromStr, time::Duration};

use rustix::time::{ClockId, clock_gettime};

/// A moment on the machine's clock since its start, to the nanosecond.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment(pub(super) u64);

/// The clock by which the library's workers judge, too: it goes on in suspend.
#[cfg(target_os = "linux")]
const CLOCK: ClockId = ClockId::Boottime;
#[cfg(not(target_os = "linux"))]
const CLOCK: ClockId = ClockId::Monotonic;

impl Moment {
    pub(super) fn now() -> Moment {
        let time = clock_gettime(CLOCK);
        let part = |number: i64| u64::try_from(number).unwrap_or_default();
        Moment(part(time.tv_sec) * 1_000_000_000 + part(time.tv_nsec))
    }

    /// How long after `earlier` it is; nothing, if it is before.
    pub(super) fn since(self, earlier: Moment) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    pub(super) fn plus(self, duration: Duration) -> Moment {
        Moment(self.0.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Moment {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Moment, Self::Err> {
        text.parse().map(Moment)
    }
}
