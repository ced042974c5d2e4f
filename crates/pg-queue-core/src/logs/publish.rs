//! Publishing messages to a log.

use sqlx::{PgConnection, PgExecutor};

use super::{LogError, LogMessage, LogTable, Position, exists};
use crate::sql;

/// Publishes messages, all or none, and answers their positions, in the order given. They are there when the executor's
/// transaction commits, or when this returns.
///
/// # Errors
/// The log is missing or the database failed.
pub async fn publish(
    executor: impl PgExecutor<'_>,
    table: &LogTable,
    messages: &[LogMessage],
) -> Result<Vec<Position>, LogError> {
    let bodies: Vec<&str> = messages.iter().map(|message| &*message.body).collect();
    let attributes: Vec<Option<String>> = messages.iter().map(LogMessage::attributes_json).collect();
    let rows: Vec<(i64, i64)> = sql::query_as(include_str!("publish.sql"), table)
        .bind(table.log().as_str())
        .bind(bodies)
        .bind(attributes)
        .fetch_all(executor)
        .await
        .map_err(|error| LogError::new(error, table))?;
    Ok(rows.into_iter().map(|(transaction, number)| Position { transaction, number }).collect())
}

/// The same in the caller's transaction, which a missing log does not abort.
///
/// # Errors
/// Those of [`publish`].
pub async fn publish_checked(
    connection: &mut PgConnection,
    table: &LogTable,
    messages: &[LogMessage],
) -> Result<Vec<Position>, LogError> {
    if !exists(&mut *connection, table).await? {
        return Err(LogError::Missing(table.log().clone()));
    }
    publish(connection, table, messages).await
}

/// Why a message was not published.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogPublishError {
    /// The log's name breaks the rule.
    #[error(transparent)]
    InvalidName(#[from] super::InvalidLogName),
    /// The message cannot be written as JSON.
    #[error("the message does not serialize: {0}")]
    Serialize(#[source] serde_json::Error),
    /// What was given as JSON is none.
    #[error("the message is no JSON: {0}")]
    NoJson(#[source] serde_json::Error),
    /// The message is too long.
    #[error("the message has {bytes} bytes of JSON: at most 16 MiB are allowed")]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// The attributes are too long.
    #[error("the message has {bytes} bytes of attributes: at most 64 KiB are allowed")]
    AttributesTooLarge {
        /// Their length.
        bytes: usize,
    },
    /// What was publishing the message ended before it had an answer. The message may have been published.
    #[error("the runtime was shut down while the message was on its way: it may or may not have been published")]
    Interrupted,
    /// The log is missing, or the database failed. After a lost connection nobody knows whether the message was published.
    #[error(transparent)]
    Log(#[from] LogError),
}
