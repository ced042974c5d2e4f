//! Names of logs and of their groups.

use std::{fmt, str::FromStr, sync::Arc};

use crate::{Schema, schema::shorten};

/// A log's name: `[a-z][a-z0-9_]*`, at most 48 bytes, as for queues.
///
/// ```
/// use pg_queue_core::logs::LogName;
/// assert!(LogName::new("orders").is_ok());
/// assert!(LogName::new("Orders!").is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LogName(Arc<str>);

impl LogName {
    /// Checks the name.
    ///
    /// # Errors
    /// The name breaks the rule given at the type.
    pub fn new(name: impl AsRef<str>) -> Result<Self, InvalidLogName> {
        let name = name.as_ref();
        let mut bytes = name.bytes();
        let first = bytes.next().is_some_and(|b| b.is_ascii_lowercase());
        let rest = bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if first && rest && name.len() <= 48 { Ok(Self(name.into())) } else { Err(InvalidLogName(shorten(name))) }
    }

    /// The name as given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The table of this log in `schema`.
    #[must_use]
    pub fn table(&self, schema: &Schema) -> LogTable {
        LogTable { schema: schema.clone(), log: self.clone() }
    }

    /// By which the log's groups ask to be woken, and are.
    #[must_use]
    pub fn wake_key(&self) -> String {
        format!("log:{}", self.0)
    }
}

impl fmt::Display for LogName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for LogName {
    type Err = InvalidLogName;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::new(name)
    }
}

/// A log name that breaks the rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid log name {0:?}: a log name has 1 to 48 bytes, begins with a letter a-z and goes on with a-z, 0-9 and _"
)]
pub struct InvalidLogName(String);

/// One log in one schema: what a statement about messages is addressed to. Made by [`LogName::table`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LogTable {
    pub(crate) schema: Schema,
    pub(crate) log: LogName,
}

impl LogTable {
    /// The schema.
    #[must_use]
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// The log.
    #[must_use]
    pub fn log(&self) -> &LogName {
        &self.log
    }
}

/// The name of a group: 1 to 100 bytes without a NUL.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupName(Arc<str>);

impl GroupName {
    /// Checks the name.
    ///
    /// # Errors
    /// The name breaks the rule given at the type.
    pub fn new(name: impl AsRef<str>) -> Result<Self, InvalidGroupName> {
        let name = name.as_ref();
        let fits = (1..=100).contains(&name.len()) && !name.contains('\0');
        if fits { Ok(Self(name.into())) } else { Err(InvalidGroupName(shorten(name))) }
    }

    /// The name as given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A group's name that breaks the rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid group name {0:?}: a group name has 1 to 100 bytes and no NUL")]
pub struct InvalidGroupName(String);
