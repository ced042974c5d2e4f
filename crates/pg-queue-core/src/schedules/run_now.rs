//! Making a job of a schedule beside its times.

use sqlx::PgConnection;

use crate::{
    JobId, QueueError, QueueTable,
    jobs::{PushError, PushOutcome},
    sql,
};

/// How often the unique key may be freed between meeting it and looking for its holder before the call gives up.
const TRIES: u32 = 100;

/// Makes a job of the schedule `name`, due now, whether or not it is paused. Its next time stays. `None` when there is no such
/// schedule that makes jobs into this queue.
///
/// An exclusive schedule whose last job is unfinished makes none: that job is the answer, as a
/// [`Duplicate`](PushOutcome::Duplicate).
///
/// # Errors
/// The queue is missing or the database failed.
pub async fn run_now(
    connection: &mut PgConnection,
    table: &QueueTable,
    name: &str,
) -> Result<Option<PushOutcome>, PushError> {
    for _ in 0..TRIES {
        let row: Option<(Option<i64>, Option<i64>)> = sql::query_as(include_str!("run_now.sql"), table)
            .bind(name)
            .fetch_optional(&mut *connection)
            .await
            .map_err(|error| QueueError::new(error, table))?;
        match row {
            None => return Ok(None),
            Some((Some(made), _)) => return Ok(Some(PushOutcome::Enqueued(JobId(made)))),
            Some((None, Some(held))) => return Ok(Some(PushOutcome::Duplicate(JobId(held)))),
            // Freed since the insert met it, or not visible yet to the statement that met it.
            Some((None, None)) => {}
        }
    }
    Err(PushError::Contended(TRIES))
}
