//! The worker's own connections.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use pg_queue_client::PgQueue;
use pg_queue_core::{
    BEGIN, BEGIN_PINNED_PATIENT, DatabaseError, PIN_PLANS, Schema, in_transaction, in_transaction_of_pool,
};
use sqlx::{
    Executor, PgConnection, PgPool, Postgres,
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::time::timeout;

use super::{
    hand::{Hand, Role},
    trouble::{Fails, Trouble},
};

/// One each for claims, acknowledgements, replies and maintenance, and one to spare while a broken one is replaced. They are
/// opened when they are needed: a worker without responders has no more than four.
const CONNECTIONS: u32 = 5;

/// How long opening a connection may take.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long one statement of the worker may take. None takes more than some milliseconds; a connection that is dead
/// without an error takes for ever.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(30);

/// How long the server itself goes on with it: not longer, so that what was given up does not happen afterwards.
const SERVER_TIMEOUT: Duration = Duration::from_secs(25);

/// How long a statement may wait for a lock. The rows are skipped when they are locked; this is about a queue's table
/// that somebody alters, which must not hold up the other queues.
const LOCK_TIMEOUT: Duration = Duration::from_secs(1);

/// Connections for claims, acknowledgements, replies and maintenance: handlers cannot use them up. Their plans are pinned; through a
/// pooler, where what is set for a connection would be set for strangers, by each transaction.
#[derive(Debug)]
pub(super) struct Control {
    pool: PgPool,
    hand: Hand,
    /// The application's: it knows how to connect.
    application: PgPool,
    options: Mutex<Arc<PgConnectOptions>>,
    schema: Schema,
}

impl Control {
    pub(super) fn new(queue: &PgQueue) -> Self {
        let application = queue.pool().clone();
        let options = application.connect_options();
        let is_pooled = queue.schema().is_pooled();
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            // Statements that find a broken connection are sent again anyway; a ping before each would double them.
            .test_before_acquire(false)
            .after_connect(move |connection, _| {
                Box::pin(async move {
                    if is_pooled {
                        return Ok(());
                    }
                    connection.execute(PIN_PLANS).await?;
                    let patience = Patience { statement: SERVER_TIMEOUT, lock: LOCK_TIMEOUT };
                    patience.set(connection, false).await
                })
            })
            .connect_lazy_with(PgConnectOptions::clone(&options));
        Self { pool, hand: Hand::default(), application, options: Mutex::new(options), schema: queue.schema().clone() }
    }

    pub(super) async fn acquire(&self, role: Role) -> Result<PoolConnection<Postgres>, DatabaseError> {
        self.follow_options();
        self.hand.take(&self.pool, role).await.map_err(|error| match error {
            // All of these connections are the worker's: nobody uses them up, the server is away.
            sqlx::Error::PoolTimedOut => no_answer("no connection could be opened"),
            error => DatabaseError::new(error, &self.schema),
        })
    }

    /// Runs a statement on a connection, with a bound on its time, and through a pooler in a transaction of its own. After an error the connection is thrown away, unless it
    /// is certain that nothing is wrong with it: it may be in the middle of an answer.
    pub(super) async fn run<T, E: Fails>(
        &self,
        statement: impl AsyncFnOnce(&mut PgConnection) -> Result<T, E>,
    ) -> Result<T, E> {
        self.run_as(Role::Care, statement).await
    }

    /// The same for a statement that is sent often, on the connection that is kept for that.
    pub(super) async fn run_as<T, E: Fails>(
        &self,
        role: Role,
        statement: impl AsyncFnOnce(&mut PgConnection) -> Result<T, E>,
    ) -> Result<T, E> {
        let connection = self.acquire(role).await?;
        self.run_on(connection, role, statement).await
    }

    /// The same on a connection that is there: whatever fails here may have been sent.
    pub(super) async fn run_on<T, E: Fails>(
        &self,
        mut connection: PoolConnection<Postgres>,
        role: Role,
        statement: impl AsyncFnOnce(&mut PgConnection) -> Result<T, E>,
    ) -> Result<T, E> {
        let sent = async {
            if self.schema.is_pooled() {
                in_transaction_of_pool(&mut connection, &self.schema, BEGIN_PINNED_PATIENT, statement).await
            } else {
                statement(&mut connection).await
            }
        };
        match timeout(STATEMENT_TIMEOUT, sent).await {
            Ok(Ok(answer)) => {
                self.hand.put(role, connection);
                Ok(answer)
            }
            Ok(Err(error)) => {
                if !matches!(error.trouble(), Trouble::Gone | Trouble::Busy) {
                    connection.close_on_drop();
                }
                Err(error)
            }
            Err(_) => {
                connection.close_on_drop();
                Err(no_answer("no answer").into())
            }
        }
    }

    /// Closes the connections.
    pub(super) async fn close(&self) {
        self.hand.close();
        self.pool.close().await;
    }

    /// An application whose password expires gives its pool a new one.
    fn follow_options(&self) {
        let current = self.application.connect_options();
        let mut known = self.options.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&known, &current) {
            self.pool.set_connect_options(PgConnectOptions::clone(&current));
            *known = current;
        }
    }
}

/// How long the server itself goes on with a statement, and waits for a lock.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    pub(super) statement: Duration,
    pub(super) lock: Duration,
}

impl Patience {
    /// Makes the server give up by itself what takes too long on this connection, or in its transaction.
    pub(super) async fn set(self, connection: &mut PgConnection, in_transaction: bool) -> Result<(), sqlx::Error> {
        sqlx::query(include_str!("patience.sql"))
            .bind(self.statement.as_millis().to_string())
            .bind(self.lock.as_millis().to_string())
            .bind(in_transaction)
            // Nobody sends it twice on a connection; and through a pooler nothing may have a name.
            .persistent(false)
            .execute(connection)
            .await?;
        Ok(())
    }

    /// Does `work` on a connection on which it was set; through a pooler, in a transaction in which it is set.
    pub(super) async fn run<T>(
        self,
        connection: &mut PgConnection,
        schema: &Schema,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, DatabaseError>,
    ) -> Result<T, DatabaseError> {
        if !schema.is_pooled() {
            return work(connection).await;
        }
        let patiently = async |connection: &mut PgConnection| {
            self.set(connection, true).await.map_err(|error| DatabaseError::new(error, schema))?;
            work(connection).await
        };
        in_transaction(connection, schema, BEGIN, patiently).await
    }
}

fn no_answer(message: &str) -> DatabaseError {
    DatabaseError::Unreachable(io::Error::new(io::ErrorKind::TimedOut, message))
}
