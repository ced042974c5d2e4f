//! The worker's own connections.

use std::time::Duration;

use pg_queue_client::PgQueue;
use pg_queue_core::{DatabaseError, PIN_PLANS, Schema};
use sqlx::{
    Executor, PgPool, Postgres,
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::time::timeout;

/// One each for claims, acknowledgements and maintenance, and one to spare while a broken one is replaced.
const CONNECTIONS: u32 = 4;

/// How long one statement of the worker may take. None takes more than some milliseconds; a connection that is dead
/// without an error takes for ever.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(30);

/// Connections for claims, acknowledgements and maintenance: handlers cannot use them up. Their plans are pinned.
#[derive(Debug)]
pub(super) struct Control {
    pool: PgPool,
    schema: Schema,
}

impl Control {
    pub(super) fn new(queue: &PgQueue) -> Self {
        let options: PgConnectOptions = PgConnectOptions::clone(&queue.pool().connect_options());
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(Duration::from_secs(10))
            // Statements that find a broken connection are sent again anyway; a ping before each would double them.
            .test_before_acquire(false)
            .after_connect(|connection, _| {
                Box::pin(async move {
                    connection.execute(PIN_PLANS).await?;
                    Ok(())
                })
            })
            .connect_lazy_with(options);
        Self { pool, schema: queue.schema().clone() }
    }

    pub(super) async fn acquire(&self) -> Result<PoolConnection<Postgres>, DatabaseError> {
        self.pool.acquire().await.map_err(|error| DatabaseError::new(error, &self.schema))
    }

    /// Runs a statement on a connection, with a bound on its time. After an error the connection is thrown away: it may be
    /// in the middle of an answer.
    pub(super) async fn run<T, E: From<DatabaseError>>(
        &self,
        statement: impl AsyncFnOnce(&mut PoolConnection<Postgres>) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut connection = self.acquire().await?;
        match timeout(STATEMENT_TIMEOUT, statement(&mut connection)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                connection.close_on_drop();
                Err(error)
            }
            Err(_) => {
                connection.close_on_drop();
                Err(DatabaseError::Unreachable(std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer")).into())
            }
        }
    }
}
