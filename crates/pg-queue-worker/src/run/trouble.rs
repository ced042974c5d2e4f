//! What an error says about trying again.

use pg_queue_core::{DatabaseError, QueueError, logs::LogError, queues::QueueDdlError};

/// What a failed statement means for itself and for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// There is no such queue any more, and no job of it.
    Gone,
    /// Undone, because something was in the way for too long: a lock, mostly.
    Busy,
    /// Undone, and refused: it will be refused again until somebody changes something. Others may be accepted.
    Refused,
    /// Done or not done: the connection was lost, or there is none. Other statements will not fare better.
    Away,
}

/// Errors that say so.
pub(super) trait Fails: From<DatabaseError> {
    fn trouble(&self) -> Trouble;
}

impl Fails for DatabaseError {
    fn trouble(&self) -> Trouble {
        match self {
            Self::NotMigrated { .. } => Trouble::Refused,
            Self::Other(sqlx::Error::Database(error)) => by_code(error.code().as_deref().unwrap_or_default()),
            // Also a user or a password that the server refuses: then it refuses everything.
            _ => Trouble::Away,
        }
    }
}

impl Fails for QueueError {
    fn trouble(&self) -> Trouble {
        match self {
            Self::Missing(_) => Trouble::Gone,
            Self::Database(error) => error.trouble(),
            _ => Trouble::Away,
        }
    }
}

impl Fails for LogError {
    fn trouble(&self) -> Trouble {
        match self {
            Self::Missing(_) => Trouble::Gone,
            Self::Database(error) => error.trouble(),
            _ => Trouble::Away,
        }
    }
}

impl Fails for QueueDdlError {
    fn trouble(&self) -> Trouble {
        match self {
            Self::Locked(_) => Trouble::Busy,
            Self::Database(error) => error.trouble(),
            _ => Trouble::Refused,
        }
    }
}

fn by_code(code: &str) -> Trouble {
    match code {
        // query_canceled (by the statement_timeout), lock_not_available
        "57014" | "55P03" => Trouble::Busy,
        // read_only_sql_transaction: the server has become a standby; another connection may find the primary.
        "25006" => Trouble::Away,
        _ => match code.get(..2).unwrap_or_default() {
            // serialization failures and deadlocks
            "40" => Trouble::Busy,
            // connection exceptions, resources, operator intervention, system errors
            "08" | "53" | "57" | "58" => Trouble::Away,
            _ => Trouble::Refused,
        },
    }
}
