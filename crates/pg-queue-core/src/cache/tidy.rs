//! Removing what has expired and what is too much, and measuring what is left.

use sqlx::{PgConnection, PgExecutor};

use super::{CacheTable, cleanup::pages};
use crate::{
    DatabaseError,
    sql::{self, Place},
};

/// How many pages one step looks at: 8 MiB, some milliseconds.
const PAGES: i64 = 1024;

/// How many values it is told of when they were used last, about, and how many are on a page, at most.
const SAMPLES: f64 = 4000.0;
const ON_A_PAGE: f64 = 60.0;

/// What a walk through a table did, and found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Survey {
    /// How many values had expired, and are removed.
    pub expired: u64,
    /// How many others are removed.
    pub evicted: u64,
    /// How many values are left.
    pub values: u64,
    /// How many bytes they take, about: keys and values as they are stored, and 100 bytes each for what is around them.
    pub bytes: u64,
    /// When some of them were used last, in microseconds since 1970.
    pub used: Vec<i64>,
}

/// A walk through a table, page range after page range, so that no statement takes long.
#[derive(Debug)]
pub struct Walk {
    table: CacheTable,
    next: i64,
    end: i64,
    /// Everything that was used last before this moment is removed; microseconds since 1970.
    evicts_before: Option<i64>,
}

impl Walk {
    /// Begins a walk. With a moment it removes what was used last before it.
    ///
    /// # Errors
    /// The database failed.
    pub async fn begin(
        executor: impl PgExecutor<'_>,
        table: &CacheTable,
        evicts_before: Option<i64>,
    ) -> Result<Self, DatabaseError> {
        let end = pages(executor, &table.schema, table.name()).await?;
        Ok(Self { table: table.clone(), next: 0, end, evicts_before })
    }

    /// Takes the next step, and adds to the survey. Answers whether there is another one.
    ///
    /// # Errors
    /// The database failed.
    pub async fn step(&mut self, executor: impl PgExecutor<'_>, survey: &mut Survey) -> Result<bool, DatabaseError> {
        if self.next >= self.end {
            return Ok(false);
        }
        #[expect(clippy::cast_precision_loss, reason = "it is a share, about")]
        let share = (SAMPLES / (self.end as f64 * ON_A_PAGE)).min(1.0);
        let row: (i64, i64, i64, i64, Vec<i64>) = sql::query_as(include_str!("tidy.sql"), &self.table)
            .bind(self.next)
            .bind(self.next + PAGES)
            .bind(self.evicts_before)
            .bind(share)
            .fetch_one(executor)
            .await
            .map_err(|error| DatabaseError::new(error, &self.table.schema))?;
        let (expired, evicted, values, bytes, used) = row;
        survey.expired += expired.unsigned_abs();
        survey.evicted += evicted.unsigned_abs();
        survey.values += values.unsigned_abs();
        survey.bytes += bytes.unsigned_abs();
        survey.used.extend(used);
        self.next += PAGES;
        Ok(self.next < self.end)
    }
}

/// Lets what was removed be written over by what comes. Does nothing for a user who does not own the table.
///
/// # Errors
/// The connection is in a transaction, or the database failed.
pub async fn vacuum(connection: &mut PgConnection, table: &CacheTable) -> Result<(), DatabaseError> {
    // By the simple protocol, as nothing is to be prepared.
    sqlx::raw_sql(table.fill(include_str!("vacuum.sql")))
        .execute(connection)
        .await
        .map_err(|error| DatabaseError::new(error, &table.schema))?;
    Ok(())
}
