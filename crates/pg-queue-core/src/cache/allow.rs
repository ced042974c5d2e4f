//! Limits on how often something is done, among all processes.

use std::{collections::HashMap, time::Duration};

use sqlx::PgExecutor;

use super::Key;
use crate::{DatabaseError, Schema, sql};

/// The longest time over which something can be limited: a year.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// The wish to do something that is limited.
#[derive(Debug, Clone)]
pub struct Wish {
    key: Key,
    limit: u32,
    per: Duration,
}

impl Wish {
    /// `limit` times in `per`.
    ///
    /// # Errors
    /// The limit or the time is zero, or the time longer than a year.
    pub fn new(key: Key, limit: u32, per: Duration) -> Result<Self, InvalidLimit> {
        if limit == 0 || per.is_zero() || per > LONGEST {
            return Err(InvalidLimit { limit, per });
        }
        Ok(Self { key, limit, per })
    }

    /// After how many microseconds another one is allowed.
    fn step(&self) -> f64 {
        self.per.as_secs_f64() * 1e6 / f64::from(self.limit)
    }
}

/// A limit that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("invalid limit of {limit} in {per:?}: it is at least one, in more than zero and at most a year")]
pub struct InvalidLimit {
    limit: u32,
    per: Duration,
}

/// Whether something may be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allowed {
    /// Now.
    Now,
    /// Not before so long has passed, and then only if nobody else is quicker.
    After(Duration),
}

impl Allowed {
    /// Whether it may be done now.
    #[must_use]
    pub fn is_now(self) -> bool {
        self == Self::Now
    }
}

/// Asks whether each of these may be done, and counts those that may. Whoever asks about one key is to give one limit.
///
/// # Errors
/// The database failed.
pub async fn allow(
    executor: impl PgExecutor<'_>,
    schema: &Schema,
    wishes: &[&Wish],
) -> Result<Vec<Allowed>, DatabaseError> {
    let mut asked: HashMap<&Key, (&Wish, i64)> = HashMap::with_capacity(wishes.len());
    for &wish in wishes {
        asked.entry(&wish.key).or_insert((wish, 0)).1 += 1;
    }
    let mut asked: Vec<(&Wish, i64)> = asked.into_values().collect();
    asked.sort_unstable_by(|(a, _), (b, _)| a.key.cmp(&b.key));
    let rows: Vec<(Vec<u8>, i64, f64)> = sql::query_as(include_str!("allow.sql"), schema)
        .bind(asked.iter().map(|(wish, _)| wish.key.as_bytes()).collect::<Vec<_>>())
        .bind(asked.iter().map(|(_, count)| *count).collect::<Vec<_>>())
        .bind(asked.iter().map(|(wish, _)| i64::from(wish.limit)).collect::<Vec<_>>())
        .bind(asked.iter().map(|(wish, _)| wish.step()).collect::<Vec<_>>())
        .fetch_all(executor)
        .await
        .map_err(|error| DatabaseError::new(error, schema))?;
    let mut given: HashMap<&[u8], (i64, f64)> =
        rows.iter().map(|(key, given, until_full)| (&**key, (*given, *until_full))).collect();
    let answer = |wish: &&Wish| {
        let Some((left, until_full)) = given.get_mut(wish.key.as_bytes()) else { return Allowed::After(wish.per) };
        if *left > 0 {
            *left -= 1;
            return Allowed::Now;
        }
        // Until one token is there. At least a microsecond: it is not there now.
        let micros = *until_full - f64::from(wish.limit - 1) * wish.step();
        Allowed::After(Duration::from_secs_f64(micros.max(1.0) / 1e6))
    };
    Ok(wishes.iter().map(answer).collect())
}
