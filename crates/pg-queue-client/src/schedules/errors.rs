//! What goes wrong with schedules: one small enum per operation.

use pg_queue_core::{DatabaseError, QueueError, jobs::PushError, schedules::InvalidSchedule};

use super::InvalidCron;

/// Why a schedule was not put. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PutScheduleError {
    /// It has no times.
    #[error(transparent)]
    Cron(#[from] InvalidCron),
    /// Its name, its number of missed times or its job breaks a rule.
    #[error(transparent)]
    Invalid(#[from] InvalidSchedule),
    /// A type of job has a cron expression, and no job to make by it.
    #[error("there is no job to make: `Job::from_cron` answers none, although the type has a cron expression")]
    NoJob,
    /// Its queue is missing, or the database failed.
    #[error(transparent)]
    Queue(#[from] QueueError),
}

impl From<DatabaseError> for PutScheduleError {
    fn from(error: DatabaseError) -> Self {
        Self::Queue(error.into())
    }
}

impl From<PushError> for PutScheduleError {
    fn from(error: PushError) -> Self {
        Self::Invalid(error.into())
    }
}

/// Why something was not done with a schedule. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScheduleError {
    /// There is no schedule of that name.
    #[error("there is no schedule {0:?}: `schedules.list()` shows which there are")]
    Missing(String),
    /// What is stored has no times here: it was put by hand, or on a machine that knows more zones.
    #[error("the schedule {schedule:?} has no next time: {source}")]
    Cron {
        /// Which.
        schedule: String,
        /// Why.
        #[source]
        source: InvalidCron,
    },
    /// The schedule was changed again and again while this call looked.
    #[error("the schedule {schedule:?} is contended: it was changed {tries} times while this call looked")]
    Contended {
        /// Which.
        schedule: String,
        /// How often.
        tries: u32,
    },
    /// Its job was not made.
    #[error("no job of the schedule {schedule:?} was made: {source}")]
    Push {
        /// Which.
        schedule: String,
        /// Why.
        #[source]
        source: PushError,
    },
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// Why a schedule whose time has come did not fire. It is due still.
#[derive(Debug, thiserror::Error)]
#[error("the schedule {schedule:?} did not fire: {source}")]
pub struct NotFired {
    /// Which.
    pub schedule: String,
    /// Why.
    #[source]
    pub source: NotFiredReason,
}

/// Why a schedule whose time has come did not fire.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotFiredReason {
    /// What is stored has no times here: it was put by hand, or on a machine that knows more zones.
    #[error(transparent)]
    Cron(#[from] InvalidCron),
    /// Its queue is missing, or the database failed.
    #[error(transparent)]
    Queue(#[from] QueueError),
}
