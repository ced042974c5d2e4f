//! Where the listener connects to.

use std::fmt;

use pg_queue_core::Schema;
use sqlx::{PgPool, postgres::PgConnectOptions};

/// Where the listener connects to.
#[derive(Clone)]
pub(crate) struct Address {
    /// The pool knows how to connect; its connections are not used.
    pool: PgPool,
    own: Option<PgConnectOptions>,
    pub(super) schema: Schema,
}

impl Address {
    pub(crate) fn new(pool: PgPool, own: Option<PgConnectOptions>, schema: Schema) -> Self {
        Self { pool, own, schema }
    }

    /// Whether it is that of a pooler that hands out server connections by transaction, as the application says of its pool.
    pub(super) fn is_the_poolers(&self) -> bool {
        self.own.is_none() && self.schema.is_pooled()
    }

    /// Asked for at each attempt: an application whose password expires gives its pool a new one.
    pub(super) fn options(&self) -> PgConnectOptions {
        self.own.clone().unwrap_or_else(|| (*self.pool.connect_options()).clone())
    }
}

/// Shows no options: they hold the password.
impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Address").field("schema", &self.schema).finish_non_exhaustive()
    }
}
