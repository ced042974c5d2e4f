//! Jobs of all types, drawn at random.

use std::time::Duration;

use anyhow::Result;
use pg_queue::{Enqueue, Enqueuer, Job, Priority, QueueName};
use rand::{RngExt, rngs::StdRng};

use super::jobs::{Plain, Quick, Slow, Stubborn, Trouble, Troubled, Whole};

/// How long a slow job takes, in beats: with the default of 5 s that is 0.5 to 8 s.
const SLOW: std::ops::Range<f64> = 0.1..1.6;

/// A job that takes longer than a lease, in beats: such a one is still at work when others take it from a worker that
/// is out of contact and does not know it.
const LONG: std::ops::Range<f64> = 5.0..LONGEST;
pub(super) const LONGEST: f64 = 7.0;

/// How long a job blocks its thread, in beats.
const STUBBORN: std::ops::Range<f64> = 0.1..0.6;

/// After this, the time of one that overruns is up.
const OVERRUN: Duration = Duration::from_millis(500);

/// The queues.
pub(super) fn queues() -> Result<[QueueName; 3]> {
    Ok([QueueName::new(Quick::QUEUE)?, QueueName::new(Slow::QUEUE)?, QueueName::new(Plain::QUEUE)?])
}

/// A job with its number, and where it goes.
pub(super) struct Order {
    pub(super) number: i64,
    pub(super) queue: QueueName,
    priority: Priority,
    delay: Duration,
    what: What,
}

enum What {
    Quick(Quick),
    Whole(Whole),
    Slow(Slow),
    Stubborn(Stubborn),
    Troubled(Troubled),
    Plain(Plain),
}

/// What draws orders.
pub(super) struct Drawer {
    pub(super) random: StdRng,
    beat: Duration,
    queues: [QueueName; 3],
}

impl Drawer {
    pub(super) fn new(random: StdRng, beat: Duration) -> Result<Drawer> {
        Ok(Drawer { random, beat, queues: queues()? })
    }

    /// Any of the queues: every worker serves all of them, and every type may be in any.
    pub(super) fn queue(&mut self) -> QueueName {
        self.queues[self.random.random_range(0..self.queues.len())].clone()
    }

    /// The usual one, or a higher one now and then. No lower ones: such a job waits for all others, and says nothing about a
    /// recovery.
    pub(super) fn priority(&mut self) -> Priority {
        let priority = if self.random.random_bool(0.8) { 5 } else { self.random.random_range(0..5) };
        Priority::new(priority).unwrap_or_default()
    }

    /// Any job.
    pub(super) fn order(&mut self, number: i64) -> Order {
        let what = match self.random.random_range(0..100) {
            0..50 => What::Quick(Quick { number }),
            50..65 => What::Whole(Whole { number }),
            65..78 => What::Plain(Plain { number }),
            78..86 => What::Slow(Slow { number, millis: self.millis(SLOW) }),
            86..92 => What::Stubborn(Stubborn { number, millis: self.millis(STUBBORN) }),
            _ => What::Troubled(Troubled { number, trouble: self.trouble() }),
        };
        let delay = self.random.random_bool(0.1).then(|| Duration::from_millis(self.random.random_range(1..1000)));
        Order { number, queue: self.queue(), priority: self.priority(), delay: delay.unwrap_or_default(), what }
    }

    /// One that takes longer than a lease.
    pub(super) fn long(&mut self, number: i64) -> Order {
        let what = What::Slow(Slow { number, millis: self.millis(LONG) });
        Order { number, queue: self.queue(), priority: self.priority(), delay: Duration::ZERO, what }
    }

    fn millis(&mut self, beats: std::ops::Range<f64>) -> u64 {
        let time = self.beat.mul_f64(self.random.random_range(beats));
        u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
    }

    fn trouble(&mut self) -> Trouble {
        match self.random.random_range(0..10) {
            0..3 => Trouble::Fails,
            3..5 => Trouble::Panics,
            5..7 => Trouble::Snoozes,
            7..9 => Trouble::Overruns,
            _ => Trouble::IsHopeless,
        }
    }
}

impl Order {
    pub(super) fn enqueue<E: Enqueuer>(&self, to: E) -> Enqueue<E> {
        let job = match &self.what {
            What::Quick(job) => job.enqueue(to),
            What::Whole(job) => job.enqueue(to),
            What::Slow(job) => job.enqueue(to),
            What::Stubborn(job) => job.enqueue(to),
            What::Troubled(job) => match job.trouble {
                Trouble::Overruns => job.enqueue(to).timeout(OVERRUN),
                Trouble::IsHopeless => job.enqueue(to).max_attempts(3),
                _ => job.enqueue(to),
            },
            What::Plain(job) => job.enqueue(to),
        };
        let job = job.queue(&self.queue).priority(self.priority);
        // One that snoozes knows by its due time whether it has done so.
        if matches!(self.what, What::Troubled(_)) { job } else { job.delay(self.delay) }
    }
}
