//! What a worker does, as it happens.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::Stream;
use pg_queue_core::{JobId, LeasedJobId, QueueName};
use tokio::sync::broadcast;
use tokio_stream::wrappers::{BroadcastStream, errors::BroadcastStreamRecvError};

/// How many events wait for a listener that is slow.
const BUFFER: usize = 4096;

/// Something that a worker did, or that happened to it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// An attempt at a job began.
    Started(EventJob),
    /// A job was completed.
    Completed {
        /// Which.
        job: EventJob,
        /// How long the attempt took.
        took: Duration,
    },
    /// An attempt failed, and the job waits for the next one.
    Retried {
        /// Which.
        job: EventJob,
        /// What went wrong.
        error: String,
        /// How long it waits.
        delay: Duration,
        /// How long the attempt took.
        took: Duration,
    },
    /// A job was discarded.
    Discarded {
        /// Which.
        job: EventJob,
        /// What went wrong.
        error: String,
        /// How long the attempt took.
        took: Duration,
    },
    /// A job that ran was cancelled.
    Cancelled {
        /// Which.
        job: EventJob,
        /// How long the attempt took.
        took: Duration,
    },
    /// A request was not begun, because nobody waited for it any longer.
    Expired(EventJob),
    /// A job was put off by its handler.
    Snoozed {
        /// Which.
        job: EventJob,
        /// For how long.
        delay: Duration,
    },
    /// A job was given back unfinished, because the worker shuts down.
    Released(EventJob),
    /// The end of an attempt did not count any more: somebody else has the job, or has run it.
    LeaseLost(EventJob),
    /// Jobs were taken from dead workers, and wait again or are in the history.
    Rescued {
        /// The queue.
        queue: QueueName,
        /// Which.
        jobs: Vec<JobId>,
    },
    /// The worker cannot reach the database: it begins no jobs, and its handlers are about to be cancelled.
    OutOfContact,
    /// It reaches the database again.
    InContact,
    /// Others have declared the worker dead. It goes on under a new id.
    DeclaredDead,
    /// The listener was too slow: so many events were left out.
    Lagged(u64),
}

#[cfg(feature = "testing")]
impl Event {
    /// The one job that it is about.
    pub(crate) fn job(&self) -> Option<&EventJob> {
        match self {
            Self::Started(job)
            | Self::Completed { job, .. }
            | Self::Retried { job, .. }
            | Self::Discarded { job, .. }
            | Self::Cancelled { job, .. }
            | Self::Snoozed { job, .. }
            | Self::Expired(job)
            | Self::Released(job)
            | Self::LeaseLost(job) => Some(job),
            Self::Rescued { .. } | Self::OutOfContact | Self::InContact | Self::DeclaredDead | Self::Lagged(_) => None,
        }
    }
}

/// A job that an event is about.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EventJob {
    /// Its id.
    pub id: JobId,
    /// Its queue.
    pub queue: QueueName,
    /// What type of job it is.
    pub kind: String,
    /// Which attempt; the first is 1.
    pub attempt: u16,
}

impl EventJob {
    pub(crate) fn new(id: LeasedJobId, queue: &QueueName, kind: &str) -> Self {
        Self { id: id.job_id(), queue: queue.clone(), kind: kind.to_owned(), attempt: id.attempt() }
    }
}

/// A stream of a worker's events, from [`Worker::events`](crate::Worker::events). It ends with the worker.
///
/// It holds up to 4,096 events that were not yet taken; then the oldest are left out, and it says how many.
#[derive(Debug)]
pub struct Events(BroadcastStream<Event>);

impl Stream for Events {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event>> {
        Pin::new(&mut self.0).poll_next(context).map(|next| {
            next.map(|event| event.unwrap_or_else(|BroadcastStreamRecvError::Lagged(count)| Event::Lagged(count)))
        })
    }
}

/// Where events are told.
#[derive(Debug, Clone)]
pub(crate) struct Teller(broadcast::Sender<Event>);

impl Default for Teller {
    fn default() -> Self {
        Self(broadcast::channel(BUFFER).0)
    }
}

impl Teller {
    pub(crate) fn listen(&self) -> Events {
        Events(BroadcastStream::new(self.0.subscribe()))
    }

    /// The same, for who takes them as they are told.
    #[cfg(feature = "testing")]
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.0.subscribe()
    }

    /// Tells an event, which is put together only if somebody listens.
    pub(crate) fn tell(&self, event: impl FnOnce() -> Event) {
        if self.0.receiver_count() > 0 {
            // The last listener may just have gone away.
            drop(self.0.send(event()));
        }
    }
}
