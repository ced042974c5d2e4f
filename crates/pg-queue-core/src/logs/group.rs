//! Groups: opening, moving, looking, dropping.

use std::time::{Duration, SystemTime};

use serde_json::json;
use sqlx::{PgConnection, PgExecutor};

use super::{GroupName, LogError, LogTable, Position, exists};
use crate::{
    DatabaseError, sql,
    timestamp::{Timestamp, micros},
};

/// Where a group begins to read. What transactions publish that are open at that moment comes in any case, wherever it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Start {
    /// With the oldest message that is kept.
    Beginning,
    /// With what is published from now on.
    #[default]
    End,
    /// With what follows this message.
    After(Position),
    /// With what was published at this time, on the server's clock, or later; and perhaps a little before.
    Since(SystemTime),
}

impl Start {
    fn json(self) -> String {
        match self {
            Self::Beginning => json!({"at": "beginning"}),
            Self::End => json!({"at": "end"}),
            Self::After(Position { transaction, number }) => json!({"after": [transaction, number]}),
            Self::Since(time) => {
                let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                json!({"since": micros(since)})
            }
        }
        .to_string()
    }
}

/// What is the same for all members of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupSettings {
    /// A message that has failed so often is parked. Default: 5.
    pub max_attempts: u16,
    /// How long after its first failure a message is tried again, to the millisecond; twice as long after each further one, up to
    /// an hour. Default: 1 s.
    pub retry_after: Duration,
}

impl Default for GroupSettings {
    fn default() -> Self {
        Self { max_attempts: 5, retry_after: Duration::from_secs(1) }
    }
}

/// A group, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupStatus {
    /// Its name.
    pub name: GroupName,
    /// What is set for it.
    pub settings: GroupSettings,
    /// Batches that its members have in hand.
    pub batches: u64,
    /// Messages that failed and are to be tried again.
    pub retrying: u64,
    /// Messages that failed too often.
    pub parked: u64,
    /// Messages that were dropped before the group had seen them.
    pub lost: u64,
    /// When the first message was sent that it has not seen; `None` if it has seen all.
    pub unseen_since: Option<SystemTime>,
}

/// Makes a group that begins at `start`. One that is there already stays where it is.
///
/// # Errors
/// It is there with other settings, which stay; the log is missing; or the database failed.
pub async fn open(
    connection: &mut PgConnection,
    table: &LogTable,
    group: &GroupName,
    start: Start,
    settings: GroupSettings,
) -> Result<(), GroupError> {
    let retry_ms = i64::try_from(settings.retry_after.as_millis()).unwrap_or(i64::MAX);
    // Who makes it at the same moment is met, but not seen, by the first statement.
    for _ in 0..3 {
        let there: Option<(i16, i64)> = sql::query_as(include_str!("open.sql"), table.schema())
            .bind(table.log().as_str())
            .bind(group.as_str())
            .bind(start.json())
            .bind(i16::try_from(settings.max_attempts.max(1)).unwrap_or(i16::MAX))
            .bind(retry_ms)
            .fetch_optional(&mut *connection)
            .await
            .map_err(|error| LogError::new(error, table))?;
        match there.map(|(attempts, millis)| read_settings(attempts, millis)) {
            Some(there)
                if there == read_settings(settings.max_attempts.try_into().unwrap_or(i16::MAX).max(1), retry_ms) =>
            {
                return Ok(());
            }
            Some(there) => return Err(GroupError::OtherSettings { group: group.clone(), there }),
            None if exists(&mut *connection, table).await? => {}
            None => break,
        }
    }
    Err(LogError::Missing(table.log().clone()).into())
}

fn read_settings(attempts: i16, millis: i64) -> GroupSettings {
    GroupSettings { max_attempts: attempts.unsigned_abs(), retry_after: Duration::from_millis(millis.unsigned_abs()) }
}

/// Moves a group to `start`. What its members have in hand is theirs no more, and what was to be tried again is forgotten; what is
/// parked stays.
///
/// # Errors
/// The group is missing, or the database failed.
pub async fn seek(
    executor: impl PgExecutor<'_>,
    table: &LogTable,
    group: &GroupName,
    start: Start,
) -> Result<(), GroupError> {
    let moved: Option<bool> = sql::query_scalar(include_str!("seek.sql"), table.schema())
        .bind(table.log().as_str())
        .bind(group.as_str())
        .bind(start.json())
        .fetch_optional(executor)
        .await
        .map_err(|error| LogError::new(error, table))?;
    moved.map(drop).ok_or_else(|| GroupError::missing(table, group))
}

