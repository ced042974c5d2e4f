//! Getting a connection, or a useful error at once.

use std::time::Duration;

use pg_queue_core::{DatabaseError, Schema};
use sqlx::{Connection, PgConnection, PgPool, Postgres, pool::PoolConnection, postgres::PgConnectOptions};
use tokio::time::timeout;

/// How long a server may take to accept a connection. A firewall that drops packets answers never.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Takes a connection from the application's pool.
///
/// While the pool has none, sqlx goes on trying a server that refuses connections until the pool's `acquire_timeout`,
/// 30 s by default, and then says no more than that it timed out. So an empty pool is looked through first: one
/// connection beside it tells at once what is wrong.
pub(crate) async fn acquire(pool: &PgPool, schema: &Schema) -> Result<PoolConnection<Postgres>, DatabaseError> {
    if pool.size() == 0 && !pool.is_closed() {
        let probe = connect(&pool.connect_options(), schema).await?;
        // Not worth an error: the probe has served its purpose.
        drop(probe.close().await);
    }
    pool.acquire().await.map_err(|error| DatabaseError::new(error, schema))
}

/// Opens a connection of its own, with a bound on the time it takes.
pub(crate) async fn connect(options: &PgConnectOptions, schema: &Schema) -> Result<PgConnection, DatabaseError> {
    match timeout(CONNECT_TIMEOUT, PgConnection::connect_with(options)).await {
        Ok(connected) => connected.map_err(|error| DatabaseError::new(error, schema)),
        Err(_) => Err(DatabaseError::Unreachable(std::io::Error::new(
            std::io::ErrorKind::TimedOut,
            format!("no answer within {} s", CONNECT_TIMEOUT.as_secs()),
        ))),
    }
}
