//! Making the jobs of a time that has come.

use std::time::SystemTime;

use sqlx::PgExecutor;

use super::DueSchedule;
use crate::{
    JobId, QueueError, Schema, sql,
    timestamp::{Timestamp, clamped_database_micros},
};

/// Makes a job of the schedule for each of `times` and moves its next time to `next`: both or, when somebody else has done
/// so or has changed the schedule since it was read, neither, which is answered with `None`. Otherwise answers the jobs that
/// it made, in the order of their times; where an unfinished job has the unique key, none is made.
///
/// # Errors
/// The queue is missing or the database failed; then nothing was changed.
pub async fn fire(
    executor: impl PgExecutor<'_>,
    schema: &Schema,
    due: &DueSchedule,
    times: &[SystemTime],
    next: SystemTime,
) -> Result<Option<Vec<(SystemTime, JobId)>>, QueueError> {
    let table = due.queue.table(schema);
    let times: Vec<i64> = times.iter().copied().map(clamped_database_micros).collect();
    let rows: Vec<(Option<i64>, Option<Timestamp>)> = sql::query_as(include_str!("fire.sql"), &table)
        .bind(&due.name)
        .bind(clamped_database_micros(due.next_at))
        .bind(&due.expression)
        .bind(&due.timezone)
        .bind(times)
        .bind(clamped_database_micros(next))
        .fetch_all(executor)
        .await
        .map_err(|error| QueueError::new(error, &table))?;
    if rows.is_empty() {
        return Ok(None);
    }
    Ok(Some(rows.into_iter().filter_map(|(id, at)| Some((at?.0, JobId(id?)))).collect()))
}
