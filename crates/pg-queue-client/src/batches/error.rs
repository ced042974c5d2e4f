//! One error for many callers, and whose it is.

use std::{error::Error, fmt, io, sync::Arc};

use pg_queue_core::{DatabaseError, QueueError, jobs::PushError};
use sqlx::{
    error::ErrorKind,
    postgres::{PgDatabaseError, PgSeverity},
};

/// What an error says about the jobs, or the messages, of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blame {
    /// Undone, and perhaps because of a single job.
    Job,
    /// Undone, and it would be the same for each of them.
    Queue,
    /// Done or not done: nobody knows.
    Connection,
}

pub(super) fn blame(error: &PushError) -> Blame {
    match error {
        PushError::Queue(QueueError::Missing(_)) => Blame::Queue,
        PushError::Queue(QueueError::Database(error)) => blame_database(error),
        _ => Blame::Job,
    }
}

pub(crate) fn blame_database(error: &DatabaseError) -> Blame {
    match error {
        DatabaseError::NotMigrated { .. } => Blame::Queue,
        DatabaseError::Other(sqlx::Error::Database(error)) => {
            let severity = error.try_downcast_ref::<PgDatabaseError>().map(PgDatabaseError::severity);
            by_code(severity, error.code().as_deref().unwrap_or_default())
        }
        _ => Blame::Connection,
    }
}

/// Only an `ERROR` says for sure that the transaction was rolled back. `FATAL` ends the connection, and may do so between the
/// commit and the answer.
fn by_code(severity: Option<PgSeverity>, code: &str) -> Blame {
    if severity != Some(PgSeverity::Error) {
        return Blame::Connection;
    }
    match code.get(..2).unwrap_or_default() {
        // connection exceptions
        "08" => Blame::Connection,
        // A read-only server, a user without the right, a lock or a time that ran out, resources, an operator, the system:
        // the next statement would only fail in the same way, and after as long a wait.
        "25" | "28" | "42" | "53" | "55" | "57" | "58" => Blame::Queue,
        _ => Blame::Job,
    }
}

/// The same error for so many callers.
pub(super) fn repeated(error: PushError, count: usize) -> Vec<PushError> {
    if count == 1 {
        return vec![error];
    }
    let error = Arc::new(error);
    (0..count).map(|_| again(&error)).collect()
}

/// The same error of the database for so many callers.
pub(crate) fn repeated_database(error: DatabaseError, count: usize) -> Vec<DatabaseError> {
    let database = |error| match error {
        PushError::Queue(QueueError::Database(error)) => error,
        other => DatabaseError::Other(sqlx::Error::Protocol(other.to_string())),
    };
    repeated(QueueError::Database(error).into(), count).into_iter().map(database).collect()
}

fn again(error: &Arc<PushError>) -> PushError {
    let database = match &**error {
        PushError::Queue(QueueError::Missing(queue)) => return QueueError::Missing(queue.clone()).into(),
        PushError::Queue(QueueError::Database(database)) => match database {
            DatabaseError::Unreachable(error) => {
                DatabaseError::Unreachable(io::Error::new(error.kind(), error.to_string()))
            }
            DatabaseError::Refused(message) => DatabaseError::Refused(message.clone()),
            DatabaseError::NotMigrated { schema, detail } => {
                DatabaseError::NotMigrated { schema: schema.clone(), detail: detail.clone() }
            }
            DatabaseError::PoolClosed => DatabaseError::PoolClosed,
            DatabaseError::PoolTimedOut => DatabaseError::PoolTimedOut,
            DatabaseError::Other(sqlx::Error::Database(_)) => {
                DatabaseError::Other(sqlx::Error::Database(Box::new(Again(Arc::clone(error)))))
            }
            other => DatabaseError::Other(sqlx::Error::Protocol(other.to_string())),
        },
        other => DatabaseError::Other(sqlx::Error::Protocol(other.to_string())),
    };
    QueueError::Database(database).into()
}

/// What the server said, to one more caller.
struct Again(Arc<PushError>);

impl Again {
    fn said(&self) -> Option<&dyn sqlx::error::DatabaseError> {
        match &*self.0 {
            PushError::Queue(QueueError::Database(DatabaseError::Other(sqlx::Error::Database(said)))) => Some(&**said),
            _ => None,
        }
    }
}

impl fmt::Debug for Again {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Again {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for Again {}

impl sqlx::error::DatabaseError for Again {
    fn message(&self) -> &str {
        self.said().map_or("", |said| said.message())
    }

    fn code(&self) -> Option<std::borrow::Cow<'_, str>> {
        self.said().and_then(sqlx::error::DatabaseError::code)
    }

    fn as_error(&self) -> &(dyn Error + Send + Sync + 'static) {
        self.said().map_or(self, |said| said.as_error())
    }

    fn as_error_mut(&mut self) -> &mut (dyn Error + Send + Sync + 'static) {
        self
    }

    fn into_error(self: Box<Self>) -> Box<dyn Error + Send + Sync + 'static> {
        self
    }

    fn constraint(&self) -> Option<&str> {
        self.said().and_then(|said| said.constraint())
    }

    fn table(&self) -> Option<&str> {
        self.said().and_then(|said| said.table())
    }

    fn kind(&self) -> ErrorKind {
        self.said().map_or(ErrorKind::Other, sqlx::error::DatabaseError::kind)
    }
}
