//! A schedule that is about to be put.

use std::time::{Duration, SystemTime};

use pg_queue_core::{
    Cron, Job, Missed, Priority, PushOptions, QueueName,
    jobs::{NewJob, PushError},
    schedules::NewSchedule,
};
use serde::Serialize;
use serde_json::Value;

use super::{InvalidCron, PutScheduleError, timetable::Timetable};

/// Under this key the metadata of a schedule's jobs has the schedule's name.
const SCHEDULE: &str = "schedule";

/// Jobs that are to be made by themselves. It is in force once it is [`put`](super::Schedules::put).
///
/// ```no_run
/// use pg_queue_client::Schedule;
/// use pg_queue_core::Missed;
/// # use pg_queue_core::Job;
/// # #[derive(serde::Serialize, serde::Deserialize, Job)]
/// # #[job(crate = "pg_queue_core")]
/// # struct Report { tenant: u32 }
///
/// # async fn example(mgr: pg_queue_client::PgQueue) -> Result<(), Box<dyn std::error::Error>> {
/// let mornings = Schedule::new("report of tenant 17", "0 9 * * mon-fri", &Report { tenant: 17 })
///     .timezone("Europe/Vienna")
///     .missed(Missed::Skip)
///     .exclusive();
/// mgr.schedules.put(mornings).await?;
/// # Ok(())
/// # }
/// ```
///
/// # Expressions
///
/// Minute, hour, day of the month, month and day of the week, or second before these. `*`, lists (`1,15`), ranges (`mon-fri`,
/// `9-17`), steps (`*/10`, `0-30/10`), names of months and of days; Sunday is 0 or 7. `L` is the last day of a month, `5L` its
/// last Friday, `mon#2` its second Monday, `15W` the working day that is nearest to the 15th. If both the day of the month and the
/// day of the week are given, either is enough; with a `+` before the day of the week, both must be so. Instead of all of this
/// `@hourly`, `@daily`, `@weekly`, `@monthly` or `@yearly`.
///
/// # Clocks that are changed
///
/// An expression of one second, one minute and one hour, such as `30 2 * * *`, means one moment of each day. On the day on which
/// the clock passes over 2:30 that is the first moment after the gap, 3:00; on the day on which the clock shows 2:30 twice it is
/// the first of the two. All others, such as `30 * * * *`, `0 */6 * * *` or `30 2,14 * * *`, mean every moment at which the clock
/// shows what they say: in a gap none, in a repeat both.
#[derive(Debug)]
#[must_use = "a schedule is in force once it is put"]
pub struct Schedule {
    name: String,
    expression: String,
    timezone: String,
    missed: Missed,
    exclusive: bool,
    declared: bool,
    to: Result<(QueueName, NewJob), PutScheduleError>,
}

impl Schedule {
    /// Makes `job` at the times of a cron expression, into its type's queue and with its type's policy. `name` is what the
    /// schedule is known by, 1 to 100 bytes; of all schedules of a schema each has another one.
    pub fn new<J: Job>(name: impl Into<String>, expression: impl Into<String>, job: &J) -> Self {
        let to = QueueName::new(J::QUEUE).map_err(PushError::from).and_then(|queue| Ok((queue, NewJob::typed(job)?)));
        Self::of(name.into(), expression.into(), to.map_err(PutScheduleError::from))
    }

    /// Makes a job of any kind, with any payload that serializes, at the times of a cron expression.
    pub fn raw(
        name: impl Into<String>,
        expression: impl Into<String>,
        queue: &QueueName,
        kind: &str,
        payload: &impl Serialize,
    ) -> Self {
        let job = NewJob::new(kind, payload).map_err(PutScheduleError::from);
        Self::of(name.into(), expression.into(), job.map(|job| (queue.clone(), job)))
    }

    fn of(name: String, expression: String, to: Result<(QueueName, NewJob), PutScheduleError>) -> Self {
        let whose = name.clone();
        let schedule = Self {
            name,
            expression,
            timezone: "UTC".to_owned(),
            missed: Missed::Once,
            exclusive: false,
            declared: false,
            to,
        };
        schedule.metadata(SCHEDULE, whose)
    }

