//! The connections of the pool, as the library uses them: the only way in which it sends a statement over one.

use pg_queue_core::{BEGIN, DatabaseError, QueueTable, Schema, in_transaction_of_pool};
use sqlx::{PgConnection, Postgres, pool::PoolConnection};

use crate::missing::{AboutQueue, explained};

/// A connection of the pool. Through a pooler that hands out server connections by transaction, whatever is done over it is in
/// a transaction of its own: one for each call.
#[derive(Debug)]
pub(crate) struct Link {
    connection: PoolConnection<Postgres>,
    schema: Schema,
}

impl Link {
    pub(crate) const fn new(connection: PoolConnection<Postgres>, schema: Schema) -> Self {
        Self { connection, schema }
    }

    /// Does `work`, which does not go on after a statement that has failed. Its answer is given after the commit.
    pub(crate) async fn run<T, E: From<DatabaseError>>(
        &mut self,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, E>,
    ) -> Result<T, E> {
        if self.schema.is_pooled() {
            return in_transaction_of_pool(&mut self.connection, &self.schema, BEGIN, work).await;
        }
        work(&mut self.connection).await
    }

    /// The same about a queue: an error that it is missing names the right cure.
    pub(crate) async fn run_about<T, E: From<DatabaseError> + AboutQueue>(
        &mut self,
        table: &QueueTable,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, E>,
    ) -> Result<T, E> {
        let done = self.run(work).await;
        explained(self, table, done).await
    }

    /// Does `work` in a transaction that `begin` begins, through a pooler or not.
    pub(crate) async fn transaction<T, E: From<DatabaseError>>(
        &mut self,
        begin: &'static str,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, E>,
    ) -> Result<T, E> {
        in_transaction_of_pool(&mut self.connection, &self.schema, begin, work).await
    }

    /// Does `work` in no transaction, through a pooler or not: one statement by the simple protocol, after which there is nothing that
    /// the next one would need the same server connection for.
    pub(crate) async fn in_no_transaction<T, E: From<DatabaseError>>(
        &mut self,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, E>,
    ) -> Result<T, E> {
        work(&mut self.connection).await
    }

    /// It is of no use to others.
    pub(crate) fn close_on_drop(&mut self) {
        self.connection.close_on_drop();
    }
}
