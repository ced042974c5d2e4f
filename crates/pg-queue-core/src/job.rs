//! The typed job: a payload that knows its kind, its queue and its policy.

use std::time::Duration;

use serde::{Serialize, de::DeserializeOwned};

use crate::{Backoff, Cron, Enqueue, EnqueueMany, Enqueuer, Priority, PushError, Unique};

/// A payload that can be enqueued by type and handled by type.
///
/// Derive it: `#[derive(Serialize, Deserialize, Job)]`. The attribute `#[job(..)]` sets what the constants below
/// hold; without it the defaults given here apply.
///
/// ```
/// use pg_queue_core::{Backoff, Job};
/// # use pg_queue_core as pg_queue;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize, Job)]
/// #[job(crate = "pg_queue_core", queue = "emails", max_attempts = 5, timeout = "30s", backoff = "exponential(1s, max = 10m)")]
/// struct SendEmail {
///     to: String,
/// }
///
/// assert_eq!(SendEmail::KIND, "send_email");
/// assert_eq!(SendEmail::QUEUE, "emails");
/// assert_eq!(SendEmail::MAX_ATTEMPTS, 5);
/// ```
pub trait Job: Serialize + DeserializeOwned + Send + 'static {
    /// The name under which jobs of this type are stored. Derived: the struct's name in `snake_case`.
    const KIND: &'static str;

    /// Earlier kinds whose stored jobs this type still runs. A renamed struct would orphan them otherwise.
    const ALIASES: &'static [&'static str] = &[];

    /// The queue that [`enqueue`](https://docs.rs/pg-queue) writes to and a worker claims from. Default: `default`.
    const QUEUE: &'static str = "default";

    /// Which due jobs run first: 0 before 9. Default: 5.
    const PRIORITY: Priority = Priority::DEFAULT;

    /// How many attempts a job has before it is discarded, the first one included. Default: 20.
    const MAX_ATTEMPTS: u16 = DEFAULT_MAX_ATTEMPTS;

    /// How long one attempt may run. `None` means without limit. Default: 30 minutes.
    const TIMEOUT: Option<Duration> = Some(DEFAULT_TIMEOUT);

    /// How long a failed attempt waits for the next one. Default: [`Backoff::DEFAULT`].
    const BACKOFF: Backoff = Backoff::DEFAULT;

    /// How long a completed job of this type is kept in the history, with its output. Default: not at all; a day if its
    /// handler leaves an output.
    const KEEP: Option<Duration> = None;

    /// When jobs of this type are made by themselves, for as long as a worker runs that has it registered. Default: never.
    const CRON: Option<Cron> = None;

    /// The job that is made at a time of [`CRON`](Self::CRON). Derived with that: the type's `Default`.
    #[must_use]
    fn from_cron() -> Option<Self>
    where
        Self: Sized,
    {
        None
    }

    /// What makes this job the same as another one. Default: nothing does.
    ///
    /// # Errors
    /// What it is unique by does not serialize.
    fn unique(&self) -> Result<Option<Unique>, PushError> {
        Ok(None)
    }

    /// Enqueues the job: through the pool of a `&PgQueue`, or in a transaction with `queue.on(&mut transaction)` or a
    /// `&mut PgConnection`. Await the answer; its setters change delay, priority, queue and more before that.
    fn enqueue<E: Enqueuer>(&self, to: E) -> Enqueue<E>
    where
        Self: Sized,
    {
        Enqueue::new(self, to)
    }

    /// Enqueues many jobs, all or none, and answers what became of each in their order: one statement for every 10,000.
    fn enqueue_many<'j, E: Enqueuer>(jobs: impl IntoIterator<Item = &'j Self>, to: E) -> EnqueueMany<E>
    where
        Self: Sized,
    {
        EnqueueMany::new(jobs, to)
    }
}

/// With [`Backoff::DEFAULT`] twenty attempts span about eight hours: long enough for an outage over night.
pub const DEFAULT_MAX_ATTEMPTS: u16 = 20;

/// A handler that never returns must not hold its slot for ever, and few honest ones take half an hour.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30 * 60);