    /// The schedule that the type says itself, under its kind.
    #[doc(hidden)]
    #[must_use]
    pub fn declared<J: Job>() -> Option<Self> {
        let Cron { expression, timezone, missed, .. } = J::CRON?;
        let mut schedule = match J::from_cron() {
            Some(job) => Self::new(J::KIND, expression, &job),
            None => Self::of(J::KIND.to_owned(), expression.to_owned(), Err(PutScheduleError::NoJob)),
        };
        schedule.declared = true;
        Some(schedule.timezone(timezone).missed(missed))
    }

    /// By the clock of this zone, given by its IANA name. Default: `UTC`.
    pub fn timezone(mut self, timezone: impl Into<String>) -> Self {
        self.timezone = timezone.into();
        self
    }

    /// What becomes of the times at which nobody was there to make their jobs, that is of those that are older than a minute when
    /// somebody is. Whoever was there, but was late, makes a job for the last time that has come. Default: [`Missed::Once`].
    pub fn missed(mut self, missed: Missed) -> Self {
        self.missed = missed;
        self
    }

    /// At a time at which an earlier job of this schedule has not finished, no job is made. Takes the place of whatever the job's
    /// type says of uniqueness. Default: a job is made at each time.
    pub fn exclusive(mut self) -> Self {
        self.exclusive = true;
        self
    }

    /// Into this queue instead of the type's own.
    pub fn queue(mut self, queue: &QueueName) -> Self {
        if let Ok((to, _)) = &mut self.to {
            *to = queue.clone();
        }
        self
    }

    /// With this priority instead of the type's own.
    pub fn priority(self, priority: Priority) -> Self {
        self.with(|options| options.priority(priority))
    }

    /// With this many attempts instead of the type's own: 1 to 32767.
    pub fn max_attempts(self, attempts: u16) -> Self {
        self.with(|options| options.max_attempts(attempts))
    }

    /// With this time for each attempt instead of the type's own.
    pub fn timeout(self, limit: Duration) -> Self {
        self.with(|options| options.timeout(limit))
    }

    /// Without a limit on an attempt's time.
    pub fn no_timeout(self) -> Self {
        self.with(PushOptions::no_timeout)
    }

    /// With a word to find its jobs by, beside others that are given: at most 32, of 1 to 100 bytes.
    pub fn tag(self, tag: impl Into<String>) -> Self {
        self.with(|options| options.tag(tag))
    }

    /// With something for its jobs to carry beside their payload. At most 64 KiB of JSON in all. Default: `schedule`, the
    /// schedule's name.
    pub fn metadata(self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.with(|options| options.metadata(key, value))
    }

    fn with(mut self, set: impl FnOnce(PushOptions) -> PushOptions) -> Self {
        if let Ok((_, job)) = &mut self.to {
            job.options = set(std::mem::take(&mut job.options));
        }
        self
    }

    /// Checks all that can be without a database.
    ///
    /// # Errors
    /// See [`PutScheduleError`].
    #[doc(hidden)]
    pub fn prepare(self) -> Result<PreparedSchedule, PutScheduleError> {
        let (queue, job) = self.to?;
        let timetable = Timetable::new(&self.expression, &self.timezone)?;
        // Whether it ever fires, which has nothing to do with which now it is.
        let next = timetable.next(SystemTime::now())?;
        let expression = timetable.expression();
        let mut new = NewSchedule::new(&self.name, &queue, expression, &job, self.missed, self.exclusive, next)?;
        new.timezone = timetable.timezone().to_owned();
        new.declared = self.declared;
        Ok(PreparedSchedule { timetable, new })
    }
}

/// A schedule that was checked.
#[doc(hidden)]
#[derive(Debug, Clone)]
pub struct PreparedSchedule {
    timetable: Timetable,
    new: NewSchedule,
}

impl PreparedSchedule {
    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &str {
        self.new.name()
    }

    /// Where its jobs go.
    #[must_use]
    pub fn queue(&self) -> &QueueName {
        self.new.queue()
    }

    /// What to put, when the database's clock shows this.
    ///
    /// # Errors
    /// There is no time after that one.
    pub fn at(&self, now: SystemTime) -> Result<NewSchedule, InvalidCron> {
        let mut new = self.new.clone();
        new.next_at = self.timetable.next(now)?;
        Ok(new)
    }
}
