//! Which of the two tables values are in.

use std::{
    sync::OnceLock,
    time::{Duration, Instant},
};

use crate::Schema;

/// For so long a connection uses a plan before it makes another one.
///
/// The planner goes by how long the table is at the moment. While it is empty, as after a crash of the server, it looks cheaper to
/// read it as a whole than to go by its index; such a plan is kept until the table is analysed, for a minute or more, in which
/// it fills: with 50,000 values each look takes 27 ms instead of 0.03. To plan anew costs a connection 0.3 ms.
const PLANS_LIVE: Duration = Duration::from_secs(2);

/// One of the cache's two tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheTable {
    pub(crate) schema: Schema,
    durable: bool,
}

impl CacheTable {
    /// The one without a log: quick, and emptied by a crash of the server.
    #[must_use]
    pub fn unlogged(schema: &Schema) -> Self {
        Self { schema: schema.clone(), durable: false }
    }

    /// The one with a log, for what is to outlive a crash and a failover. A crash loses what was set in the last moments
    /// before, up to three times the server's `wal_writer_delay` (0.6 s by default).
    #[must_use]
    pub fn durable(schema: &Schema) -> Self {
        Self { schema: schema.clone(), durable: true }
    }

    /// Whether it has a log, and what is written is therefore committed asynchronously. Of what has no log nothing is waited
    /// for anyhow.
    #[must_use]
    pub fn is_durable(&self) -> bool {
        self.durable
    }

    /// The schema in which it is.
    #[must_use]
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// A statement about it, which is another one every two seconds, and so is planned anew.
    pub(crate) fn planned_anew(template: &str) -> String {
        static BEGAN: OnceLock<Instant> = OnceLock::new();
        let period = BEGAN.get_or_init(Instant::now).elapsed().as_secs() / PLANS_LIVE.as_secs();
        format!("{template}\n-- {period}")
    }

    pub(crate) fn name(&self) -> &'static str {
        if self.durable { "pg_queue_cache_durable" } else { "pg_queue_cache" }
    }
}
