//! What all clones of one handle share.

use std::{fmt, sync::Arc};

use pg_queue_core::{
    DatabaseError, QueueName, QueueTable, Schema, TraceContext,
    jobs::{Commit, NewJob},
    topics::Message,
};
use sqlx::{PgConnection, PgPool};

use crate::{
    at_hand::AtHand,
    batches::Batches,
    bells::Bells,
    connection::Doctor,
    link::Link,
    listener::Hub,
    logs::LogName,
    missing::AboutQueue,
    publisher,
    topics::{Publisher, Switchboard},
};

/// Finds out where the caller is in a distributed trace.
pub(crate) type Tracer = Arc<dyn Fn() -> Option<TraceContext> + Send + Sync>;

/// The pool, the schema, and the one listener connection of a process.
pub(crate) struct Shared {
    pub(crate) pool: PgPool,
    pub(crate) schema: Schema,
    pub(crate) hub: Hub,
    pub(crate) batches: Batches,
    pub(crate) bells: Bells,
    pub(crate) at_hand: AtHand,
    pub(crate) publisher: Publisher,
    pub(crate) switchboard: Switchboard,
    pub(crate) log_publisher: publisher::Publisher<LogName>,
    /// How what is enqueued through the pool is committed.
    pub(crate) commit: Commit,
    tracer: Option<Tracer>,
    doctor: Doctor,
}

// Not derived: a function shows nothing.
impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("schema", &self.schema).field("hub", &self.hub).finish_non_exhaustive()
    }
}

impl Shared {
    pub(crate) fn new(pool: PgPool, schema: Schema, hub: Hub, tracer: Option<Tracer>, commit: Commit) -> Self {
        Self {
            pool,
            schema,
            hub,
            batches: Batches::default(),
            bells: Bells::default(),
            at_hand: AtHand::default(),
            publisher: Publisher::default(),
            switchboard: Switchboard::default(),
            log_publisher: publisher::Publisher::default(),
            commit,
            tracer,
            doctor: Doctor::default(),
        }
    }

    /// Gives jobs the trace context of their enqueuer, unless they have one.
    pub(crate) fn trace(&self, jobs: &mut [NewJob]) {
        let Some(context) = self.tracer.as_ref().and_then(|tracer| tracer()) else { return };
        for job in jobs.iter_mut().filter(|job| !job.options.has_trace_context()) {
            job.options = std::mem::take(&mut job.options).trace_context(context.clone());
        }
    }

    /// Gives a message the trace context of its sender, for the jobs that are made of it.
    pub(crate) fn trace_message(&self, message: &mut Message) {
        message.trace_context = self.tracer.as_ref().and_then(|tracer| tracer());
    }

    pub(crate) fn table(&self, queue: &QueueName) -> QueueTable {
        queue.table(&self.schema)
    }

    pub(crate) async fn acquire(&self) -> Result<Link, DatabaseError> {
        Ok(Link::new(self.doctor.acquire(&self.pool, &self.schema).await?, self.schema.clone()))
    }

    /// Does `work` over a connection of the pool: see [`Link::run`].
    pub(crate) async fn run<T, E: From<DatabaseError>>(
        &self,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, E>,
    ) -> Result<T, E> {
        self.acquire().await?.run(work).await
    }

    /// The same about a queue: an error that it is missing names the right cure.
    pub(crate) async fn run_about<T, E: From<DatabaseError> + AboutQueue>(
        &self,
        table: &QueueTable,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, E>,
    ) -> Result<T, E> {
        self.acquire().await?.run_about(table, work).await
    }

    /// Whether another connection can be taken from the pool without anybody having to wait for one.
    pub(crate) fn has_spare_connection(&self) -> bool {
        !self.pool.is_closed()
            && (self.pool.num_idle() > 0 || self.pool.size() < self.pool.options().get_max_connections())
    }
}
