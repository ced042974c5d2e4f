//! Schedules: jobs that are made by themselves.

mod errors;
mod plan;
mod schedule;
mod timetable;

use std::{sync::Arc, time::SystemTime};

use pg_queue_core::{
    DatabaseError, JobId, QueueName,
    jobs::PushOutcome,
    queues,
    schedules::{self, DueSchedule, StoredSchedule},
};
use sqlx::PgConnection;

use self::timetable::Timetable;
pub use self::{
    errors::{NotFired, NotFiredReason, PutScheduleError, ScheduleError},
    plan::{Plan, plan},
    schedule::{PreparedSchedule, Schedule},
    timetable::{InvalidCron, next_times},
};
use crate::{link::Link, shared::Shared};

/// How often a schedule may be changed while a call looks at it before the call gives up.
const TRIES: u32 = 100;

/// Schedules: jobs that are made by themselves, at the times of a cron expression, once however many workers run.
///
/// They are in the database. Workers that have the kind of a schedule's jobs registered make them; an application that takes its
/// jobs by hand calls [`fire_due`](Self::fire_due) now and then. The times are those of the database's clock, and a job's
/// `run_at` is the time for which it was made.
#[derive(Debug, Clone)]
pub struct Schedules {
    shared: Arc<Shared>,
}

/// A schedule that has fired.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FiredSchedule {
    /// Which.
    pub name: String,
    /// Where its jobs went.
    pub queue: QueueName,
    /// The jobs that were made, and for which times, the earliest first. None if the times were missed and are not made up for,
    /// or if the schedule is exclusive and an earlier job has not finished.
    pub jobs: Vec<(SystemTime, JobId)>,
}

impl Schedules {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Puts a schedule, in the place of the one of its name if there is one. That one's next time stays, and so do its pause and
    /// what is known of its last job; unless the expression or the zone is another one: then it goes on with the first time after
    /// now. Answers the next time.
    ///
    /// # Errors
    /// The expression cannot be read or never fires, the zone is unknown, the name or the job breaks a rule, or the queue is
    /// missing. Or the database failed.
    pub async fn put(&self, schedule: Schedule) -> Result<SystemTime, PutScheduleError> {
        let prepared = schedule.prepare()?;
        let (schema, table) = (&self.shared.schema, self.shared.table(prepared.queue()));
        let put = async |connection: &mut PgConnection| {
            queues::exists(&mut *connection, &table).await?;
            let now = schedules::now(&mut *connection, schema).await?;
            let new = prepared.at(now)?;
            let next = schedules::put(&mut *connection, schema, &new).await?;
            Ok(next.unwrap_or(new.next_at))
        };
        self.shared.run(put).await
    }

    /// The schedule of that name; `None` when there is none.
    ///
    /// # Errors
    /// The migrations are missing or the database failed.
    pub async fn get(&self, name: &str) -> Result<Option<StoredSchedule>, DatabaseError> {
        self.shared.run(async |connection| schedules::get(connection, &self.shared.schema, name).await).await
    }

    /// All schedules, by name.
    ///
    /// # Errors
    /// The migrations are missing or the database failed.
    pub async fn list(&self) -> Result<Vec<StoredSchedule>, DatabaseError> {
        self.shared.run(async |connection| schedules::list(connection, &self.shared.schema).await).await
    }

    /// Deletes a schedule. Its jobs stay. Answers whether there was one. One that a type of job has declared is there again when
    /// the next worker starts: [`pause`](Self::pause) that.
    ///
    /// # Errors
    /// The migrations are missing or the database failed.
    pub async fn delete(&self, name: &str) -> Result<bool, DatabaseError> {
        self.shared.run(async |connection| schedules::delete(connection, &self.shared.schema, name).await).await
    }

    /// Pauses a schedule: it makes no jobs until it is [resumed](Self::resume), whoever starts or puts it anew. What it has made
    /// stays.
    ///
    /// # Errors
    /// There is no schedule of that name, or the database failed.
    pub async fn pause(&self, name: &str) -> Result<(), ScheduleError> {
        let schema = &self.shared.schema;
        if self.shared.run(async |connection| schedules::pause(connection, schema, name).await).await? {
            Ok(())
        } else {
            Err(ScheduleError::Missing(name.to_owned()))
        }
    }

