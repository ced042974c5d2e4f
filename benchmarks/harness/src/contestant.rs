//! What a queue must be able to do to be measured.

use std::time::Duration;

use anyhow::{Result, bail};
use serde::Serialize;

use crate::{Params, Payload};

/// Who is measured, and how it is set up.
#[derive(Debug, Clone, Default, Serialize)]
pub struct About {
    /// Name and version.
    pub name: String,
    /// The settings that it was given, for people to judge whether they are its best ones.
    pub settings: String,
    /// The call by which many jobs are enqueued; empty when there is none and they are enqueued one by one.
    pub bulk: String,
}

/// Jobs that are enqueued in one call.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Which of the queues, counted from 0.
    pub queue: usize,
    /// The jobs.
    pub jobs: Vec<Payload>,
    /// How much later they are due; at once when this is zero.
    pub delay: Duration,
}

/// A queue, as far as it is put to work here.
///
/// All calls return native futures. Only those that are called from several tasks at once have to be `Send`: the others
/// are awaited on a thread of their own, as `#[tokio::main]` would await them.
pub trait Contestant: Sized + Send + Sync + 'static {
    /// Whether it can be told to spread jobs over several queues.
    const QUEUES: bool = false;
    /// Whether jobs can be due later.
    const DELAYS: bool = false;
    /// Whether [`enqueue_many`](Self::enqueue_many) is there.
    const BULK: bool = true;

    /// A job that was taken by hand.
    type Taken: Send;

    /// Says who it is.
    fn about() -> About;

    /// Makes its tables in an empty database.
    fn setup(url: &str, params: &Params) -> impl Future<Output = Result<()>>;

    /// Connects a producer that enqueues from so many tasks.
    fn open(url: &str, tasks: usize, params: &Params) -> impl Future<Output = Result<Self>>;

    /// Enqueues one job; `task` is the one that calls, counted from 0.
    fn enqueue(&self, task: usize, job: Payload) -> impl Future<Output = Result<()>> + Send;

    /// Enqueues many jobs in one call.
    fn enqueue_many(&self, batch: Batch) -> impl Future<Output = Result<()>> + Send {
        let _ = batch;
        async { bail!("it has no call for many jobs") }
    }

    /// Runs one worker whose handlers await [`handle`](crate::handle) or call [`handle_now`](crate::handle_now). Only
    /// returns when something is wrong.
    fn work(url: &str, params: &Params) -> impl Future<Output = Result<()>>;

    /// Takes up to so many jobs by hand.
    fn take(&self, limit: u32) -> impl Future<Output = Result<Vec<(Payload, Self::Taken)>>> {
        let _ = limit;
        async { bail!("it takes no jobs by hand") }
    }

    /// Ends jobs that were taken by hand.
    fn finish(&self, taken: Vec<Self::Taken>) -> impl Future<Output = Result<()>> {
        let _ = taken;
        async { bail!("it takes no jobs by hand") }
    }

    /// How many jobs are not finished, those not counted that are due later.
    fn unfinished(&self) -> impl Future<Output = Result<u64>> + Send;
}
