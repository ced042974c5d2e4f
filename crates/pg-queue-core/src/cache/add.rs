//! Counters.

use std::collections::HashMap;

use sqlx::PgExecutor;

use super::{CacheError, CacheTable, Expiry, Key, slots::told, ttl::Written};
use crate::{DatabaseError, sql};

/// Something that is to be added to a counter.
#[derive(Debug, Clone)]
pub struct Addition {
    key: Key,
    addend: i64,
    written: Written,
}

impl Addition {
    /// Adds this to a counter, which is made at zero, and with this expiry, when it is not there.
    ///
    /// # Errors
    /// The time to live cannot be used.
    pub fn new(key: Key, addend: i64, expiry: Expiry) -> Result<Self, CacheError> {
        Ok(Self { key, addend, written: expiry.checked()? })
    }

    /// The counter's key.
    #[must_use]
    pub fn key(&self) -> &Key {
        &self.key
    }
}

/// Adds to counters, in this order. Answers position by position what each addition came to; `None` where the value is no whole
/// number, or the sum leaves the range of 64 bits.
///
/// # Errors
/// The database failed; then nothing was added.
pub async fn add(
    executor: impl PgExecutor<'_>,
    table: &CacheTable,
    additions: &[&Addition],
) -> Result<Vec<Option<i64>>, DatabaseError> {
    // One row cannot be written twice by a statement. The first addition to a key is the one that makes it.
    let mut order: Vec<usize> = (0..additions.len()).collect();
    order.sort_by(|a, b| additions[*a].key.cmp(&additions[*b].key));
    let mut firsts: Vec<&Addition> = Vec::new();
    let mut totals: Vec<Option<i64>> = Vec::new();
    for at in order {
        let addition = additions[at];
        match (firsts.last(), totals.last_mut()) {
            (Some(first), Some(total)) if first.key == addition.key => {
                *total = total.and_then(|total| total.checked_add(addition.addend));
            }
            _ => {
                firsts.push(addition);
                totals.push(Some(addition.addend));
            }
        }
    }
    let asked: Vec<(&Addition, i64)> =
        firsts.into_iter().zip(totals).filter_map(|(first, total)| Some((first, total?))).collect();
    let rows: Vec<(Vec<u8>, i64, Option<String>, i64)> = sql::query_as(include_str!("add.sql"), table)
        .bind(asked.iter().map(|(it, _)| it.key.as_bytes()).collect::<Vec<_>>())
        .bind(asked.iter().map(|(_, total)| *total).collect::<Vec<_>>())
        .bind(asked.iter().map(|(it, _)| it.written.lives).collect::<Vec<_>>())
        .bind(asked.iter().map(|(it, _)| it.written.slides).collect::<Vec<_>>())
        .bind(asked.iter().map(|_| rand::random()).collect::<Vec<i64>>())
        .bind(told(asked.iter().map(|(it, _)| &it.key)))
        .bind(table.is_durable())
        .fetch_all(executor)
        .await
        .map_err(|error| DatabaseError::new(error, &table.schema))?;
    // From the end backwards, since the sum is known that the last one came to.
    let mut sums: HashMap<&[u8], i64> = rows.iter().map(|(key, sum, ..)| (&**key, *sum)).collect();
    let mut answers: Vec<Option<i64>> = additions
        .iter()
        .rev()
        .map(|it| {
            let sum = sums.get_mut(it.key.as_bytes())?;
            let came_to = *sum;
            *sum = sum.wrapping_sub(it.addend);
            Some(came_to)
        })
        .collect();
    answers.reverse();
    Ok(answers)
}
