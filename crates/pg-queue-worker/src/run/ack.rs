//! What is to be told about an attempt that has ended.

use std::time::Duration;

use pg_queue_core::LeasedJobId;
use tokio::sync::mpsc;

/// How an attempt ended.
#[derive(Debug)]
pub(super) struct Ack {
    /// Which of the worker's queues.
    pub(super) table: usize,
    pub(super) id: LeasedJobId,
    pub(super) verdict: Verdict,
    /// The handler completed the job in a transaction of its own. The verdict is for the case that this was not
    /// committed: then the job is still there.
    pub(super) completed_in: bool,
}

/// What becomes of a job.
#[derive(Debug, Clone)]
pub(super) enum Verdict {
    Complete,
    Fail {
        error: String,
        delay: Duration,
        discard: bool,
    },
    Snooze(Duration),
    /// Back as if it had not been claimed.
    Release,
}

/// The statements that acknowledgements need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verb {
    Complete,
    Fail,
    Release,
}

impl Verdict {
    pub(super) fn verb(&self) -> Verb {
        match self {
            Self::Complete => Verb::Complete,
            Self::Fail { .. } => Verb::Fail,
            Self::Snooze(_) | Self::Release => Verb::Release,
        }
    }
}

/// Sends an acknowledgement; the receiver ends only after all senders.
pub(super) fn acknowledge(acks: &mpsc::UnboundedSender<Ack>, ack: Ack) {
    if acks.send(ack).is_err() {
        tracing::warn!("an acknowledgement was lost: its receiver has ended; the job will be rescued");
    }
}
