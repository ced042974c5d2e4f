//! Up to where a claimer has come, so that its next claim need not walk over what it has claimed before.

use std::time::SystemTime;

use super::ClaimedJob;
use crate::{Priority, timestamp::database_micros};

/// For each priority the place of the last job that was claimed there. Only a hint: what turns up below it (committed late,
/// given back, rescued) is found by a sweep.
///
/// A place is (`run_at`, `id`): one bulk of jobs has one `run_at`, and a claimer would be none the wiser in the midst of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Floors {
    places: [Option<Place>; PRIORITIES],
    /// How often a sweep has moved one back. What a claim says that began before that is out of date.
    moved_back: u64,
}

const PRIORITIES: usize = Priority::LOWEST.get() as usize + 1;

/// Microseconds since 2000, and an id.
type Place = (i64, i64);

/// Where a claim looks.
#[derive(Debug, Clone, Copy)]
pub enum Reach<'f> {
    /// Everywhere.
    All,
    /// From the floors on.
    Above(&'f Floors),
    /// Everywhere, unless another one sweeps the queue at this moment; then from the floors on.
    Sweep(&'f Floors),
}

impl Floors {
    /// Takes what a claim of at most `limit` jobs found, in the order in which it answers them.
    ///
    /// What was claimed from the floors on raises them. A sweep does not, except where it left nothing behind: when it was
    /// full, there are more in the last priority that it came to, and its floor moves back to there.
    pub fn learn(&mut self, reach: Reach<'_>, limit: u32, jobs: &[ClaimedJob]) {
        let (began, sweep) = match reach {
            Reach::All => return,
            Reach::Above(began) => (began, false),
            Reach::Sweep(began) => (began, true),
        };
        if began.moved_back != self.moved_back {
            return;
        }
        let full = u32::try_from(jobs.len()).is_ok_and(|count| count >= limit);
        let reached = jobs.last().map(|job| job.priority);
        for of_priority in jobs.chunk_by(|one, other| one.priority == other.priority) {
            let Some(last) = of_priority.last() else { continue };
            let floor = &mut self.places[usize::from(last.priority.get())];
            let place = place(last);
            let left_some = full && reached == Some(last.priority);
            if sweep && left_some && place < *floor {
                self.moved_back += 1;
            }
            *floor = if sweep && !left_some { place.max(*floor) } else { place };
        }
    }

    /// Whether one of these jobs was below them.
    pub fn are_above_any(&self, jobs: &[ClaimedJob]) -> bool {
        jobs.iter().any(|job| place(job) < self.places[usize::from(job.priority.get())])
    }

    /// As the two arrays that `claim.sql` takes.
    pub(super) fn columns(&self) -> (Vec<Option<i64>>, Vec<Option<i64>>) {
        self.places.iter().map(|place| place.map(|(run_at, id)| (Some(run_at), Some(id))).unwrap_or_default()).unzip()
    }
}

/// `None` for a time that no clock has shown: below everything.
fn place(job: &ClaimedJob) -> Option<Place> {
    let since_1970 = job.run_at.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some((database_micros(since_1970), job.id.id))
}