/// Drops a group with all that it has seen and parked. Answers whether there was one.
///
/// # Errors
/// The database failed.
pub async fn drop_group(executor: impl PgExecutor<'_>, table: &LogTable, group: &GroupName) -> Result<bool, LogError> {
    sql::query_scalar(include_str!("drop_group.sql"), table.schema())
        .bind(table.log().as_str())
        .bind(group.as_str())
        .fetch_one(executor)
        .await
        .map_err(|error| LogError::new(error, table))
}

/// The groups of a log, by name.
///
/// # Errors
/// The log is missing, or the database failed.
pub async fn groups(executor: impl PgExecutor<'_>, table: &LogTable) -> Result<Vec<GroupStatus>, LogError> {
    type Row = (String, i16, i64, i64, i64, i64, i64, Option<Timestamp>);
    let rows: Vec<Row> = sql::query_as(include_str!("groups.sql"), table.schema())
        .bind(table.log().as_str())
        .fetch_all(executor)
        .await
        .map_err(|error| LogError::new(error, table))?;
    let read = |(name, attempts, millis, batches, retrying, parked, lost, unseen): Row| {
        let name = GroupName::new(name).map_err(|error| DatabaseError::Other(sqlx::Error::Decode(error.into())))?;
        Ok(GroupStatus {
            name,
            settings: read_settings(attempts, millis),
            batches: batches.unsigned_abs(),
            retrying: retrying.unsigned_abs(),
            parked: parked.unsigned_abs(),
            lost: lost.unsigned_abs(),
            unseen_since: unseen.map(|Timestamp(time)| time),
        })
    };
    rows.into_iter().map(read).collect()
}

/// How long until the group has something to do of which nobody is notified: a message that is tried again, or a lease that runs
/// out. `None` if there is nothing of that kind.
///
/// # Errors
/// The database failed.
pub async fn next_due(
    executor: impl PgExecutor<'_>,
    table: &LogTable,
    group: &GroupName,
) -> Result<Option<Duration>, LogError> {
    let due: Option<i64> = sql::query_scalar(include_str!("next_due.sql"), table.schema())
        .bind(table.log().as_str())
        .bind(group.as_str())
        .fetch_one(executor)
        .await
        .map_err(|error| LogError::new(error, table))?;
    Ok(due.map(|due| Duration::from_micros(u64::try_from(due).unwrap_or(0))))
}

/// Why a statement about a group failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GroupError {
    /// There is no such group: it was never opened, or was dropped.
    #[error("group \"{group}\" of log \"{log}\" does not exist: open it with `logs.group(..).open()`")]
    Missing {
        /// The log.
        log: super::LogName,
        /// The group.
        group: GroupName,
    },
    /// The group is there with other settings.
    #[error(
        "group \"{group}\" is in use with other settings: max_attempts = {} and retry_after = {:?}; use those, or another name",
        .there.max_attempts, .there.retry_after
    )]
    OtherSettings {
        /// The group.
        group: GroupName,
        /// Its settings.
        there: GroupSettings,
    },
    /// The server is not the one on which the group has read: a dump was restored, which begins to count transactions anew.
    #[error("{0}")]
    Restored(String),
    /// The batch is the member's no more: its lease ran out and the messages were given to somebody else, or the group was moved.
    #[error("the batch is lost: its lease ran out, or the group was moved; nothing of it was acknowledged")]
    Lost,
    /// The log is missing, or the database failed.
    #[error(transparent)]
    Log(#[from] LogError),
}

impl From<DatabaseError> for GroupError {
    fn from(error: DatabaseError) -> Self {
        Self::Log(error.into())
    }
}

impl GroupError {
    pub(super) fn missing(table: &LogTable, group: &GroupName) -> Self {
        Self::Missing { log: table.log().clone(), group: group.clone() }
    }

    pub(super) fn new(error: sqlx::Error, table: &LogTable, group: &GroupName) -> Self {
        if let sqlx::Error::Database(inner) = &error
            && inner.table() == Some("pg_queue_groups")
        {
            match inner.code().as_deref() {
                Some("42704") => return Self::missing(table, group),
                Some("55000") => return Self::Restored(inner.message().to_owned()),
                _ => {}
            }
        }
        Self::Log(LogError::new(error, table))
    }
}
