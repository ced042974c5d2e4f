//! The one place where names become part of a statement.
//!
//! Statements are `.sql` files with placeholders. `{schema}` and `{queue}` are filled from validated names only
//! ([`Schema`], [`QueueName`](crate::QueueName)), quoted all the same; `{cache}` with one of the cache's tables; `{now}`, `{kept}`, `{told}` and `{places}` from what
//! stands here. Everything else is a bound parameter.

use sqlx::{
    AssertSqlSafe, FromRow, Postgres,
    postgres::{PgArguments, PgRow},
    query::{Query, QueryAs, QueryScalar},
};

use crate::{QueueTable, Schema, cache::CacheTable, logs::LogTable};

/// A statement of the library in its final form.
pub(crate) type Statement = AssertSqlSafe<String>;

/// What a job takes with it into the history, and back from there.
const KEPT: &str = "id, run_at, created_at, attempt, max_attempts, priority, unique_while_waiting, timeout_ms, request_id, \
    queue, kind, unique_key, tags, metadata, payload";

/// What a statement is about: it fills in the names, and says whether the statement may have one itself.
pub(crate) trait Place {
    fn fill(&self, template: &str) -> Statement;

    /// Whether a connection keeps the statement, under a name. Through a pooler that hands out connections by transaction the
    /// name would be given on one server connection and looked for on another, or be somebody else's there.
    fn keeps_statements(&self) -> bool;
}

impl Place for Schema {
    fn fill(&self, template: &str) -> Statement {
        in_schema(template, self)
    }

    fn keeps_statements(&self) -> bool {
        !self.is_pooled()
    }
}

impl Place for QueueTable {
    fn fill(&self, template: &str) -> Statement {
        in_queue(template, self)
    }

    fn keeps_statements(&self) -> bool {
        !self.schema.is_pooled()
    }
}

impl Place for LogTable {
    fn fill(&self, template: &str) -> Statement {
        in_log(template, self)
    }

    fn keeps_statements(&self) -> bool {
        !self.schema.is_pooled()
    }
}

impl Place for CacheTable {
    fn fill(&self, template: &str) -> Statement {
        fill(&Self::planned_anew(template), &self.schema, Subject::Cache(self.name()))
    }

    fn keeps_statements(&self) -> bool {
        !self.schema.is_pooled()
    }
}

/// A statement whose rows are counted, or read one by one.
pub(crate) fn query<'q>(template: &str, place: &impl Place) -> Query<'q, Postgres, PgArguments> {
    sqlx::query(place.fill(template)).persistent(place.keeps_statements())
}

/// A statement whose rows become `O`.
pub(crate) fn query_as<'q, O>(template: &str, place: &impl Place) -> QueryAs<'q, Postgres, O, PgArguments>
where
    O: for<'r> FromRow<'r, PgRow>,
{
    sqlx::query_as(place.fill(template)).persistent(place.keeps_statements())
}

/// A statement whose rows have one column.
pub(crate) fn query_scalar<'q, O>(template: &str, place: &impl Place) -> QueryScalar<'q, Postgres, O, PgArguments>
where
    (O,): for<'r> FromRow<'r, PgRow>,
{
    sqlx::query_scalar(place.fill(template)).persistent(place.keeps_statements())
}

/// Fills `{schema}` (quoted), `{schema_name}` (bare, for use inside string literals), `{now}` and `{kept}`; `{told}` and `{places}`,
/// as which rows' places are read and sent.
pub(crate) fn in_schema(template: &str, schema: &Schema) -> Statement {
    fill(template, schema, Subject::None)
}

/// Fills `{queue}` with the queue's table and `{queue_name}` with its name (bare, for use inside string literals), and what
/// [`in_schema`] fills.
pub(crate) fn in_queue(template: &str, table: &QueueTable) -> Statement {
    #[cfg(pg_queue_sabotage)]
    let template = &*crate::sabotage::edited(template);
    fill(template, &table.schema, Subject::Queue(table.queue.as_str()))
}

/// Fills `{log}` with the log's table, and what [`in_schema`] fills.
pub(crate) fn in_log(template: &str, table: &LogTable) -> Statement {
    fill(template, &table.schema, Subject::Log(table.log.as_str()))
}

/// What a statement is about.
#[derive(Clone, Copy)]
enum Subject<'n> {
    None,
    Queue(&'n str),
    Log(&'n str),
    Cache(&'n str),
}

/// In one pass: a statement is filled each time that it is sent.
fn fill(template: &str, place: &Schema, subject: Subject<'_>) -> Statement {
    let (schema, is_pooled) = (place.as_str(), place.is_pooled());
    let mut filled = String::with_capacity(template.len() + 256);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        rest = after;
        let parts: &[&str] = match (after.split_once('}').map(|(name, _)| name), subject) {
            (Some("schema"), _) => &["\"", schema, "\""],
            (Some("schema_name"), _) => &[schema],
            // The clock of jobs: `now()`, unless a test has put another in its place to move time.
            (Some("now"), _) => &["\"", schema, "\".pg_queue_now()"],
            (Some("kept"), _) => &[KEPT],
            // sqlx does not know the type `tid`. It asks the server, between preparing a statement and running it, and a
            // statement without a name does not survive that.
            (Some("told"), _) => &[if is_pooled { "::text" } else { "" }],
            (Some("places"), _) => &[if is_pooled { "text[]::tid[]" } else { "tid[]" }],
            (Some("queue"), Subject::Queue(queue)) => &["\"", schema, "\".\"queue_", queue, "\""],
            (Some("queue_name"), Subject::Queue(queue)) => &[queue],
            (Some("log"), Subject::Log(log)) => &["\"", schema, "\".\"log_", log, "\""],
            (Some("cache"), Subject::Cache(table)) => &["\"", schema, "\".", table],
            // Where a statement is not about the other one, as in tests that look at all of them.
            (Some("cache"), _) => &["\"", schema, "\".pg_queue_cache"],
            // A brace of the statement's own, as in the literal of an array.
            _ => {
                filled.push('{');
                continue;
            }
        };
        filled.extend(parts.iter().copied());
        rest = after.split_once('}').map_or("", |(_, later)| later);
    }
    filled.push_str(rest);
    AssertSqlSafe(filled)
}

/// A statement in its final form, for tests that look at what the server makes of it.
#[doc(hidden)]
#[must_use]
pub fn filled(template: &str, table: &QueueTable) -> String {
    in_queue(template, table).0
}

/// The same for a statement about a log.
#[doc(hidden)]
#[must_use]
pub fn filled_for_log(template: &str, table: &LogTable) -> String {
    in_log(template, table).0
}

/// Begins a transaction for statements of which each sees what was committed before it, whatever the database's default is.
pub const BEGIN: &str = "begin isolation level read committed";

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

/// The same for a worker's statements through a pooler, where nothing can be set for a connection: the server gives up by
/// itself what takes too long.
pub const BEGIN_PINNED_PATIENT: &str = "begin isolation level read committed; set local enable_seqscan = off; \
    set local enable_bitmapscan = off; set local enable_sort = off; set local jit = off; \
    set local statement_timeout = '25s'; set local lock_timeout = '1s'";

/// The same for every statement of a connection: what a worker's own connections run when they are opened.
pub const PIN_PLANS: &str = "set default_transaction_isolation = 'read committed'; set enable_seqscan = off; \
    set enable_bitmapscan = off; set enable_sort = off; set jit = off";
