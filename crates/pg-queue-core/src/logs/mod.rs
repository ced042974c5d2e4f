//! Logs: durable topics, and the groups that read them. One verb a file.

mod acknowledge;
mod ddl;
mod group;
mod list;
mod message;
mod name;
mod park;
mod position;
mod publish;
mod receive;

pub use self::{
    acknowledge::{FailedMessage, acknowledge, extend},
    ddl::{LogDdlError, create, drop, exists, rotate},
    group::{GroupError, GroupSettings, GroupStatus, Start, drop_group, groups, next_due, open, seek},
    list::{LogStatus, list, names},
    message::LogMessage,
    name::{GroupName, InvalidGroupName, InvalidLogName, LogName, LogTable},
    park::{ParkedMessage, discard_parked, parked, retry_parked},
    position::{InvalidPosition, Position},
    publish::{LogPublishError, publish, publish_checked},
    receive::{BatchId, LoggedMessage, receive},
};

use crate::{DatabaseError, database_error};

/// For how long a log keeps its messages. What is older, or beyond the size, is dropped in eighths of it, by any worker's
/// maintenance or a call to rotate; so up to an eighth more is kept than this says. Default: everything, for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retention {
    pub(crate) age: Option<std::time::Duration>,
    pub(crate) bytes: Option<u64>,
}

impl Retention {
    /// Keeps messages for this long, to the millisecond.
    #[must_use]
    pub fn age(age: std::time::Duration) -> Self {
        Self { age: Some(age), bytes: None }
    }

    /// Keeps so many bytes on the disk, indexes included.
    #[must_use]
    pub fn bytes(bytes: u64) -> Self {
        Self { age: None, bytes: Some(bytes) }
    }

    /// And not more than so many bytes on the disk.
    #[must_use]
    pub fn and_bytes(self, bytes: u64) -> Self {
        Self { bytes: Some(bytes), ..self }
    }
}

/// Why a statement about a log failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// There is no such log.
    #[error("log \"{0}\" does not exist: make it with `logs.create(..)` or `select pg_queue_create_log('{0}')`")]
    Missing(LogName),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl LogError {
    pub(crate) fn new(error: sqlx::Error, table: &LogTable) -> Self {
        if let sqlx::Error::Database(inner) = &error
            && inner.code().as_deref() == Some("42P01")
            && database_error::names(inner.message(), &format!("{}.log_{}", table.schema, table.log))
        {
            return Self::Missing(table.log.clone());
        }
        Self::Database(DatabaseError::new(error, &table.schema))
    }
}
