//! What a process may do that cannot know better.
//!
//! A process that is stopped past its lease does not know that when it goes on: its threads go on at once, its handlers
//! where they were, and the thread that judges whether the worker is in contact looks once in a fiftieth of a beat, a tenth
//! of a second at most. Until then handlers may be at work although somebody else runs their jobs; nobody can prevent
//! that, and it is why every write shows its token.
//!
//! So what such a process does within half a second after it went on is no evidence of two live leases: several times as
//! long as it needs, for a machine that is busy. Measured: the last act of a handler whose job ran elsewhere came 4 ms
//! after SIGCONT, on two cores for which seventeen threads competed; its timers are all due by then. A worker that would need
//! longer is not excused, and a cut or an ended connection excuses nothing: such a process has its clock and must have ended
//! its handlers in time.
//!
//! Most often nothing has to be excused: a process that goes on and is heard before anybody has declared it dead has its
//! leases still, and its handlers rightly go on.
//!
//! What this hides: handlers that go on for less than half a second after a stop, for whatever reason.

use std::time::Duration;

use super::Evidence;
use crate::chaos::{clock::Moment, faults::Kind};

/// How long a process may take to notice that it was stopped.
const ALLOWANCE: Duration = Duration::from_millis(500);

impl Evidence {
    /// Whether what this process did at this moment says nothing.
    ///
    /// From the moment before it was stopped: what was noted just before may have been done just after.
    pub(super) fn excuses(&self, process: u32, at: Moment) -> bool {
        self.faults
            .iter()
            .filter(|fault| fault.process == process && fault.what == Kind::Stopped)
            .any(|stop| stop.from <= at && at <= stop.until.plus(ALLOWANCE))
    }
}
