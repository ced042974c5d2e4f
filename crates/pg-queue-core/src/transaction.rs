//! Statements in a transaction of their own.
//!
//! sqlx sends a statement in two round trips, and between them a pooler may hand the server connection to somebody else: what
//! one client has prepared, another one runs. Inside of a transaction the connection stays where it is.

use sqlx::{Connection, PgConnection, Postgres, pool::PoolConnection};

use crate::{DatabaseError, Schema};

/// Does `work` in a transaction that `begin` begins, such as [`BEGIN`](crate::BEGIN). An error rolls it back. Its answer is given
/// after the commit.
///
/// `work` must not go on after a statement that has failed: then the server turns the commit into a rollback, and says nothing.
///
/// # Errors
/// Those of `work`, and the database may fail to begin or to commit.
pub async fn in_transaction<T, E: From<DatabaseError>>(
    connection: &mut PgConnection,
    schema: &Schema,
    begin: &'static str,
    work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, E>,
) -> Result<T, E> {
    let failed = |error| E::from(DatabaseError::new(error, schema));
    let mut transaction = connection.begin_with(begin).await.map_err(failed)?;
    match work(&mut transaction).await {
        Ok(answer) => {
            transaction.commit().await.map_err(failed)?;
            Ok(answer)
        }
        Err(error) => {
            // What went wrong first is what the caller has to know. If this fails too, the connection is of no use any more,
            // and the next one who uses it is told.
            drop(transaction.rollback().await);
            Err(error)
        }
    }
}

/// The same on a connection of a pool, which is closed when the future is dropped half-way: a transaction that was about to
/// begin may be open then, and the next one who is given the connection would do his work in it.
///
/// # Errors
/// Those of [`in_transaction`].
pub async fn in_transaction_of_pool<T, E: From<DatabaseError>>(
    connection: &mut PoolConnection<Postgres>,
    schema: &Schema,
    begin: &'static str,
    work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, E>,
) -> Result<T, E> {
    let mut closing = ClosesIfDropped { connection, ended: false };
    let done = in_transaction(closing.connection, schema, begin, work).await;
    closing.ended = true;
    done
}

struct ClosesIfDropped<'c> {
    connection: &'c mut PoolConnection<Postgres>,
    ended: bool,
}

impl Drop for ClosesIfDropped<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.connection.close_on_drop();
        }
    }
}
