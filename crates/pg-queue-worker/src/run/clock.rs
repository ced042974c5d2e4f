//! Time that goes on while the machine sleeps.

use std::time::Duration;

/// A moment on this machine's boot clock. Unlike `Instant` on Linux it counts the time in suspend: a laptop that wakes
/// must know that its leases have run out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment(Duration);

impl Moment {
    pub(super) fn elapsed(self) -> Duration {
        now().since(self)
    }

    /// How long after `earlier` this is; nothing when it is before that.
    pub(super) fn since(self, earlier: Moment) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

#[cfg(test)]
impl std::ops::Add<Duration> for Moment {
    type Output = Moment;

    fn add(self, time: Duration) -> Moment {
        Moment(self.0 + time)
    }
}

#[cfg(target_os = "linux")]
pub(super) fn now() -> Moment {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
    Moment(Duration::new(seconds, nanos))
}

/// Elsewhere the monotonic clock has to do; on macOS and Windows it goes on in suspend or stops with all timers alike.
#[cfg(not(target_os = "linux"))]
pub(super) fn now() -> Moment {
    use std::{sync::LazyLock, time::Instant};
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    Moment(START.elapsed())
}

/// A worker's name for people.
pub(super) fn host_and_process() -> String {
    #[cfg(unix)]
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    #[cfg(not(unix))]
    let host = std::env::var("COMPUTERNAME").unwrap_or_else(|_| "unknown".to_owned());
    format!("{host}:{}", std::process::id())
}
