//! A schedule that is not in the database yet.

use std::time::SystemTime;

use crate::{
    Missed, QueueName,
    jobs::{
        NewJob, PushError,
        row::{Hold, Row},
    },
    schema::shorten,
};

/// The longest name of a schedule, in bytes.
pub const MAX_SCHEDULE_NAME_BYTES: usize = 100;

/// How many missed times are made up for at most: they become jobs in one statement.
pub const MAX_CATCH_UP: u32 = 10_000;

/// The key of the jobs of an exclusive schedule begins with this. No unique key of a user's does: of a key's characters this
/// one is refused, and before it there would be a kind.
const EXCLUSIVE: &str = "\u{1f}schedule\u{1f}";

/// A schedule on its way into the database: checked, except for its expression and zone.
#[derive(Debug, Clone)]
pub struct NewSchedule {
    /// The cron expression.
    pub expression: String,
    /// The IANA name of the zone whose clock is meant.
    pub timezone: String,
    /// The first time at which it fires.
    pub next_at: SystemTime,
    /// Whether a worker puts it, because a type of job says so.
    pub declared: bool,
    pub(super) name: String,
    pub(super) queue: QueueName,
    pub(super) missed: &'static str,
    pub(super) catch_up: Option<i32>,
    pub(super) kind: String,
    pub(super) payload: String,
    pub(super) priority: i16,
    pub(super) max_attempts: i16,
    pub(super) timeout_ms: Option<i64>,
    pub(super) tags: Option<String>,
    pub(super) metadata: Option<String>,
    pub(super) unique_key: Option<String>,
    pub(super) unique_while_waiting: Option<bool>,
}

impl NewSchedule {
    /// A schedule `name` in UTC that makes `job` in `queue`, first at `next_at`. An `exclusive` one makes none while its last
    /// one is unfinished, whatever else the job says of uniqueness. The job's own time is not looked at.
    ///
    /// # Errors
    /// See [`InvalidSchedule`].
    pub fn new(
        name: &str,
        queue: &QueueName,
        expression: &str,
        job: &NewJob,
        missed: Missed,
        exclusive: bool,
        next_at: SystemTime,
    ) -> Result<Self, InvalidSchedule> {
        if name.is_empty() || name.len() > MAX_SCHEDULE_NAME_BYTES || name.contains(char::is_control) {
            return Err(InvalidSchedule::Name(shorten(name)));
        }
        let (missed, catch_up) = match missed {
            Missed::Skip => ("skip", None),
            Missed::Once => ("once", None),
            Missed::All(most) => match i32::try_from(most) {
                Ok(count @ 1..) if most <= MAX_CATCH_UP => ("all", Some(count)),
                _ => return Err(InvalidSchedule::CatchUp(most)),
            },
        };
        let row = Row::new(job)?;
        let (unique_key, unique_while_waiting) = match &row.key {
            _ if exclusive => (Some(exclusive_key(name)), None),
            None => (None, None),
            Some(key) => match key.hold {
                Hold::Job { while_waiting } => (Some(key.text.clone()), while_waiting.then_some(true)),
                Hold::Time(_) => return Err(InvalidSchedule::UniqueForTime),
            },
        };
        Ok(Self {
            expression: expression.to_owned(),
            timezone: "UTC".to_owned(),
            next_at,
            declared: false,
            name: name.to_owned(),
            queue: queue.clone(),
            missed,
            catch_up,
            kind: row.kind.to_owned(),
            payload: row.payload.to_owned(),
            priority: row.priority,
            max_attempts: row.max_attempts,
            timeout_ms: row.timeout_ms,
            tags: row.tags.clone(),
            metadata: row.metadata.clone(),
            unique_key,
            unique_while_waiting,
        })
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where its jobs go.
    #[must_use]
    pub fn queue(&self) -> &QueueName {
        &self.queue
    }
}

/// What all unfinished jobs of the exclusive schedule `name` have in common.
pub(super) fn exclusive_key(name: &str) -> String {
    format!("{EXCLUSIVE}{name}")
}

/// Why a schedule cannot be put.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidSchedule {
    /// The name breaks the rule.
    #[error("invalid schedule name {0:?}: a schedule's name has 1 to 100 bytes and no control characters")]
    Name(String),
    /// The number of missed times that are made up for breaks the rule.
    #[error("a schedule cannot make up for {0} missed times: 1 to 10000, or use `Missed::Skip`")]
    CatchUp(u32),
    /// The job is unique for a time, and not until it has started or finished.
    #[error(
        "the job of a schedule cannot be unique until a time has elapsed: until it has started or finished, it can"
    )]
    UniqueForTime,
    /// Its job could not be enqueued either.
    #[error(transparent)]
    Job(#[from] PushError),
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::{InvalidSchedule, NewSchedule};
    use crate::{Missed, QueueName, Unique, UniqueUntil, jobs::NewJob};

    fn put(name: &str, missed: Missed, job: &NewJob) -> Result<NewSchedule, InvalidSchedule> {
        let queue = QueueName::new("emails").unwrap();
        NewSchedule::new(name, &queue, "0 9 * * *", job, missed, false, SystemTime::UNIX_EPOCH)
    }

    #[test]
    fn what_the_table_would_refuse_is_refused_before() {
        let mut job = NewJob::raw(&1).unwrap();
        for name in ["", "a\0b", "a\nb", &"n".repeat(101)] {
            assert!(matches!(put(name, Missed::Once, &job), Err(InvalidSchedule::Name(_))), "{name:?}");
        }
        assert!(put(&"n".repeat(100), Missed::Once, &job).is_ok());
        for most in [0, 10_001, u32::MAX] {
            assert!(matches!(put("n", Missed::All(most), &job), Err(InvalidSchedule::CatchUp(_))), "{most}");
        }
        assert!(put("n", Missed::All(10_000), &job).is_ok());
        job.options = job.options.max_attempts(0);
        assert!(matches!(put("n", Missed::Once, &job), Err(InvalidSchedule::Job(_))));
    }

    #[test]
    fn a_key_that_its_job_holds_is_kept_and_one_that_is_remembered_is_refused() {
        let mut job = NewJob::raw(&1).unwrap();
        job.options = job.options.unique(Unique::key("k").until(UniqueUntil::Started));
        let schedule = put("n", Missed::Once, &job).unwrap();
        assert_eq!((schedule.unique_key.as_deref(), schedule.unique_while_waiting), (Some("k"), Some(true)));
        let for_a_time = UniqueUntil::Elapsed(Duration::from_secs(1));
        job.options = job.options.unique(Unique::key("k").until(for_a_time));
        assert!(matches!(put("n", Missed::Once, &job), Err(InvalidSchedule::UniqueForTime)));
    }
}
