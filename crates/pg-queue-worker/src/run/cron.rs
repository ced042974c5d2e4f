//! Making the jobs of schedules whose time has come.
//!
//! Every worker looks, for the kinds that it runs, and of those that see a time come one makes its jobs. What fails, or is left to
//! somebody else, is looked at again: a schedule's time is moved on together with its jobs and never before.

use std::{sync::Arc, time::Duration};

use pg_queue_client::{PreparedSchedule, plan};
use pg_queue_core::{
    Backoff, DatabaseError, JobId, QueueError,
    schedules::{self, DueSchedule},
};
use sqlx::PgConnection;
use tokio::time::sleep;

use super::{
    Shared,
    trouble::{Fails, Trouble},
};

/// The longest pause between looks: the most that a lost notification costs, or a clock that was put forward.
const LONGEST: Duration = Duration::from_secs(30);

/// The pauses after looks that have left something undone.
const RETRY: Backoff = Backoff::Exponential { base: Duration::from_millis(100), max: LONGEST };

/// Workers that sleep until the same time wake up to so much apart, because whoever is too late without having seen it inserts
/// nothing, and the trigger of the queue wakes everybody for that.
const APART: Duration = Duration::from_millis(20);

/// Fires schedules until the worker closes.
pub(super) async fn run<S>(shared: Arc<Shared<S>>) {
    let mut left = shared.registry.schedules.as_slice();
    let mut declared = false;
    let mut failures: u16 = 0;
    while !shared.closing.is_cancelled() {
        if !declared {
            let declaring = declare(&shared, &mut left).await;
            declared = reported("the schedules of the registered types could not be put", declaring).is_some();
        }
        let all = reported("schedules could not be looked at", fire(&shared).await) == Some(true);
        let next = until_next(&shared).await.unwrap_or(LONGEST);
        failures = if declared && all { 0 } else { failures.saturating_add(1) };
        let pause = if failures == 0 { next } else { next.min(RETRY.jittered(failures)) };
        tokio::select! {
            () = shared.closing.cancelled() => {}
            // Also when it was rung since the last look.
            () = shared.schedules.notified() => {}
            () = sleep(pause) => {}
        }
    }
}

/// Puts the schedules that the registered types have, and removes those that they had. One that somebody has put by hand under
/// the same name stays.
///
/// `left` are those that are not put yet. Each is put once, however often the rest fails: that it was put is told to all workers,
/// this one included, which would not pause between its tries.
async fn declare<S>(shared: &Shared<S>, left: &mut &[PreparedSchedule]) -> Result<(), DatabaseError> {
    let schema = shared.queue.schema();
    while let Some((schedule, rest)) = left.split_first() {
        let now = shared.control.run(async |connection| schedules::now(connection, schema).await).await?;
        let new = match schedule.at(now) {
            Ok(new) => new,
            Err(error) => {
                tracing::error!(schedule = schedule.name(), %error, "a type's schedule has no more times");
                *left = rest;
                continue;
            }
        };
        let put = async |connection: &mut PgConnection| schedules::put(connection, schema, &new).await;
        if shared.control.run(put).await?.is_none() {
            tracing::info!(
                schedule = schedule.name(),
                "the schedule that was put by hand is in force, and not the type's own"
            );
        }
        *left = rest;
    }
    let without = shared.registry.without_schedule();
    let removed = shared.control.run(async |connection| schedules::undeclare(connection, schema, &without).await);
    for schedule in removed.await? {
        tracing::info!(schedule, "the schedule was removed: its type has none any more");
    }
    Ok(())
}

/// Fires what is due of the worker's kinds. Answers whether nothing of it is left.
async fn fire<S>(shared: &Shared<S>) -> Result<bool, DatabaseError> {
    let (schema, kinds) = (shared.queue.schema(), &shared.kinds);
    let look = async |connection: &mut PgConnection| schedules::due(connection, schema, Some(kinds), None).await;
    let mut all = true;
    for due in shared.control.run(look).await? {
        if shared.closing.is_cancelled() {
            return Ok(true);
        }
        let schedule = &due.name;
        match fire_one(shared, &due).await {
            Ok(Some(jobs)) => {
                tracing::debug!(schedule, queue = %due.queue, jobs, "a schedule has fired");
                if jobs > 0 && shared.lanes.iter().any(|lane| *lane.queue() == due.queue) {
                    shared.look.notify_one();
                }
            }
            // Another worker has it, or somebody is changing it.
            Ok(None) => all = false,
            Err(QueueError::Database(error)) if error.trouble() == Trouble::Away => return Err(error),
            Err(error) => {
                tracing::warn!(schedule, queue = %due.queue, %error, "a schedule could not fire: it is due still");
                all = false;
            }
        }
    }
    Ok(all)
}

/// Makes the jobs of one schedule. Answers how many; `None` when somebody else does it.
async fn fire_one<S>(shared: &Shared<S>, due: &DueSchedule) -> Result<Option<usize>, QueueError> {
    let plan = match plan(due) {
        Ok(plan) => plan,
        Err(error) => {
            tracing::warn!(schedule = due.name, %error, "a schedule has no times here: another worker may know them");
            return Ok(None);
        }
    };
    let fire = async |connection: &mut PgConnection| {
        schedules::fire(connection, shared.queue.schema(), due, &plan.times, plan.next).await
    };
    let made: Option<Vec<(_, JobId)>> = shared.control.run(fire).await?;
    Ok(made.map(|jobs| jobs.len()))
}

/// How long to sleep until the next time of a schedule comes.
async fn until_next<S>(shared: &Shared<S>) -> Option<Duration> {
    let (schema, kinds) = (shared.queue.schema(), &shared.kinds);
    let look = async |connection: &mut PgConnection| schedules::until_next(connection, schema, Some(kinds)).await;
    // An error here is met again by the next look, which reports it.
    shared.control.run(look).await.ok().flatten().map(|until| until.min(LONGEST) + apart())
}

/// At random, from nothing to [`APART`].
fn apart() -> Duration {
    // A jitter of a tenth each way is a fifth of the whole.
    let whole = APART * 5;
    Backoff::Constant(whole).jittered(1).saturating_sub(whole.mul_f64(1.0 - Backoff::JITTER))
}

/// What was answered. What failed is done again.
fn reported<T>(what: &'static str, done: Result<T, DatabaseError>) -> Option<T> {
    done.inspect_err(|error| tracing::warn!(%error, "{what}")).ok()
}
