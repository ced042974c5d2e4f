//! Bindings: what is sent to a topic becomes a job in every queue that is bound to it.

use std::{collections::BTreeMap, time::SystemTime};

use sqlx::{FromRow, PgExecutor, Row, error::BoxDynError, postgres::PgRow};

use super::{InvalidTopic, TopicPattern};
use crate::{
    DEFAULT_MAX_ATTEMPTS, DatabaseError, Job, Priority, QueueError, QueueName, Schema, sql, timestamp::Timestamp,
};

/// The kind of the jobs that are made by a binding which says nothing of it: that of a job that is pushed without one.
pub const DEFAULT_KIND: &str = "raw";

/// Which messages are let through: names of attributes, each with the values that it may have. A message must have all of them.
pub type Filter = BTreeMap<String, Vec<String>>;

/// A binding that is not in the database yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewBinding {
    /// Which topics.
    pub pattern: TopicPattern,
    /// Where the jobs are made.
    pub queue: QueueName,
    /// What type of job.
    pub kind: String,
    /// Which messages are let through; all of them, when it is empty.
    pub filter: Filter,
    /// Which jobs its jobs run before.
    pub priority: Priority,
    /// How many attempts its jobs have.
    pub max_attempts: u16,
}

impl NewBinding {
    /// Lets all messages through, and makes jobs of the kind `raw`.
    #[must_use]
    pub fn new(pattern: TopicPattern, queue: QueueName) -> Self {
        Self {
            pattern,
            queue,
            kind: DEFAULT_KIND.to_owned(),
            filter: Filter::new(),
            priority: Priority::DEFAULT,
            max_attempts: DEFAULT_MAX_ATTEMPTS,
        }
    }

    /// Makes jobs of this type, with its priority and its number of attempts.
    #[must_use]
    pub fn kind<J: Job>(mut self) -> Self {
        self.kind = J::KIND.to_owned();
        self.priority = J::PRIORITY;
        self.max_attempts = J::MAX_ATTEMPTS;
        self
    }
}

/// A binding as it stands in the database.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Binding {
    /// Which topics.
    pub pattern: TopicPattern,
    /// Where the jobs are made.
    pub queue: QueueName,
    /// What type of job.
    pub kind: String,
    /// Which messages are let through; all of them, when it is empty.
    pub filter: Filter,
    /// Which jobs its jobs run before.
    pub priority: Priority,
    /// How many attempts its jobs have.
    pub max_attempts: u16,
    /// When it was first made.
    pub created_at: SystemTime,
}

impl FromRow<'_, PgRow> for Binding {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let unreadable = |error: BoxDynError| sqlx::Error::Decode(error);
        let filter: Option<&str> = row.try_get(3)?;
        Ok(Self {
            pattern: TopicPattern::new(row.try_get::<&str, _>(0)?).map_err(|error| unreadable(error.into()))?,
            queue: QueueName::new(row.try_get::<&str, _>(1)?).map_err(|error| unreadable(error.into()))?,
            kind: row.try_get(2)?,
            filter: match filter {
                Some(filter) => serde_json::from_str(filter).map_err(|error| unreadable(error.into()))?,
                None => Filter::new(),
            },
            priority: Priority::from_column(row.try_get(4)?),
            max_attempts: u16::try_from(row.try_get::<i16, _>(5)?).unwrap_or(1),
            created_at: row.try_get::<Timestamp, _>(6)?.0,
        })
    }
}

/// Binds a queue to the topics of a pattern: each message that is sent to one of them from the commit on becomes a job there,
/// exactly if its sender's transaction commits. One that fits several patterns of a queue becomes one job of each kind. The
/// binding that is there already gets the new filter, priority and number of attempts.
///
/// # Errors
/// The queue is missing, the kind, the filter or the number of attempts breaks a rule, or the database failed.
pub async fn bind(executor: impl PgExecutor<'_>, schema: &Schema, binding: &NewBinding) -> Result<(), BindError> {
    let NewBinding { pattern, queue, kind, filter, priority, max_attempts } = binding;
    if kind.contains('\0') || holds_nul(filter) {
        return Err(BindError::Invalid(
            "invalid kind or filter: it holds a NUL, which PostgreSQL does not take".into(),
        ));
    }
    let filter = (!filter.is_empty()).then(|| serde_json::to_string(filter).expect("a map of strings is JSON"));
    sql::query(include_str!("bind.sql"), schema)
        .bind(pattern.as_str())
        .bind(queue.as_str())
        .bind(kind)
        .bind(filter)
        .bind(i32::from(priority.get()))
        .bind(i32::from(*max_attempts))
        .execute(executor)
        .await
        .map_err(|error| BindError::new(error, schema, queue))?;
    Ok(())
}

fn holds_nul(filter: &Filter) -> bool {
    filter.iter().any(|(name, allowed)| name.contains('\0') || allowed.iter().any(|value| value.contains('\0')))
}

/// Ends a binding; the jobs that it has made stay. Answers whether there was one.
///
/// # Errors
/// The migrations are missing or the database failed.
pub async fn unbind(
    executor: impl PgExecutor<'_>,
    schema: &Schema,
    pattern: &TopicPattern,
    queue: &QueueName,
    kind: &str,
) -> Result<bool, DatabaseError> {
    sql::query_scalar(include_str!("unbind.sql"), schema)
        .bind(pattern.as_str())
        .bind(queue.as_str())
        .bind(kind)
        .fetch_one(executor)
        .await
        .map_err(|error| DatabaseError::new(error, schema))
}

/// All bindings, by pattern, queue and kind.
///
/// # Errors
/// The migrations are missing or the database failed.
pub async fn bindings(executor: impl PgExecutor<'_>, schema: &Schema) -> Result<Vec<Binding>, DatabaseError> {
    sql::query_as(include_str!("bindings.sql"), schema)
        .fetch_all(executor)
        .await
        .map_err(|error| DatabaseError::new(error, schema))
}

/// Why a binding was not made, or not ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// The pattern breaks the rule.
    #[error(transparent)]
    InvalidTopic(#[from] InvalidTopic),
    /// The kind, the filter or the number of attempts breaks a rule.
    #[error("{0}")]
    Invalid(String),
    /// The queue is missing, or the database failed.
    #[error(transparent)]
    Queue(#[from] QueueError),
}

impl From<DatabaseError> for BindError {
    fn from(error: DatabaseError) -> Self {
        Self::Queue(error.into())
    }
}

impl BindError {
    fn new(error: sqlx::Error, schema: &Schema, queue: &QueueName) -> Self {
        if let sqlx::Error::Database(inner) = &error {
            // What our function raises names the queue's table. The server's own error, of the same code, does not.
            let ours = inner.table() == Some(&format!("queue_{queue}"));
            match inner.code().as_deref() {
                Some("42P01") if ours => return QueueError::Missing(queue.clone()).into(),
                Some("22023") => return Self::Invalid(inner.message().to_owned()),
                _ => {}
            }
        }
        DatabaseError::new(error, schema).into()
    }
}
