//! Finding out whether a connection goes through a pooler that hands out server connections by transaction.
//!
//! On such a one nobody may listen: the pooler takes LISTEN for some server connection, and what that one is notified of goes to
//! whoever has it at that moment, and is an error for his driver. So it is not tried out, and nothing is left behind: two clients
//! that are given the same process of the server, while both are connected, share it.

use pg_queue_core::{BEGIN, DatabaseError, Schema, in_transaction};
use sqlx::{Connection, PgConnection};

/// How often it is looked. A stranger may have the server connection at that moment, and give it back before the next one.
const LOOKS: u32 = 5;

/// Whether two connections to the same place get each other's server connections.
pub(super) async fn share(
    one: &mut PgConnection,
    other: &mut PgConnection,
    schema: &Schema,
) -> Result<bool, DatabaseError> {
    let failed = |error| DatabaseError::new(error, schema);
    for _ in 0..LOOKS {
        let first = in_transaction(one, schema, BEGIN, async |connection| process(connection, schema).await).await?;
        let mut held = other.begin().await.map_err(failed)?;
        // A pooler gives the one that was given back last.
        let shared = process(&mut held, schema).await? == first
            // While that is taken it gives another one, or has none to give.
            || in_transaction(one, schema, BEGIN, async |connection| process(connection, schema).await).await? != first;
        held.rollback().await.map_err(failed)?;
        if shared {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn process(connection: &mut PgConnection, schema: &Schema) -> Result<i32, DatabaseError> {
    sqlx::query_scalar(include_str!("backend.sql"))
        .persistent(false)
        .fetch_one(connection)
        .await
        .map_err(|error| DatabaseError::new(error, schema))
}
