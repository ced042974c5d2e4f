//! Where jobs are looked for: through the pool, or in the caller's transaction.

use pg_queue_core::{
    DatabaseError, Schema,
    testing::{self, QueuedJob},
};
use sqlx::PgConnection;

use crate::{On, PgQueue};

/// Where jobs can be looked for: a `&PgQueue` (all that is committed), `queue.on(&mut transaction)` (also what that
/// transaction has enqueued), or a `&mut PgConnection` (the same in the schema `public`).
///
/// Sealed by its hidden method: implemented by pg-queue only.
#[diagnostic::on_unimplemented(
    message = "jobs cannot be looked for in `{Self}`",
    label = "not a place where jobs are",
    note = "look in `&mgr` for what is committed, or in `mgr.on(&mut tx)` for what the transaction `tx` has enqueued"
)]
pub trait Look: Send {
    #[doc(hidden)]
    fn look(self, kinds: &[&str]) -> impl Future<Output = Result<Looked, DatabaseError>> + Send;
}

/// What was seen there.
#[derive(Debug)]
pub struct Looked {
    pub(super) jobs: Vec<QueuedJob>,
    /// Of each other kind, how many.
    pub(super) others: Vec<(String, u64)>,
    /// Whether there may be more in a transaction that is not committed.
    pub(super) committed_only: bool,
}

impl Look for &PgQueue {
    async fn look(self, kinds: &[&str]) -> Result<Looked, DatabaseError> {
        let looked = self.shared().run(async |connection| look(connection, self.schema(), kinds).await).await?;
        Ok(Looked { committed_only: true, ..looked })
    }
}

impl Look for On<'_> {
    async fn look(self, kinds: &[&str]) -> Result<Looked, DatabaseError> {
        let (connection, schema) = self.into_parts();
        look(connection, &schema, kinds).await
    }
}

impl Look for &mut PgConnection {
    async fn look(self, kinds: &[&str]) -> Result<Looked, DatabaseError> {
        look(self, &Schema::default(), kinds).await
    }
}

async fn look(connection: &mut PgConnection, schema: &Schema, kinds: &[&str]) -> Result<Looked, DatabaseError> {
    let jobs = testing::unfinished(&mut *connection, schema, kinds).await?;
    let others = testing::other_kinds(connection, schema, kinds).await?;
    Ok(Looked { jobs, others, committed_only: false })
}
