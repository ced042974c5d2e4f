//! Giving back at once what was held by somebody who was dropped.

use std::{thread, time::Duration};

use pg_queue_client::PgQueue;
use pg_queue_core::{
    BEGIN, DatabaseError, LeasedJobId, QueueError, QueueTable, Schema, in_transaction,
    jobs::{self, EndedAttempt, Ending},
    workers::{self, Registration},
};
use sqlx::{Connection, PgConnection, postgres::PgConnectOptions};
use tokio::time::timeout;

/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is to be given back.
pub(super) struct GiveBack<'q> {
    pub(super) queue: &'q PgQueue,
    pub(super) worker: Registration,
    pub(super) held: Vec<(QueueTable, LeasedJobId)>,
    /// Whether a statement is on its way that enters the worker or claims more for it.
    pub(super) uncertain: bool,
}

impl GiveBack<'_> {
    /// Gives it back before this returns, or marks the worker dead, so that others take it.
    ///
    /// Dropping cannot wait, and the runtime that it happens in may be at its end. So a thread with a runtime and a connection
    /// of its own does it, and is waited for: the next line of the test finds the job where it was. What it meets locked (the
    /// dropped handler's own transaction, which the waiting runtime cannot roll back meanwhile) is left to others, as is
    /// everything if the database is away.
    pub(super) fn at_once(self) {
        let Self { queue, worker, held, uncertain } = self;
        let (options, schema) = (queue.pool().connect_options(), queue.schema().clone());
        let given_back = thread::Builder::new().name("pg-queue-give-back".to_owned()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let giving = give_back(&options, &schema, &worker, &held, uncertain);
            match runtime.block_on(async { timeout(PATIENCE, giving).await }) {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(%error, "what a dropped test held was not given back"),
                Err(_) => tracing::warn!("what a dropped test held was not given back in time"),
            }
            Ok::<(), std::io::Error>(())
        });
        // It panics as little as it is waited for in vain: what is not given back is rescued by others.
        drop(given_back.map(thread::JoinHandle::join));
    }
}

async fn give_back(
    options: &PgConnectOptions,
    schema: &Schema,
    worker: &Registration,
    held: &[(QueueTable, LeasedJobId)],
    uncertain: bool,
) -> Result<(), DatabaseError> {
    let failed = |error| DatabaseError::new(error, schema);
    let mut connection = PgConnection::connect_with(options).await.map_err(failed)?;
    let mut left = uncertain;
    for (table, id) in held {
        let give_back = async |connection: &mut PgConnection| gave_back(connection, table, *id).await;
        left |= !apart(&mut connection, schema, give_back).await.unwrap_or(false);
    }
    if uncertain {
        // What is on its way may arrive after this. Who is in the table as dead is not entered once more, and what it claims
        // then is rescued. Mostly it is there already, which is an error here.
        let register = async |connection: &mut PgConnection| workers::register(connection, schema, worker).await;
        drop(apart(&mut connection, schema, register).await);
    }
    let retire = async |connection: &mut PgConnection| workers::retire(connection, schema, worker.id, left).await;
    apart(&mut connection, schema, retire).await?;
    drop(connection.close().await);
    Ok(())
}

/// Through a pooler in a transaction of its own.
async fn apart<T, E: From<DatabaseError>>(
    connection: &mut PgConnection,
    schema: &Schema,
    work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, E>,
) -> Result<T, E> {
    if schema.is_pooled() {
        return in_transaction(connection, schema, BEGIN, work).await;
    }
    work(connection).await
}

/// Answers whether the job is not held any more: because of this, or because its end was told at the last moment.
async fn gave_back(connection: &mut PgConnection, table: &QueueTable, id: LeasedJobId) -> Result<bool, QueueError> {
    let back = EndedAttempt { id, ending: Ending::Release(None), error: None, took: None };
    let ended = jobs::end(&mut *connection, table, &[back]).await?;
    Ok(ended.contains(id) || !jobs::held(connection, table, &[id]).await?.contains(id))
}
