//! What all clones of one handle share.

use pg_queue_core::{DatabaseError, QueueName, QueueTable, Schema};
use sqlx::{PgPool, Postgres, pool::PoolConnection};

use crate::{connection::Doctor, listener::Hub};

/// The pool, the schema, and the one listener connection of a process.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) pool: PgPool,
    pub(crate) schema: Schema,
    pub(crate) hub: Hub,
    doctor: Doctor,
}

impl Shared {
    pub(crate) fn new(pool: PgPool, schema: Schema, hub: Hub) -> Self {
        Self { pool, schema, hub, doctor: Doctor::default() }
    }

    pub(crate) fn table(&self, queue: &QueueName) -> QueueTable {
        queue.table(&self.schema)
    }

    pub(crate) async fn acquire(&self) -> Result<PoolConnection<Postgres>, DatabaseError> {
        self.doctor.acquire(&self.pool, &self.schema).await
    }
}