    /// Lets a paused schedule go on with the first time after now, which is answered. The times of its pause were not missed:
    /// they are not made up for. Does nothing to one that is not paused.
    ///
    /// # Errors
    /// There is no schedule of that name, or its zone is unknown on this machine. Or the database failed.
    pub async fn resume(&self, name: &str) -> Result<SystemTime, ScheduleError> {
        let schema = &self.shared.schema;
        let mut link = self.shared.acquire().await?;
        for _ in 0..TRIES {
            let stored = self.stored(&mut link, name).await?;
            if stored.paused_at.is_none() {
                return Ok(stored.next_at);
            }
            let timetable = timetable(&stored)?;
            let next = timetable.next(stored.read_at).map_err(|source| no_time(&stored, source))?;
            let resume =
                async |connection: &mut PgConnection| schedules::resume(connection, schema, &stored, next).await;
            if link.run(resume).await? {
                return Ok(next);
            }
        }
        Err(ScheduleError::Contended { schedule: name.to_owned(), tries: TRIES })
    }

    /// Makes a job of the schedule now, also while it is paused. Its next time stays.
    ///
    /// An exclusive schedule whose last job has not finished makes none: that job is the answer, as a
    /// [`Duplicate`](PushOutcome::Duplicate).
    ///
    /// # Errors
    /// There is no schedule of that name, or its queue is missing. Or the database failed.
    pub async fn run_now(&self, name: &str) -> Result<PushOutcome, ScheduleError> {
        let mut link = self.shared.acquire().await?;
        for _ in 0..TRIES {
            let stored = self.stored(&mut link, name).await?;
            let failed = |source| ScheduleError::Push { schedule: name.to_owned(), source };
            let queue = QueueName::new(&stored.queue).map_err(|error| failed(error.into()))?;
            let table = self.shared.table(&queue);
            let make = async |connection: &mut PgConnection| schedules::run_now(connection, &table, name).await;
            // It makes its jobs into another queue by now, or is gone: look again.
            if let Some(outcome) = link.run_about(&table, make).await.map_err(failed)? {
                return Ok(outcome);
            }
        }
        Err(ScheduleError::Contended { schedule: name.to_owned(), tries: TRIES })
    }

    /// The first `count` times (at most 10,000) of a schedule after the database's now, whether or not it is paused.
    ///
    /// # Errors
    /// There is no schedule of that name, or its zone is unknown on this machine. Or the database failed.
    pub async fn next_times(&self, name: &str, count: usize) -> Result<Vec<SystemTime>, ScheduleError> {
        let stored = self.stored(&mut self.shared.acquire().await?, name).await?;
        next_times(&stored.expression, &stored.timezone, stored.read_at, count)
            .map_err(|source| no_time(&stored, source))
    }

    /// Makes the jobs of all schedules whose time has come, whatever their kinds and queues. For an application that takes its jobs
    /// by hand, to be called every few seconds; workers do it by themselves, for the kinds that they run. However many do it at
    /// once, one makes a time's jobs; each is answered what it has made itself, schedule by schedule.
    ///
    /// # Errors
    /// The migrations are missing or the database failed. A schedule that cannot fire is an error in its place, and stays due.
    pub async fn fire_due(&self) -> Result<Vec<Result<FiredSchedule, NotFired>>, DatabaseError> {
        let schema = &self.shared.schema;
        let mut link = self.shared.acquire().await?;
        let mut fired = Vec::new();
        for due in link.run(async |connection| schedules::due(connection, schema, None, None).await).await? {
            match self.fire(&mut link, &due).await {
                Ok(Some(jobs)) => fired.push(Ok(FiredSchedule { name: due.name, queue: due.queue, jobs })),
                // Somebody else does it.
                Ok(None) => {}
                Err(source) => fired.push(Err(NotFired { schedule: due.name, source })),
            }
        }
        Ok(fired)
    }

    async fn fire(
        &self,
        link: &mut Link,
        due: &DueSchedule,
    ) -> Result<Option<Vec<(SystemTime, JobId)>>, NotFiredReason> {
        let Plan { times, next } = plan(due)?;
        let schema = &self.shared.schema;
        let fire = async |connection: &mut PgConnection| schedules::fire(connection, schema, due, &times, next).await;
        Ok(link.run_about(&self.shared.table(&due.queue), fire).await?)
    }

    async fn stored(&self, link: &mut Link, name: &str) -> Result<StoredSchedule, ScheduleError> {
        let schema = &self.shared.schema;
        let stored = link.run(async |connection| schedules::get(connection, schema, name).await).await?;
        stored.ok_or_else(|| ScheduleError::Missing(name.to_owned()))
    }
}

fn timetable(stored: &StoredSchedule) -> Result<Timetable, ScheduleError> {
    Timetable::new(&stored.expression, &stored.timezone).map_err(|source| no_time(stored, source))
}

fn no_time(stored: &StoredSchedule, source: InvalidCron) -> ScheduleError {
    ScheduleError::Cron { schedule: stored.name.clone(), source }
}
