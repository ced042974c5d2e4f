//! Claiming due jobs under a lease.

use std::time::{Duration, SystemTime};

use serde_json::{Map, Value};
use sqlx::{PgExecutor, Row, postgres::PgRow};
use uuid::Uuid;

use super::Reach;
use crate::{
    LeaseToken, LeasedJobId, Priority, QueueError, QueueTable, RequestId, WorkerId,
    errors::read_object,
    sql,
    timestamp::{Timestamp, micros},
};

/// Who claims, and what keeps the lease alive.
#[derive(Debug, Clone, Copy)]
pub enum Claimant {
    /// A worker process; its heartbeat keeps the lease.
    Worker(WorkerId),
    /// A consumer without a heartbeat; the lease stands for this long.
    HandDriven(Duration),
}

/// A job that was claimed: what it is, and the lease on it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ClaimedJob {
    /// The id with the lease.
    pub id: LeasedJobId,
    /// What type of job it is.
    pub kind: String,
    /// The payload as JSON.
    pub payload: String,
    /// How many attempts it has in all.
    pub max_attempts: u16,
    /// Which jobs it runs before.
    pub priority: Priority,
    /// Since when it has been due.
    pub run_at: SystemTime,
    /// When it was enqueued.
    pub created_at: SystemTime,
    /// The request that it is, if it is one.
    pub request_id: Option<RequestId>,
    /// How old the request was when it was claimed, by the database's clock; nothing for other jobs.
    pub request_age: Duration,
    /// How long this job's attempts may run; `None` leaves it to its kind.
    pub timeout: Option<TimeLimit>,
    /// The words to find it by.
    pub tags: Vec<String>,
    /// What it carries beside its payload.
    pub metadata: Map<String, Value>,
}

/// How long an attempt may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeLimit {
    /// Until it ends.
    Unlimited,
    /// This long.
    After(Duration),
}

/// Claims up to `limit` due jobs under `token`, those that run first first. `kinds` of `None` takes every kind.
///
/// Must run outside of any longer transaction and with its plan pinned: see [`BEGIN_PINNED`](crate::BEGIN_PINNED).
/// A result shorter than `limit` does not mean that the queue is empty.
///
/// # Errors
/// The queue is missing or the database failed. After a lost connection the claim may have happened all the same.
pub async fn claim(
    executor: impl PgExecutor<'_>,
    table: &QueueTable,
    claimant: Claimant,
    token: LeaseToken,
    kinds: Option<&[String]>,
    limit: u32,
) -> Result<Vec<ClaimedJob>, QueueError> {
    claim_within(executor, table, claimant, token, kinds, limit, Reach::All).await
}

/// The same for who remembers how far he has come: [`Floors::learn`](super::Floors::learn) is to be told what this answers.
///
/// # Errors
/// Those of [`claim`].
pub async fn claim_within(
    executor: impl PgExecutor<'_>,
    table: &QueueTable,
    claimant: Claimant,
    token: LeaseToken,
    kinds: Option<&[String]>,
    limit: u32,
    reach: Reach<'_>,
) -> Result<Vec<ClaimedJob>, QueueError> {
    let (floors, sweep) = match reach {
        Reach::All => (None, false),
        Reach::Above(floors) => (Some(floors.columns()), false),
        Reach::Sweep(floors) => (Some(floors.columns()), true),
    };
    let (run_at, id) = floors.unzip();
    let (worker, lease) = match claimant {
        Claimant::Worker(id) => (Some(id.0), None),
        Claimant::HandDriven(lease) => (None, Some(micros(lease))),
    };
    let rows = sql::query(include_str!("claim.sql"), table)
        .bind(worker)
        .bind(token.0)
        .bind(lease)
        .bind(kinds)
        .bind(i64::from(limit))
        .bind(run_at)
        .bind(id)
        .bind(sweep)
        .fetch_all(executor)
        .await
        .map_err(|error| QueueError::new(error, table))?;
    let jobs = rows.iter().map(|row| claimed(row, token)).collect::<Result<Vec<_>, _>>();
    let mut jobs = jobs.map_err(|error| QueueError::new(error, table))?;
    jobs.sort_by_key(|job| (job.priority, job.run_at, job.id.id));
    Ok(jobs)
}

/// Reads a row of `claim.sql`. Without sqlx's look at the type of each column, which would take a quarter of the worker's time for
/// a job that does nothing: the statement is ours, and so are the table's types.
pub(crate) fn claimed(row: &PgRow, token: LeaseToken) -> Result<ClaimedJob, sqlx::Error> {
    let (attempt, max_attempts, priority): (i16, i16, i16) =
        (row.try_get_unchecked(1)?, row.try_get_unchecked(2)?, row.try_get_unchecked(3)?);
    let (run_at, created_at): (Timestamp, Timestamp) = (row.try_get_unchecked(6)?, row.try_get_unchecked(7)?);
    let (request_id, timeout): (Option<Uuid>, Option<i64>) = (row.try_get_unchecked(8)?, row.try_get_unchecked(9)?);
    let metadata: Option<&str> = row.try_get_unchecked(11)?;
    let age: Option<i64> = row.try_get_unchecked(13)?;
    // The table's constraints keep these in range; a table that was tampered with shall not stop the claim.
    let attempt = u16::try_from(attempt).unwrap_or(u16::MAX);
    Ok(ClaimedJob {
        id: LeasedJobId { id: row.try_get_unchecked(0)?, token, attempt, place: row.try_get_unchecked(12)? },
        kind: row.try_get_unchecked(4)?,
        payload: row.try_get_unchecked(5)?,
        max_attempts: u16::try_from(max_attempts).unwrap_or(1),
        priority: Priority::from_column(priority),
        run_at: run_at.0,
        created_at: created_at.0,
        request_id: request_id.map(RequestId::from_uuid),
        request_age: age.and_then(|millis| u64::try_from(millis).ok()).map(Duration::from_millis).unwrap_or_default(),
        timeout: timeout.map(|millis| match u64::try_from(millis) {
            Ok(0) | Err(_) => TimeLimit::Unlimited,
            Ok(millis) => TimeLimit::After(Duration::from_millis(millis)),
        }),
        tags: row.try_get_unchecked::<Option<Vec<String>>, _>(10)?.unwrap_or_default(),
        metadata: read_object(metadata),
    })
}
