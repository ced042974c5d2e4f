//! The one place where names become part of a statement.
//!
//! Statements are `.sql` files with placeholders. `{schema}` and `{queue}` are filled from validated names only
//! ([`Schema`], [`QueueName`](crate::QueueName)), quoted all the same; `{now}` and `{kept}` from what stands here. Everything
//! else is a bound parameter.

use sqlx::AssertSqlSafe;

use crate::{QueueTable, Schema};

/// A statement of the library in its final form.
pub(crate) type Statement = AssertSqlSafe<String>;

/// The clock of jobs: `now()`, unless a test has put another in its place to move time.
const NOW: &str = "{schema}.pg_queue_now()";

/// What a job takes with it into the history, and back from there.
const KEPT: &str = "id, run_at, created_at, attempt, max_attempts, priority, unique_while_waiting, timeout_ms, request_id, \
    queue, kind, unique_key, tags, metadata, payload";

/// Fills `{schema}` (quoted), `{schema_name}` (bare, for use inside string literals), `{now}` and `{kept}`.
pub(crate) fn in_schema(template: &str, schema: &Schema) -> Statement {
    let schema = schema.as_str();
    let statement = template.replace("{now}", NOW).replace("{kept}", KEPT);
    AssertSqlSafe(statement.replace("{schema}", &format!("\"{schema}\"")).replace("{schema_name}", schema))
}

/// Fills `{queue}` with the queue's table and `{queue_name}` with its name (bare, for use inside string literals), and what
/// [`in_schema`] fills.
pub(crate) fn in_queue(template: &str, table: &QueueTable) -> Statement {
    #[cfg(pg_queue_sabotage)]
    let template = &*crate::sabotage::edited(template);
    let leaf = format!("\"{}\".\"queue_{}\"", table.schema, table.queue);
    in_schema(&template.replace("{queue}", &leaf).replace("{queue_name}", table.queue.as_str()), &table.schema)
}

/// A statement in its final form, for tests that look at what the server makes of it.
#[doc(hidden)]
#[must_use]
pub fn filled(template: &str, table: &QueueTable) -> String {
    in_queue(template, table).0
}

/// Begins a transaction in which a claim's plan is pinned.
///
/// A queue's statistics are always wrong: it was empty, or full, when it was last analysed. On a fresh table of 100,000
/// jobs the planner sorts everything it finds, 34 ms a claim instead of 0.25. Without these three it has only the
/// index left. What needs a sort all the same looks so expensive then that PostgreSQL compiles it, for 300 to 700 ms;
/// hence the fourth.
///
/// In READ COMMITTED, whatever the database's default is: else a claim fails with 40001 whenever somebody else claims at the
/// same moment.
pub const BEGIN_PINNED: &str = "begin isolation level read committed; set local enable_seqscan = off; \
    set local enable_bitmapscan = off; set local enable_sort = off; set local jit = off";

/// The same for every statement of a connection: what a worker's own connections run when they are opened.
pub const PIN_PLANS: &str = "set default_transaction_isolation = 'read committed'; set enable_seqscan = off; \
    set enable_bitmapscan = off; set enable_sort = off; set jit = off";
