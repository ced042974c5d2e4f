//! Sending messages to topics, and fetching the long ones.

use std::collections::HashSet;

use sqlx::{PgConnection, PgExecutor};

use super::{Message, Topic, envelope::pack};
use crate::{Commit, DatabaseError, QueueName, Schema, sql};

/// Sends messages to whoever is subscribed to their topics at that moment, and into the queues that are bound to them: at the
/// commit of the connection's transaction, or at once. All or nothing. Answers the queues that got jobs.
///
/// Long messages are stored for the subscribers, for a minute, in a table without a log. With [`Commit::LoseOnCrash`] nothing
/// waits for the disk, which takes nothing from a message that nobody keeps; not for a transaction that does more. What has
/// become a job is committed as ever.
///
/// # Errors
/// A queue is missing that is bound to one of the topics, or the database failed. Either aborts the connection's transaction.
pub async fn publish(
    connection: &mut PgConnection,
    schema: &Schema,
    messages: &[Message],
    commit: Commit,
) -> Result<Vec<QueueName>, PublishError> {
    if publish_unbound(&mut *connection, schema, messages, commit).await? {
        return Ok(Vec::new());
    }
    publish_bound(connection, schema, messages, commit).await
}

/// The same for messages to whose topics no queue is bound. Answers `false`, and sends nothing, when one is.
///
/// # Errors
/// The database failed.
pub async fn publish_unbound(
    executor: impl PgExecutor<'_>,
    schema: &Schema,
    messages: &[Message],
    commit: Commit,
) -> Result<bool, DatabaseError> {
    let packed = pack(schema, messages);
    let notifications = packed.payloads.len() as u64;
    let statement =
        if packed.stored.is_empty() { include_str!("publish.sql") } else { include_str!("publish_long.sql") };
    let mut query = sql::query(statement, schema)
        .bind(packed.channels)
        .bind(packed.payloads)
        .bind(commit == Commit::LoseOnCrash)
        .bind(topics(messages));
    if !packed.stored.is_empty() {
        query = query.bind(packed.stored).bind(packed.bodies);
    }
    let sent = query.execute(executor).await.map_err(|error| DatabaseError::new(error, schema))?;
    Ok(sent.rows_affected() == notifications)
}

/// The same for messages to whose topics queues are bound. To others, too, but it costs more than
/// [`publish_unbound`].
///
/// # Errors
/// Those of [`publish`].
pub async fn publish_bound(
    executor: impl PgExecutor<'_>,
    schema: &Schema,
    messages: &[Message],
    commit: Commit,
) -> Result<Vec<QueueName>, PublishError> {
    let packed = pack(schema, messages);
    let (queues, _): (Vec<String>, i64) = sql::query_as(include_str!("publish_bound.sql"), schema)
        .bind(packed.channels)
        .bind(packed.payloads)
        .bind(commit == Commit::LoseOnCrash)
        .bind(packed.stored)
        .bind(packed.bodies)
        .bind(messages.iter().map(|message| message.topic.as_str()).collect::<Vec<_>>())
        .bind(messages.iter().map(|message| message.body.as_str()).collect::<Vec<_>>())
        .bind(messages.iter().map(Message::metadata).collect::<Vec<_>>())
        .fetch_one(executor)
        .await
        .map_err(|error| PublishError::new(error, schema))?;
    Ok(queues.iter().filter_map(|queue| QueueName::new(queue).ok()).collect())
}

/// Which of the messages' topics queues are bound to, with or without a filter.
///
/// # Errors
/// The database failed.
pub async fn bound(
    executor: impl PgExecutor<'_>,
    schema: &Schema,
    messages: &[Message],
) -> Result<HashSet<Topic>, DatabaseError> {
    let bound: Vec<String> = sql::query_scalar(include_str!("bound.sql"), schema)
        .bind(topics(messages))
        .fetch_all(executor)
        .await
        .map_err(|error| DatabaseError::new(error, schema))?;
    Ok(bound.iter().filter_map(|topic| Topic::new(topic).ok()).collect())
}

