//! What a new job is to have beyond its kind and payload.

use std::time::{Duration, SystemTime};

use serde_json::{Map, Value};

use super::Unique;
use crate::{Priority, TraceContext};

/// When a pushed job runs, how often it is tried, and whether it may exist twice.
///
/// ```
/// use std::time::Duration;
/// use pg_queue_core::{Priority, PushOptions};
///
/// let options = PushOptions::default()
///     .delay(Duration::from_secs(60))
///     .priority(Priority::HIGHEST)
///     .timeout(Duration::from_secs(30))
///     .tag("nightly")
///     .metadata("tenant", 17)
///     .unique_key("invoice-17");
/// # let _ = options;
/// ```
#[derive(Debug, Clone, Default)]
pub struct PushOptions {
    pub(super) run_at: Option<SystemTime>,
    pub(super) delay: Option<Duration>,
    pub(super) priority: Priority,
    pub(super) max_attempts: Option<u16>,
    pub(super) timeout: Option<Timeout>,
    pub(super) tags: Vec<String>,
    pub(super) metadata: Map<String, Value>,
    pub(super) unique: Option<Unique>,
}

/// How long one attempt at this job may run, whatever its kind says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Timeout {
    Unlimited,
    After(Duration),
}

impl PushOptions {
    /// Not before this moment, on the database's clock. Default: at once.
    #[must_use]
    pub fn run_at(mut self, moment: SystemTime) -> Self {
        self.run_at = Some(moment);
        self
    }

    /// Not before this much later than the database's now (or than [`run_at`](Self::run_at), if both are given).
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = Some(delay);
        self
    }

    /// Which due jobs run first. Default: [`Priority::DEFAULT`].
    #[must_use]
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// How many attempts the job has, the first included: 1 to 32767. Default: 20.
    #[must_use]
    pub fn max_attempts(mut self, attempts: u16) -> Self {
        self.max_attempts = Some(attempts);
        self
    }

    /// How long one attempt may run: more than nothing, in whole milliseconds. Default: what the job's type says.
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(Timeout::After(limit));
        self
    }

    /// An attempt may run without limit, whatever the job's type says.
    #[must_use]
    pub fn no_timeout(mut self) -> Self {
        self.timeout = Some(Timeout::Unlimited);
        self
    }

    /// A word to find the job by, beside others that were given: at most 32, of 1 to 100 bytes each. Default: none.
    #[must_use]
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        let tag = tag.into();
        if !self.tags.contains(&tag) {
            self.tags.push(tag);
        }
        self
    }

    /// Something for the job to carry beside its payload, such as who asked for it: at most 64 KiB of JSON in all.
    /// The handler reads it with `ctx.metadata()`. Default: none.
    #[must_use]
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }

    /// Where its enqueuer is in a distributed trace, for the handler to go on from. Default: what the handle that enqueues
    /// was told to find out by itself, or nothing.
    #[must_use]
    pub fn trace_context(mut self, context: TraceContext) -> Self {
        context.write(&mut self.metadata);
        self
    }

    /// Whether a trace context was given.
    #[must_use]
    pub fn has_trace_context(&self) -> bool {
        TraceContext::from_metadata(&self.metadata).is_some()
    }

    /// Whether something makes the job the same as another one.
    #[must_use]
    pub fn is_unique(&self) -> bool {
        self.unique.is_some()
    }

    /// At most one unfinished job of the queue has this key; a second one is answered with `Duplicate` and not made. At most
    /// 512 bytes. Default: none. Short for [`unique`](Self::unique)`(Unique::key(..))`.
    #[must_use]
    pub fn unique_key(self, key: impl Into<String>) -> Self {
        self.unique(Unique::key(key))
    }

    /// What makes the job the same as another one, for how long, and what becomes of the second. Default: nothing does.
    #[must_use]
    pub fn unique(mut self, unique: Unique) -> Self {
        self.unique = Some(unique);
        self
    }
}
