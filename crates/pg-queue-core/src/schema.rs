//! Where the tables are, and how they are reached.

use std::{fmt, str::FromStr, sync::Arc};

/// The schema that holds pg-queue's tables and functions: `public` unless told otherwise.
///
/// The name is `[a-z_][a-z0-9_]*`, at most 48 bytes, and does not begin with `pg_`, which PostgreSQL keeps for itself.
///
/// ```
/// use pg_queue_core::Schema;
/// assert_eq!(Schema::default().as_str(), "public");
/// assert!(Schema::new("jobs").is_ok());
/// assert!(Schema::new("pg_queue").is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Schema {
    name: Arc<str>,
    pooled: bool,
}

impl Schema {
    /// Checks the name.
    ///
    /// # Errors
    /// The name breaks the rule given at the type.
    pub fn new(name: &str) -> Result<Self, InvalidSchema> {
        let mut bytes = name.bytes();
        let first = bytes.next().is_some_and(|b| b.is_ascii_lowercase() || b == b'_');
        let rest = bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if first && rest && name.len() <= 48 && !name.starts_with("pg_") {
            Ok(Self { name: name.into(), pooled: false })
        } else {
            Err(InvalidSchema(shorten(name)))
        }
    }

    /// The same schema, reached through a pooler that hands out server connections by transaction, as PgBouncer does with
    /// `pool_mode = transaction`: statements about it are prepared without a name, which another client of the same server
    /// connection could hold. They work inside of a transaction only, as [`in_transaction`](crate::in_transaction) makes one.
    #[must_use]
    pub fn pooled(self) -> Self {
        Self { pooled: true, ..self }
    }

    /// Whether it is reached through such a pooler.
    #[must_use]
    pub const fn is_pooled(&self) -> bool {
        self.pooled
    }

    /// The name as given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// The channel on which pg-queue talks to itself: wake-ups of idle workers.
    #[must_use]
    pub fn channel(&self) -> String {
        format!("pg_queue.{}", self.name)
    }
}

impl Default for Schema {
    fn default() -> Self {
        Self { name: "public".into(), pooled: false }
    }
}

impl fmt::Display for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl FromStr for Schema {
    type Err = InvalidSchema;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::new(name)
    }
}

/// A schema name that breaks the rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid schema name {0:?}: a schema name has 1 to 48 bytes of a-z, 0-9 and _, does not begin with a digit, \
     and does not begin with pg_, which PostgreSQL reserves"
)]
pub struct InvalidSchema(String);

/// A name that is quoted in an error, cut to a length that fits a log line.
pub(crate) fn shorten(name: &str) -> String {
    name.chars().take(80).collect()
}
