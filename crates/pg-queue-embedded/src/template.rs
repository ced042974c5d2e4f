//! Databases to copy from, each made once per server.

use std::{error::Error, future::Future, time::Duration};

use sqlx::{
    PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::time::timeout;

use crate::{
    DatabaseError,
    connection::{connect, create_database, run},
};

/// With our prefix the name must stay under PostgreSQL's 63 bytes.
const LONGEST_NAME: usize = 40;

/// A connection that `prepare` left in some task would keep its pool open for ever.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);

/// Whoever makes the template may hang, and should not take all other tests along.
const LOCK_LIMIT: &str = "set lock_timeout = '2min'";

/// Makes sure that the template exists, and returns its database's name.
///
/// The lock makes everybody else wait, in this process or another, and falls with the connection. The template gets
/// its name only when it is complete, so that nobody ever copies one that a killed process left half-made.
pub(crate) async fn ensure<F, Fut>(
    admin: &PgConnectOptions,
    connection: &mut PgConnection,
    template: &str,
    prepare: F,
) -> Result<String, DatabaseError>
where
    F: FnOnce(PgPool) -> Fut,
    Fut: Future<Output = Result<(), Box<dyn Error + Send + Sync>>>,
{
    let is_valid = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_');
    if template.is_empty() || template.len() > LONGEST_NAME || !template.bytes().all(is_valid) {
        return Err(DatabaseError::TemplateName(template.to_owned()));
    }
    let done = format!("pgq_template_{template}");
    let unfinished = format!("pgq_unfinished_{template}");

    if exists(connection, &done).await? {
        return Ok(done);
    }
    let mut lock_holder = connect(admin).await?;
    run(&mut lock_holder, LOCK_LIMIT.into()).await?;
    lock(&mut lock_holder, &done).await?;
    if exists(connection, &done).await? {
        return Ok(done);
    }
    let drop_leftover = format!("drop database if exists \"{unfinished}\" with (force)");
    run(connection, drop_leftover).await?;
    create_database(connection, &unfinished, "template0").await?;
    fill(&admin.clone().database(&unfinished), template, prepare).await?;
    // Nobody may be connected to a database that is renamed or copied, so from now on nobody can be.
    let close = format!("alter database \"{unfinished}\" with allow_connections false");
    run(connection, close).await?;
    disconnect_all(connection, &unfinished).await?;
    let publish = format!("alter database \"{unfinished}\" rename to \"{done}\"");
    run(connection, publish).await?;
    Ok(done)
}

async fn fill<F, Fut>(options: &PgConnectOptions, template: &str, prepare: F) -> Result<(), DatabaseError>
where
    F: FnOnce(PgPool) -> Fut,
    Fut: Future<Output = Result<(), Box<dyn Error + Send + Sync>>>,
{
    let pool = PgPoolOptions::new().connect_lazy_with(options.clone());
    let prepared = prepare(pool.clone()).await;
    let _ = timeout(CLOSE_LIMIT, pool.close()).await;
    prepared.map_err(|source| DatabaseError::Prepare { template: template.to_owned(), source })
}

async fn exists(connection: &mut PgConnection, name: &str) -> Result<bool, DatabaseError> {
    sqlx::query_scalar("select exists (select from pg_database where datname = $1)")
        .bind(name)
        .fetch_one(connection)
        .await
        .map_err(|source| DatabaseError::Statement { what: format!("look for database {name:?}"), source })
}

async fn lock(connection: &mut PgConnection, name: &str) -> Result<(), DatabaseError> {
    sqlx::query("select pg_advisory_lock(hashtextextended($1, 0))")
        .bind(name)
        .execute(connection)
        .await
        .map(drop)
        .map_err(|source| DatabaseError::Statement { what: format!("lock the making of {name:?}"), source })
}

async fn disconnect_all(connection: &mut PgConnection, name: &str) -> Result<(), DatabaseError> {
    sqlx::query("select pg_terminate_backend(pid) from pg_stat_activity where datname = $1")
        .bind(name)
        .execute(connection)
        .await
        .map(drop)
        .map_err(|source| DatabaseError::Statement { what: format!("end the connections to {name:?}"), source })
}
