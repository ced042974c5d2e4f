//! What all clones of one handle share.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use pg_queue_core::{DatabaseError, QueueName, QueueTable, Schema};
use sqlx::{PgPool, Postgres, pool::PoolConnection};

use crate::{connection, listener::Hub};

/// The pool, the schema, and the one listener connection of a process.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) pool: PgPool,
    pub(crate) schema: Schema,
    pub(crate) hub: Hub,
    /// Queues that were seen. Inside of a caller's transaction a queue is looked for before it is written to; this
    /// spares the look from the second time on.
    seen: Mutex<HashSet<QueueName>>,
}

impl Shared {
    pub(crate) fn new(pool: PgPool, schema: Schema, hub: Hub) -> Self {
        Self {
            pool,
            schema,
            hub,
            seen: Mutex::default(),
        }
    }

    pub(crate) fn table(&self, queue: &QueueName) -> QueueTable {
        queue.table(&self.schema)
    }

    pub(crate) async fn acquire(&self) -> Result<PoolConnection<Postgres>, DatabaseError> {
        connection::acquire(&self.pool, &self.schema).await
    }

    pub(crate) fn has_seen(&self, queue: &QueueName) -> bool {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).contains(queue)
    }

    pub(crate) fn saw(&self, queue: &QueueName) {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(queue.clone());
    }

    pub(crate) fn forget(&self, queue: &QueueName) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).remove(queue);
    }
}
