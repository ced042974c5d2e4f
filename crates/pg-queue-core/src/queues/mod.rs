//! Queues: making, dropping, looking. One verb a file.

mod create;
mod create_unlogged;
mod drop;
mod exists;
mod list;
mod settings;

pub use self::{
    create::create,
    create_unlogged::create_unlogged,
    drop::drop,
    exists::exists,
    list::list,
    settings::{QueueSettings, keep, limit, pause, settings},
};
use crate::{DatabaseError, QueueName, QueueTable};

/// Why a queue was not made or not dropped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueueDdlError {
    /// A table with the queue's table name exists and is not pg-queue's.
    #[error("{0}")]
    NotOurs(String),
    /// The queue has unfinished jobs.
    #[error("{0}")]
    NotEmpty(String),
    /// Another transaction holds a lock on the tables; trying again helps when that one ends.
    #[error("queue \"{0}\" is locked by another transaction, and was not free within 5 s: try again")]
    Locked(QueueName),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl QueueDdlError {
    fn new(error: sqlx::Error, table: &QueueTable) -> Self {
        if let sqlx::Error::Database(inner) = &error {
            // The two that our functions raise name the queue's table. The server's own, of the same codes, do not.
            let ours = inner.table() == Some(&format!("queue_{}", table.queue()));
            match inner.code().as_deref() {
                Some("42P07") if ours => return Self::NotOurs(inner.message().to_owned()),
                Some("55000") if ours => return Self::NotEmpty(inner.message().to_owned()),
                Some("55P03") => return Self::Locked(table.queue().clone()),
                _ => {}
            }
        }
        Self::Database(DatabaseError::new(error, table.schema()))
    }
}
