//! Enqueuing jobs that have unique keys.

use std::collections::{HashMap, HashSet};

use sqlx::PgConnection;

use super::{
    PushError, PushOutcome,
    fold::{Met, grouped},
    row::{Columns, Conflict, Hold, Row, bind, fitting},
};
use crate::{JobId, QueueError, QueueTable, sql};

/// How often a unique key may be freed between meeting it and looking for its holder before the call gives up.
const TRIES: u32 = 100;

/// How many jobs one statement overwrites. A plan that a prepared statement keeps compares each with each: 10,000 at once took
/// 150 s.
const OVERWRITE: usize = 100;

/// What met each key. A key that is missing was freed between the statement that met it and the look for its holder.
type MetByKey = HashMap<String, Met>;

/// Which statement enqueues a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Statement {
    Keeping,
    /// With the most that a debounced job waits from its first enqueue on.
    Overwriting(Option<i64>),
    Remembered,
}

impl Statement {
    fn of(row: &Row<'_>) -> Option<Self> {
        let key = row.key.as_ref()?;
        Some(match (key.hold, key.on_conflict) {
            (Hold::Time(_), _) => Self::Remembered,
            (Hold::Job { .. }, Conflict::Keep) => Self::Keeping,
            (Hold::Job { .. }, Conflict::Replace) => Self::Overwriting(None),
            (Hold::Job { .. }, Conflict::Debounce(most)) => Self::Overwriting(Some(most)),
        })
    }
}

/// Enqueues those of `rows` at `places`, which have keys. Answers what became of each, by its place.
///
/// Whatever a batch has about one key is one row of one statement. The holder of a key that is met there is looked for by a
/// statement of its own, with a newer snapshot; a key that was freed in between is tried again.
pub(super) async fn push_unique(
    connection: &mut PgConnection,
    table: &QueueTable,
    rows: &[Row<'_>],
    places: &[usize],
) -> Result<Vec<(usize, PushOutcome)>, PushError> {
    let mut outcomes = Vec::with_capacity(places.len());
    let mut open = grouped(rows, places);
    for _ in 0..TRIES {
        let mut groups = std::mem::take(&mut open);
        // In the order of the keys, and for each run of keys that go by the same statement one of that. To go statement by
        // statement would take fewer of them where they are mixed, and their keys in another order than the next batch does.
        while let Some(statement) = groups.first().and_then(|group| Statement::of(&rows[group.written])) {
            let written = groups.iter().map(|group| &rows[group.written]);
            let rest = groups.split_off(fitting(written.take_while(|row| Statement::of(row) == Some(statement))));
            let written: Vec<&Row<'_>> = groups.iter().map(|group| &rows[group.written]).collect();
            let met =
                send(connection, table, statement, &written).await.map_err(|error| QueueError::new(error, table))?;
            for (group, row) in groups.into_iter().zip(written) {
                match row.key_text().and_then(|key| met.get(key)) {
                    Some(met) => outcomes.extend(group.outcomes(rows, *met)),
                    None => open.push(group),
                }
            }
            groups = rest;
        }
        if open.is_empty() {
            return Ok(outcomes);
        }
    }
    Err(PushError::Contended(TRIES))
}

async fn send(
    connection: &mut PgConnection,
    table: &QueueTable,
    statement: Statement,
    rows: &[&Row<'_>],
) -> Result<MetByKey, sqlx::Error> {
    let sql = |template| bind(sql::query_as(template, table), rows, Columns::Full);
    let pushing = match statement {
        Statement::Keeping => sql(include_str!("push_keeping.sql")),
        Statement::Overwriting(most) => sql(include_str!("push_overwriting.sql")).bind(most),
        Statement::Remembered => {
            let spans: Vec<i64> = rows.iter().map(|row| row.span()).collect();
            sql(include_str!("push_remembered.sql")).bind(spans)
        }
    };
    let pushed: Vec<(String, i64, bool)> = pushing.fetch_all(&mut *connection).await?;
    let told = |(key, id, was_there)| {
        let id = JobId(id);
        (key, if was_there { Met::Waiting(id) } else { Met::Nobody(id) })
    };
    let mut met: MetByKey = pushed.into_iter().map(told).collect();
    let conflicts = |row: &&&Row<'_>| row.key_text().is_some_and(|key| !met.contains_key(key));
    let conflicting: Vec<&Row<'_>> = rows.iter().filter(conflicts).copied().collect();
    if conflicting.is_empty() {
        return Ok(met);
    }
    let look = match statement {
        Statement::Keeping | Statement::Overwriting(_) => include_str!("find_unique.sql"),
        Statement::Remembered => include_str!("find_remembered.sql"),
    };
    let keys: Vec<&str> = conflicting.iter().filter_map(|row| row.key_text()).collect();
    let holders: Vec<(String, i64)> = sql::query_as(look, table).bind(keys).fetch_all(&mut *connection).await?;
    let left_alone = holders.into_iter().map(|(key, id)| (key, Met::LeftAlone(JobId(id))));
    let mut holders: MetByKey = left_alone.collect();
    if statement == Statement::Remembered {
        overwrite(connection, table, &conflicting, &mut holders).await?;
    }
    met.extend(holders);
    Ok(met)
}

/// Overwrites the waiting ones among `holders`, where that is asked for.
async fn overwrite(
    connection: &mut PgConnection,
    table: &QueueTable,
    rows: &[&Row<'_>],
    holders: &mut MetByKey,
) -> Result<(), sqlx::Error> {
    let mut overwriting = Vec::new();
    let (mut most, mut ids) = (Vec::new(), Vec::new());
    for row in rows {
        let Some(key) = &row.key else { continue };
        let Some(Met::LeftAlone(id)) = holders.get(&key.text) else { continue };
        let longest = match key.on_conflict {
            Conflict::Keep => continue,
            Conflict::Replace => None,
            Conflict::Debounce(most) => Some(most),
        };
        overwriting.push(*row);
        most.push(longest);
        ids.push(id.get());
    }
    let mut overwritten = HashSet::new();
    for ((rows, most), ids) in overwriting.chunks(OVERWRITE).zip(most.chunks(OVERWRITE)).zip(ids.chunks(OVERWRITE)) {
        let query = sql::query_as(include_str!("overwrite.sql"), table);
        let waited: Vec<(i64,)> =
            bind(query, rows, Columns::Full).bind(most).bind(ids).fetch_all(&mut *connection).await?;
        overwritten.extend(waited.into_iter().map(|(id,)| id));
    }
    for met in holders.values_mut() {
        if let Met::LeftAlone(id) = *met
            && overwritten.contains(&id.get())
        {
            *met = Met::Waiting(id);
        }
    }
    Ok(())
}
