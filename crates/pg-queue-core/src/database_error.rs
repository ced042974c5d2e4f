//! What the database said, sorted by what helps.

use crate::{QueueName, Schema};

/// Why a statement failed. The message names the cure where there is one; it never holds a password or a payload.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatabaseError {
    /// No server answers at the address.
    #[error("cannot reach the PostgreSQL server ({0}): check that it is running and that host and port are right")]
    Unreachable(#[source] std::io::Error),
    /// The server refused the user, the password or the database.
    #[error("PostgreSQL refused the connection ({0}): check user, password and database name")]
    Refused(String),
    /// The tables are not there.
    #[error(
        "pg-queue's tables are missing or out of date in schema \"{schema}\": run `pg_queue::migrate(&pool)` or \
         `cargo xtask migrate` ({detail})"
    )]
    NotMigrated {
        /// The schema that was looked in.
        schema: Schema,
        /// The server's own words.
        detail: String,
    },
    /// The pool was closed.
    #[error("the connection pool is closed: it was shut down before this call")]
    PoolClosed,
    /// No connection became free in time.
    #[error(
        "no connection became free in the pool's acquire_timeout: give the pool more connections or use fewer at once"
    )]
    PoolTimedOut,
    /// Anything else.
    #[error("database error: {}", said(.0))]
    Other(#[source] sqlx::Error),
}

impl DatabaseError {
    /// Sorts an error of sqlx. `schema` is the one that the statement was about.
    pub fn new(error: sqlx::Error, schema: &Schema) -> Self {
        match error {
            sqlx::Error::Io(error) => Self::Unreachable(error),
            sqlx::Error::PoolClosed => Self::PoolClosed,
            sqlx::Error::PoolTimedOut => Self::PoolTimedOut,
            sqlx::Error::Database(ref inner) => match inner.code().as_deref() {
                Some("28000" | "28P01" | "3D000") => Self::Refused(inner.message().to_owned()),
                // undefined table, column, function, schema
                Some("42P01" | "42703" | "42883" | "3F000") => {
                    Self::NotMigrated { schema: schema.clone(), detail: inner.message().to_owned() }
                }
                _ => Self::Other(error),
            },
            error => Self::Other(error),
        }
    }
}

/// Why a statement about a queue failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueueError {
    /// There is no such queue.
    #[error("queue \"{0}\" does not exist: make it with `queue.create(..)` or `select pg_queue_create_queue('{0}')`")]
    Missing(QueueName),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl QueueError {
    /// Sorts an error of a statement on `queue`'s table.
    ///
    /// A missing table means a missing queue. Where the migrations are missing too, creating the queue says so.
    pub fn new(error: sqlx::Error, table: &crate::QueueTable) -> Self {
        if let sqlx::Error::Database(inner) = &error
            && inner.code().as_deref() == Some("42P01")
            && names(inner.message(), &format!("{}.queue_{}", table.schema, table.queue))
        {
            return Self::Missing(table.queue.clone());
        }
        Self::Database(DatabaseError::new(error, &table.schema))
    }
}

/// The server's own words and its code. How sqlx shows its error ends with a line number, of the server's source code.
fn said(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(inner) => match inner.code() {
            Some(code) => format!("{} (SQLSTATE {code})", inner.message()),
            None => inner.message().to_owned(),
        },
        error => error.to_string(),
    }
}

/// Whether the message names this table. What stands around the name depends on the server's language.
pub(crate) fn names(message: &str, table: &str) -> bool {
    let part_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    message
        .split_once(table)
        .is_some_and(|(before, after)| !before.ends_with(part_of_name) && !after.starts_with(part_of_name))
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn a_table_is_found_in_a_message_of_any_language_and_not_in_a_longer_name() {
        let table = "public.queue_emails";
        for message in [
            "relation \"public.queue_emails\" does not exist",
            "Relation »public.queue_emails« existiert nicht",
            "la relation « public.queue_emails » n'existe pas",
        ] {
            assert!(names(message, table), "{message}");
        }
        for message in [
            "relation \"public.queue_emails_due\" does not exist",
            "relation \"not_public.queue_emails\" does not exist",
            "relation \"public.pg_queue_history\" does not exist",
        ] {
            assert!(!names(message, table), "{message}");
        }
        assert!(!names("relation \"public.pg_queue_history\" does not exist", "public.queue_history"));
    }
}
