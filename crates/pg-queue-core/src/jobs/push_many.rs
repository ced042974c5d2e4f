//! Enqueuing many jobs in as few statements as it takes.

use sqlx::{Connection, PgConnection};

use super::{
    Commit, NewJob, PushError, PushOutcome,
    push_unique::push_unique,
    row::{Columns, Row, bind, fitting},
};
use crate::{DatabaseError, JobId, QueueError, QueueTable, sql};

/// Enqueues jobs: all or none. Answers what became of each, in their order, as if they had been enqueued one after the
/// other. Any number is fine; more than 10,000 take more than one statement, and then a transaction.
///
/// # Errors
/// Those of [`push`](super::push()); an option that is out of range is an error [`InBatch`](PushError::InBatch).
pub async fn push_many(
    connection: &mut PgConnection,
    table: &QueueTable,
    jobs: &[NewJob],
) -> Result<Vec<PushOutcome>, PushError> {
    push_many_and_commit(connection, table, jobs, Commit::AsSet).await
}

/// The same, committed in a way of its own; if all jobs have unique keys, as ever.
///
/// # Errors
/// Those of [`push_many`].
pub async fn push_many_and_commit(
    connection: &mut PgConnection,
    table: &QueueTable,
    jobs: &[NewJob],
    commit: Commit,
) -> Result<Vec<PushOutcome>, PushError> {
    let checked =
        |(position, job)| Row::new(job).map_err(|error| PushError::InBatch { position, error: Box::new(error) });
    let rows = jobs.iter().enumerate().map(checked).collect::<Result<Vec<_>, _>>()?;
    let (unique, plain): (Vec<usize>, Vec<usize>) = (0..rows.len()).partition(|place| rows[*place].key.is_some());
    let chunks = chunks(&rows, &plain);
    if unique.is_empty() && chunks.len() <= 1 {
        // One statement is a transaction by itself.
        return write(connection, table, &rows, &chunks, &unique, commit).await;
    }
    let failed = |error| QueueError::Database(DatabaseError::new(error, table.schema()));
    let mut transaction = connection.begin().await.map_err(failed)?;
    let outcomes = write(&mut transaction, table, &rows, &chunks, &unique, commit).await?;
    transaction.commit().await.map_err(failed)?;
    Ok(outcomes)
}

async fn write(
    connection: &mut PgConnection,
    table: &QueueTable,
    rows: &[Row<'_>],
    chunks: &[&[usize]],
    unique: &[usize],
    commit: Commit,
) -> Result<Vec<PushOutcome>, PushError> {
    let mut outcomes = vec![None; rows.len()];
    for chunk in chunks {
        let written: Vec<&Row<'_>> = chunk.iter().map(|place| &rows[*place]).collect();
        let query = sql::query_as(include_str!("push_many.sql"), table);
        let ids: Vec<(i64,)> = bind(query, &written, Columns::Short)
            .bind(commit == Commit::LoseOnCrash)
            .fetch_all(&mut *connection)
            .await
            .map_err(|error| QueueError::new(error, table))?;
        for (place, (id,)) in chunk.iter().zip(ids) {
            outcomes[*place] = Some(PushOutcome::Enqueued(JobId(id)));
        }
    }
    for (place, outcome) in push_unique(connection, table, rows, unique).await? {
        outcomes[place] = Some(outcome);
    }
    let told = outcomes.into_iter().map(|outcome| outcome.expect("every job was written, or is a member of a group"));
    Ok(told.collect())
}

/// Cuts `places` into what one statement takes.
fn chunks<'p>(rows: &[Row<'_>], places: &'p [usize]) -> Vec<&'p [usize]> {
    let mut chunks = Vec::new();
    let mut rest = places;
    while !rest.is_empty() {
        let (chunk, later) = rest.split_at(fitting(rest.iter().map(|place| &rows[*place])));
        chunks.push(chunk);
        rest = later;
    }
    chunks
}
