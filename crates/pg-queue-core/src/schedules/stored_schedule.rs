//! A schedule as it stands in the database.

use std::time::{Duration, SystemTime};

use serde_json::{Map, Value};
use sqlx::{FromRow, Row, postgres::PgRow};

use super::new_schedule::exclusive_key;
use crate::{JobId, Missed, Priority, errors::read_object, jobs::TimeLimit, timestamp::Timestamp};

/// A schedule as it stands in the database.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StoredSchedule {
    /// What it is called.
    pub name: String,
    /// Where its jobs go.
    pub queue: String,
    /// What type of job it makes.
    pub kind: String,
    /// When: a cron expression.
    pub expression: String,
    /// The IANA name of the zone whose clock is meant.
    pub timezone: String,
    /// What becomes of times that were missed.
    pub missed: Missed,
    /// Whether it makes no job while its last one is unfinished.
    pub exclusive: bool,
    /// Whether a worker has put it, because a type of job says so.
    pub declared: bool,
    /// Since when it makes no jobs, if it is paused.
    pub paused_at: Option<SystemTime>,
    /// The next time at which it makes a job, unless it is paused. In the past: as soon as somebody looks.
    pub next_at: SystemTime,
    /// The time for which its last job was made.
    pub last_at: Option<SystemTime>,
    /// That job, which may have finished long ago.
    pub last_job: Option<JobId>,
    /// When it was first put.
    pub created_at: SystemTime,
    /// When it was last put.
    pub updated_at: SystemTime,
    /// What the database's clock showed when this was read, to compare the others with.
    pub read_at: SystemTime,
    /// Which jobs its jobs run before.
    pub priority: Priority,
    /// How many attempts its jobs have.
    pub max_attempts: u16,
    /// How long an attempt at one of its jobs may run; `None` leaves it to their kind.
    pub timeout: Option<TimeLimit>,
    /// The words to find its jobs by.
    pub tags: Vec<String>,
    /// What its jobs carry beside their payload.
    pub metadata: Map<String, Value>,
    /// The payload of its jobs, as JSON.
    pub payload: String,
}

impl FromRow<'_, PgRow> for StoredSchedule {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let moment = |at: usize| row.try_get::<Timestamp, _>(at).map(|moment| moment.0);
        let maybe = |at: usize| row.try_get::<Option<Timestamp>, _>(at).map(|moment| moment.map(|moment| moment.0));
        let name: String = row.try_get(0)?;
        let key: Option<String> = row.try_get(7)?;
        Ok(Self {
            queue: row.try_get(1)?,
            kind: row.try_get(2)?,
            expression: row.try_get(3)?,
            timezone: row.try_get(4)?,
            missed: read_missed(row.try_get(5)?, row.try_get(6)?),
            exclusive: key.is_some_and(|key| key == exclusive_key(&name)),
            declared: row.try_get(8)?,
            paused_at: maybe(9)?,
            next_at: moment(10)?,
            last_at: maybe(11)?,
            last_job: row.try_get::<Option<i64>, _>(12)?.map(JobId),
            created_at: moment(13)?,
            updated_at: moment(14)?,
            read_at: moment(15)?,
            priority: Priority::from_column(row.try_get(16)?),
            max_attempts: u16::try_from(row.try_get::<i16, _>(17)?).unwrap_or(1),
            timeout: row.try_get::<Option<i64>, _>(18)?.map(|millis| match u64::try_from(millis) {
                Ok(0) | Err(_) => TimeLimit::Unlimited,
                Ok(millis) => TimeLimit::After(Duration::from_millis(millis)),
            }),
            tags: row.try_get::<Option<_>, _>(19)?.unwrap_or_default(),
            metadata: read_object(row.try_get(20)?),
            payload: row.try_get(21)?,
            name,
        })
    }
}

/// The table's constraints leave no other values; what was tampered with is made up for once.
pub(super) fn read_missed(missed: &str, catch_up: Option<i32>) -> Missed {
    match (missed, catch_up.and_then(|most| u32::try_from(most).ok())) {
        ("skip", _) => Missed::Skip,
        ("all", Some(most @ 1..)) => Missed::All(most),
        _ => Missed::Once,
    }
}
