//! The name of a queue, and the table behind it.

use std::{fmt, str::FromStr, sync::Arc};

use crate::{Schema, schema::shorten};

/// A queue's name: `[a-z][a-z0-9_]*`, at most 48 bytes, so that every table and index named after it fits PostgreSQL's 63.
///
/// ```
/// use pg_queue_core::QueueName;
/// assert!(QueueName::new("emails").is_ok());
/// assert!(QueueName::new("Emails; drop table users").is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueueName(Arc<str>);

impl QueueName {
    /// Checks the name.
    ///
    /// # Errors
    /// The name breaks the rule given at the type.
    pub fn new(name: impl AsRef<str>) -> Result<Self, InvalidQueueName> {
        let name = name.as_ref();
        let mut bytes = name.bytes();
        let first = bytes.next().is_some_and(|b| b.is_ascii_lowercase());
        let rest = bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if first && rest && name.len() <= 48 { Ok(Self(name.into())) } else { Err(InvalidQueueName(shorten(name))) }
    }

    /// The name as given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The table of this queue in `schema`.
    #[must_use]
    pub fn table(&self, schema: &Schema) -> QueueTable {
        QueueTable { schema: schema.clone(), queue: self.clone() }
    }
}

impl fmt::Display for QueueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for QueueName {
    type Err = InvalidQueueName;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::new(name)
    }
}

/// A queue name that breaks the rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid queue name {0:?}: a queue name has 1 to 48 bytes, begins with a letter a-z and goes on with a-z, 0-9 and _"
)]
pub struct InvalidQueueName(String);

/// One queue in one schema: what a statement about jobs is addressed to. Made by [`QueueName::table`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct QueueTable {
    pub(crate) schema: Schema,
    pub(crate) queue: QueueName,
}

impl QueueTable {
    /// The schema.
    #[must_use]
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// The queue.
    #[must_use]
    pub fn queue(&self) -> &QueueName {
        &self.queue
    }
}
