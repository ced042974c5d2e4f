//! Which jobs a schedule makes when its time has come, and when it comes next.

use std::time::{Duration, SystemTime};

use pg_queue_core::{Missed, schedules::DueSchedule};

use super::timetable::{InvalidCron, Timetable};

/// A time that is older was missed: nobody was there. What is younger is late: a worker was busy, or is just starting.
const LATE: Duration = Duration::from_secs(60);

/// What becomes of a schedule whose time has come.
#[doc(hidden)]
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Plan {
    /// The times for which jobs are made, in their order.
    pub times: Vec<SystemTime>,
    /// The first time after the database's now.
    pub next: SystemTime,
}

/// Decides what becomes of a schedule whose time has come. Looks back from now, and only at as many times as are made up for:
/// after a year without workers a schedule of every second costs no more than one of every day.
///
/// # Errors
/// The expression or the zone is not known here: somebody has put it by hand, or with another version of the library.
#[doc(hidden)]
pub fn plan(due: &DueSchedule) -> Result<Plan, InvalidCron> {
    let timetable = Timetable::new(&due.expression, &due.timezone)?;
    let next = timetable.next(due.now)?;
    // The stored time may be none any more, when a zone's rules have changed since.
    let last = timetable.last(due.now).filter(|last| *last >= due.next_at);
    let times = match (due.missed, last) {
        (_, None) => Vec::new(),
        (Missed::Skip, Some(last)) => {
            let missed = due.now.duration_since(last).is_ok_and(|age| age > LATE);
            if missed { Vec::new() } else { vec![last] }
        }
        (Missed::All(most), Some(last)) => {
            let earlier = std::iter::successors(Some(last), |time| timetable.previous(*time));
            let most = usize::try_from(most).unwrap_or(usize::MAX);
            let mut times: Vec<_> = earlier.take_while(|time| *time >= due.next_at).take(most).collect();
            times.reverse();
            times
        }
        // `Once`, and whatever a later version of core may know.
        (_, Some(last)) => vec![last],
    };
    Ok(Plan { times, next })
}