/// The topics of messages, each once.
fn topics(messages: &[Message]) -> Vec<&str> {
    let topics: HashSet<&str> = messages.iter().map(|message| message.topic.as_str()).collect();
    topics.into_iter().collect()
}

/// Messages that were stored under these numbers. Those that are missing came too late: they are kept for a minute.
///
/// # Errors
/// The database failed.
pub async fn fetch(
    executor: impl PgExecutor<'_>,
    schema: &Schema,
    stored: &[i64],
) -> Result<Vec<(i64, String)>, DatabaseError> {
    sql::query_as(include_str!("fetch.sql"), schema)
        .bind(stored)
        .fetch_all(executor)
        .await
        .map_err(|error| DatabaseError::new(error, schema))
}

/// Throws away up to a hundred long messages that were sent more than a minute ago. Answers how many.
///
/// # Errors
/// The database failed.
pub async fn prune(executor: impl PgExecutor<'_>, schema: &Schema) -> Result<u64, DatabaseError> {
    let pruned = sql::query(include_str!("prune.sql"), schema).execute(executor).await;
    pruned.map(|pruned| pruned.rows_affected()).map_err(|error| DatabaseError::new(error, schema))
}

/// Why a message was not sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The topic breaks the rule.
    #[error(transparent)]
    InvalidTopic(#[from] super::InvalidTopic),
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
    #[error("the message's attributes have {bytes} bytes of JSON: at most 4 KiB are allowed")]
    AttributesTooLarge {
        /// Their length.
        bytes: usize,
    },
    /// An attribute holds a NUL.
    #[error("the message's attributes hold a NUL, which PostgreSQL does not take")]
    NulInAttributes,
    /// A queue that is bound to the topic is missing: it was dropped at that moment, or its table was dropped by hand.
    #[error(
        "queue \"{0}\", which is bound to the topic, does not exist, and the message was sent to nobody: make the queue with \
         `queue.create(..)`, or end the binding with `topics.unbind(..)`"
    )]
    MissingQueue(QueueName),
    /// What was sending the message ended before it had an answer: the runtime was shut down. The message may have been sent.
    #[error("the runtime was shut down while the message was on its way: it may or may not have been sent")]
    Interrupted,
    /// The database failed. After a lost connection nobody knows whether the message was sent.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl PublishError {
    /// Sorts an error of a statement that publishes to bound queues. One of them is missing if the error says so, be it in our
    /// function's words or in the server's.
    fn new(error: sqlx::Error, schema: &Schema) -> Self {
        if let sqlx::Error::Database(inner) = &error
            && inner.code().as_deref() == Some("42P01")
            && let Some(queue) = inner.table().and_then(queue_of).or_else(|| named_queue(inner.message(), schema))
        {
            return Self::MissingQueue(queue);
        }
        Self::Database(DatabaseError::new(error, schema))
    }
}

/// The queue to which a table belongs.
fn queue_of(table: &str) -> Option<QueueName> {
    QueueName::new(table.strip_prefix("queue_")?).ok()
}

/// The queue whose table a message names. What stands around the name depends on the server's language.
fn named_queue(message: &str, schema: &Schema) -> Option<QueueName> {
    let (_, after) = message.split_once(&format!("{schema}.queue_"))?;
    let end = after.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(after.len());
    QueueName::new(&after[..end]).ok()
}

#[cfg(test)]
mod tests {
    use super::named_queue;
    use crate::Schema;

    #[test]
    fn the_missing_queue_is_found_in_a_message_of_any_language() {
        let found = |message| named_queue(message, &Schema::default()).map(|queue| queue.to_string());
        assert_eq!(found("relation \"public.queue_emails\" does not exist").as_deref(), Some("emails"));
        assert_eq!(found("la relation « public.queue_a_1 » n'existe pas").as_deref(), Some("a_1"));
        assert_eq!(found("relation \"public.pg_queue_bindings\" does not exist"), None);
    }
}
