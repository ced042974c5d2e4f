//! What is to be told about an attempt that has ended.

use std::{sync::Arc, time::Duration};

use pg_queue_core::{
    jobs::{Ending, Kept},
    replies::Reply,
};
use tokio::sync::mpsc;

use crate::job_info::Attempt;

/// How an attempt ended.
#[derive(Debug)]
pub(super) struct Ack {
    pub(super) attempt: Arc<Attempt>,
    pub(super) verdict: Verdict,
    /// How long it took; `None` if it never began.
    pub(super) took: Option<Duration>,
    /// What its caller is told before.
    pub(super) reply: Option<Box<Reply>>,
}

/// Where acknowledgements go.
#[derive(Debug, Clone)]
pub(super) struct Acks {
    acknowledger: mpsc::UnboundedSender<Ack>,
    replier: mpsc::UnboundedSender<Ack>,
}

impl Acks {
    /// Those with a reply go to `replier`, which hands them on, and all others to `acknowledger`.
    pub(super) const fn new(acknowledger: mpsc::UnboundedSender<Ack>, replier: mpsc::UnboundedSender<Ack>) -> Self {
        Self { acknowledger, replier }
    }
}

/// What becomes of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    Complete(Option<Kept>),
    End { ending: Ending, error: Option<String> },
}

/// The statements that acknowledgements need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verb {
    Complete,
    CompleteKept,
    End,
}

impl Verdict {
    /// Back as if it had not been claimed.
    pub(super) const RELEASE: Self = Self::End { ending: Ending::Release(None), error: None };

    pub(super) fn failed(ending: Ending, error: impl Into<String>) -> Self {
        Self::End { ending, error: Some(error.into()) }
    }

    /// How long the job waits then.
    pub(super) fn delay(&self) -> Option<Duration> {
        match self {
            Self::End { ending: Ending::Retry(delay) | Ending::Release(Some(delay)), .. } => Some(*delay),
            _ => None,
        }
    }

    pub(super) fn error(&self) -> Option<&str> {
        match self {
            Self::End { error, .. } => error.as_deref(),
            Self::Complete(_) => None,
        }
    }

    /// How long its output is. Errors are cut by the statement.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Complete(Some(kept)) => kept.output.as_ref().map_or(0, String::len),
            Self::Complete(None) | Self::End { .. } => 0,
        }
    }

    pub(super) fn verb(&self) -> Verb {
        match self {
            Self::Complete(None) => Verb::Complete,
            Self::Complete(Some(_)) => Verb::CompleteKept,
            Self::End { .. } => Verb::End,
        }
    }
}

/// Sends an acknowledgement; the receiver ends only after all senders.
pub(super) fn acknowledge(acks: &Acks, ack: Ack) {
    let way = if ack.reply.is_some() { &acks.replier } else { &acks.acknowledger };
    if way.send(ack).is_err() {
        tracing::warn!("an acknowledgement was lost: its receiver has ended; the job will be rescued");
    }
}
