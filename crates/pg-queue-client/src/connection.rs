//! Getting a connection, or a useful error soon.

use std::{
    io,
    time::{Duration, Instant},
};

use pg_queue_core::{DatabaseError, Schema};
use sqlx::{Connection, PgConnection, PgPool, Postgres, pool::PoolConnection, postgres::PgConnectOptions};
use tokio::{
    sync::Mutex,
    time::{sleep, timeout},
};

/// How long a server may take to accept a connection. A firewall that drops packets answers never.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection may take to say good-bye. It only has to reach the kernel.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// How long the pool may take before somebody looks why: longer than opening a connection takes, shorter than a user
/// waits before thinking that the program hangs.
const PATIENCE: Duration = Duration::from_millis(300);

/// For how long "the server is there, the pool is busy" stays believed: so often a starved pool costs a connection.
const BUSY_FOR: Duration = Duration::from_secs(2);

/// Finds out why a pool gives no connection.
///
/// sqlx goes on trying a server that refuses connections until the pool's `acquire_timeout`, 30 s by default, and then
/// says no more than that it timed out. A single connection beside the pool tells at once what is wrong. One look at a
/// time, for all who wait: a thousand callers of a busy pool must not open a thousand connections.
#[derive(Debug, Default)]
pub(crate) struct Doctor {
    last: Mutex<Option<Look>>,
}

#[derive(Debug)]
struct Look {
    ended: Instant,
    found: Option<DatabaseError>,
}

impl Doctor {
    /// Takes a connection from the application's pool, or says why there is none.
    pub(crate) async fn acquire(
        &self,
        pool: &PgPool,
        schema: &Schema,
    ) -> Result<PoolConnection<Postgres>, DatabaseError> {
        tokio::select! {
            biased;
            acquired = pool.acquire() => acquired.map_err(|error| DatabaseError::new(error, schema)),
            error = self.wait_for_reason(pool, schema) => Err(error),
        }
    }

    /// Ends when there is a reason why the pool cannot connect; never, while it is only busy.
    async fn wait_for_reason(&self, pool: &PgPool, schema: &Schema) -> DatabaseError {
        let began = Instant::now();
        loop {
            sleep(PATIENCE).await;
            if let Some(reason) = self.look(pool, schema, began).await {
                return reason;
            }
        }
    }

    async fn look(&self, pool: &PgPool, schema: &Schema, began: Instant) -> Option<DatabaseError> {
        let mut last = self.last.lock().await;
        match &*last {
            // Somebody has looked while this caller waited.
            Some(Look { ended, found: Some(reason) }) if *ended > began => return copy(reason),
            Some(Look { ended, found: None }) if ended.elapsed() < BUSY_FOR => return None,
            _ => {}
        }
        let found = match connect(&pool.connect_options(), schema).await {
            Ok(probe) => {
                close(probe).await;
                None
            }
            // Of the others (full, starting up) the pool knows that they pass, and goes on trying.
            Err(error) => copy(&error),
        };
        let reason = found.as_ref().and_then(copy);
        *last = Some(Look { ended: Instant::now(), found });
        reason
    }
}

/// What is worth an error at once, once more.
fn copy(error: &DatabaseError) -> Option<DatabaseError> {
    match error {
        DatabaseError::Unreachable(error) => {
            Some(DatabaseError::Unreachable(io::Error::new(error.kind(), error.to_string())))
        }
        DatabaseError::Refused(message) => Some(DatabaseError::Refused(message.clone())),
        _ => None,
    }
}

/// Opens a connection of its own, with a bound on the time it takes.
pub(crate) async fn connect(options: &PgConnectOptions, schema: &Schema) -> Result<PgConnection, DatabaseError> {
    match timeout(CONNECT_TIMEOUT, PgConnection::connect_with(options)).await {
        Ok(connected) => connected.map_err(|error| DatabaseError::new(error, schema)),
        Err(_) => Err(no_answer(CONNECT_TIMEOUT)),
    }
}

/// Closes a connection that has served its purpose. What goes wrong then is not worth an error.
pub(crate) async fn close(connection: PgConnection) {
    drop(timeout(CLOSE_TIMEOUT, connection.close()).await);
}

/// The server does not answer.
pub(crate) fn no_answer(within: Duration) -> DatabaseError {
    let message = format!("no answer within {} s", within.as_secs());
    DatabaseError::Unreachable(io::Error::new(io::ErrorKind::TimedOut, message))
}
