//! When jobs are made by themselves: what a type or a schedule says of it. Reading the expressions is the client's.

/// When jobs of a type are made by themselves.
///
/// ```
/// use pg_queue_core::{Cron, Missed};
///
/// const EVERY_MORNING: Cron = Cron::new("0 9 * * mon-fri").timezone("Europe/Vienna").missed(Missed::Skip);
/// assert_eq!(EVERY_MORNING.timezone, "Europe/Vienna");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cron {
    /// Minute, hour, day of the month, month, day of the week; with seconds before them if there are six.
    pub expression: &'static str,
    /// The IANA name of the zone whose clock is meant. Default: `UTC`.
    pub timezone: &'static str,
    /// What becomes of the times at which no worker was there. Default: [`Missed::Once`].
    pub missed: Missed,
}

impl Cron {
    /// By this expression, in UTC.
    #[must_use]
    pub const fn new(expression: &'static str) -> Self {
        Self { expression, timezone: "UTC", missed: Missed::Once }
    }

    /// By the clock of this zone.
    #[must_use]
    pub const fn timezone(mut self, timezone: &'static str) -> Self {
        self.timezone = timezone;
        self
    }

    /// What becomes of the times at which no worker was there.
    #[must_use]
    pub const fn missed(mut self, missed: Missed) -> Self {
        self.missed = missed;
        self
    }
}

/// What becomes of the times of a schedule at which no worker was there to make its job. A time that is up to a minute old
/// is not missed, only late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Missed {
    /// Nothing: the next job is that of the next time.
    Skip,
    /// One job, for the last of them.
    Once,
    /// A job for each of them, but only for the last so many. At least 1, at most 10,000.
    All(u32),
}

impl Missed {
    /// How many are made up for with `All`, unless another number is given.
    pub const DEFAULT_MOST: u32 = 100;
}
