//! A missing table: did nobody make the queue, or are the migrations missing too?

use pg_queue_core::{
    DatabaseError, QueueError, QueueTable,
    jobs::{LeaseError, PushError},
    queues,
};

use crate::link::Link;

/// Errors that may say that a queue is missing.
pub(crate) trait AboutQueue {
    fn about_queue(&mut self) -> Option<&mut QueueError>;
}

impl AboutQueue for QueueError {
    fn about_queue(&mut self) -> Option<&mut QueueError> {
        Some(self)
    }
}

impl AboutQueue for PushError {
    fn about_queue(&mut self) -> Option<&mut QueueError> {
        if let Self::Queue(error) = self { Some(error) } else { None }
    }
}

impl AboutQueue for LeaseError {
    fn about_queue(&mut self) -> Option<&mut QueueError> {
        if let Self::Queue(error) = self { Some(error) } else { None }
    }
}

/// Looks again when a statement about a queue has found no table, so that the error names the right cure. Not for the
/// inside of a transaction: the missing table has aborted it.
pub(crate) async fn explained<T, E: AboutQueue>(
    link: &mut Link,
    table: &QueueTable,
    result: Result<T, E>,
) -> Result<T, E> {
    let mut result = result;
    if let Err(error) = &mut result
        && let Some(missing @ QueueError::Missing(_)) = error.about_queue()
        && let Err(cause @ QueueError::Database(DatabaseError::NotMigrated { .. })) =
            link.run(async |connection| queues::exists(connection, table).await).await
    {
        *missing = cause;
    }
    result
}
