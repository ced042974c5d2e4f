//! Looking who answers requests.

use std::time::Duration;

use sqlx::PgExecutor;

use crate::{DatabaseError, QueueName, Schema, WorkerId, sql};

/// A worker that answers a kind of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Server {
    /// Its id.
    pub id: WorkerId,
    /// How often it has beaten.
    pub beat: i64,
    /// The time between two of its beats.
    pub beat_interval: Duration,
}

/// The workers that answer each of these kinds in their queues, in the order of `wanted`: those of which nobody has said that they
/// are dead. Consumers that take requests by hand are not known to the database.
///
/// # Errors
/// The database failed.
pub async fn servers(
    executor: impl PgExecutor<'_>,
    schema: &Schema,
    wanted: &[(QueueName, &'static str)],
) -> Result<Vec<Vec<Server>>, DatabaseError> {
    let rows: Vec<(i64, i64, i64, i32)> = sql::query_as(include_str!("servers.sql"), schema)
        .bind(wanted.iter().map(|(queue, _)| queue.as_str()).collect::<Vec<_>>())
        .bind(wanted.iter().map(|(_, kind)| *kind).collect::<Vec<_>>())
        .fetch_all(executor)
        .await
        .map_err(|error| DatabaseError::new(error, schema))?;
    let mut servers = vec![Vec::new(); wanted.len()];
    for (position, id, beat, interval) in rows {
        let beat_interval = Duration::from_millis(u64::try_from(interval).unwrap_or(0));
        let of_kind = usize::try_from(position - 1).ok().and_then(|position| servers.get_mut(position));
        of_kind.into_iter().for_each(|servers| servers.push(Server { id: WorkerId(id), beat, beat_interval }));
    }
    Ok(servers)
}
