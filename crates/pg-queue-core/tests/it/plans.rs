//! The plans of the hot statements, whatever the statistics say.

use std::time::Duration;

use pg_queue_core::{BEGIN_PINNED, QueueTable, testing};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::support::{Db, database, statement};

/// A statement, the types of its parameters, and values for them.
type Case = (&'static str, &'static str, &'static str);

/// What walks the queue: only ever through its index, with the plan pinned.
const WALKS: &[Case] = &[
    ("jobs/claim.sql", CLAIM, "1, 2, 3, null, 100, null, null, false"),
    ("jobs/claim.sql", CLAIM, "1, 2, null, '{send}', 100, {floors}, false"),
    ("jobs/claim.sql", CLAIM, "1, 2, null, '{send}', 100, {floors}, true"),
    ("jobs/rescue.sql", "bigint[], bigint[], bigint", "'{1,2}', null, 100"),
    ("jobs/rescue.sql", "bigint[], bigint[], bigint", "'{1}', '{2}', 100"),
    ("jobs/discard_expired.sql", "bigint", "100"),
    ("jobs/park.sql", "text[], bigint", "'{send}', 100"),
    ("jobs/next_due.sql", "bigint", "100000"),
];

/// What acts on jobs by id: through the primary key, pinned or not.
const BY_ID: &[Case] = &[
    ("jobs/complete.sql", "bigint[], bigint[]", "{ids}, {ids}"),
    ("jobs/complete_at.sql", "tid[], bigint[], bigint[], boolean", "'{\"(0,1)\"}', {ids}, {ids}, true"),
    ("jobs/complete_one.sql", "bigint, bigint", "1, 2"),
    ("jobs/complete_kept.sql", "bigint[], bigint[], bigint[], text[]", "{ids}, {ids}, {ids}, '{}'"),
    ("jobs/complete_one_kept.sql", "bigint, bigint, bigint, text", "1, 2, 3, null"),
    ("jobs/end.sql", "bigint[], bigint[], text[], bigint[], text[], bigint[]", "{ids}, {ids}, '{}', '{}', '{}', '{}'"),
    ("jobs/held.sql", "bigint[], bigint[]", "{ids}, {ids}"),
    ("jobs/lock.sql", "bigint[], bigint[]", "{ids}, {ids}"),
    ("jobs/lock_free.sql", "bigint[]", "{ids}"),
    ("jobs/progress.sql", "bigint[], bigint[], real[], text[]", "{ids}, {ids}, '{}', '{}'"),
    ("jobs/cancel.sql", "bigint[], text", "{ids}, null"),
    ("jobs/delete.sql", "bigint[]", "{ids}"),
    ("jobs/hasten.sql", "bigint[]", "{ids}"),
    ("jobs/hasten_one.sql", "bigint", "1"),
    ("jobs/get.sql", "bigint", "1"),
    ("jobs/extend.sql", "bigint, bigint, bigint", "1, 2, 3"),
    ("requests/abandon.sql", "bigint[]", "{ids}"),
    ("requests/withdraw.sql", "bigint[]", "{ids}"),
    ("testing/take.sql", "bigint, bigint, bigint, smallint", "1, 2, 3, null"),
    ("jobs/find_unique.sql", "text[]", "'{k,l}'"),
    ("jobs/overwrite.sql", OVERWRITE, OVERWRITTEN),
];

const CLAIM: &str = "bigint, bigint, bigint, text[], bigint, bigint[], bigint[], boolean";

/// Of three priorities; the others have none.
const FLOORS: &str = "'{700000000000000,null,800000000000000,null,null,900000000000000}', '{1,null,2,null,null,3}'";

const OVERWRITE: &str =
    "text[], text[], bigint[], bigint[], smallint[], smallint[], bigint[], text[], text[], uuid[], text[],
    boolean[], bigint[], bigint[]";
const OVERWRITTEN: &str = "'{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', {ids}";

const MODES: [&str; 2] = ["force_custom_plan", "force_generic_plan"];

async fn plan(connection: &mut PgConnection, queue: &QueueTable, mode: &str, case: &Case) -> String {
    let (file, types, values) = case;
    let ids = (1..=100).map(|id| id.to_string()).collect::<Vec<_>>().join(",");
    let values = values.replace("{ids}", &format!("'{{{ids}}}'")).replace("{floors}", FLOORS);
    let types = if types.is_empty() { String::new() } else { format!("({types})") };
    let values = if values.is_empty() { String::new() } else { format!("({values})") };
    let prepare = format!("set plan_cache_mode = {mode}; prepare planned {types} as {}", statement(file, queue));
    sqlx::raw_sql(AssertSqlSafe(prepare)).execute(&mut *connection).await.unwrap();
    let explain = AssertSqlSafe(format!("explain (costs off) execute planned {values}"));
    let lines: Vec<String> = sqlx::query_scalar(explain).persistent(false).fetch_all(&mut *connection).await.unwrap();
    sqlx::raw_sql("deallocate planned; reset plan_cache_mode").execute(connection).await.unwrap();
    lines.join("\n")
}

/// Whether some step goes through a whole index, which is reading the whole queue by another name.
fn reads_all(plan: &str) -> bool {
    let lines: Vec<_> = plan.lines().collect();
    let scans = lines.iter().enumerate().filter(|(_, line)| line.contains("Scan using pg_queue_"));
    let unbounded = |at: usize| !lines.get(at + 1).is_some_and(|next| next.contains("Index Cond: "));
    plan.contains("Seq Scan on queue_emails") || scans.into_iter().any(|(at, _)| unbounded(at))
}

/// Whether a step was taken although it is switched off; PostgreSQL says so from 18 on. The few workers are read as they are.
fn has_no_way_but_a_bad_one(plan: &str) -> bool {
    let lines: Vec<_> = plan.lines().collect();
    lines.windows(2).any(|step| step[1].contains("Disabled: true") && !step[0].contains("Seq Scan on pg_queue_workers"))
}

/// Claims and the like walk their index, and never look at every job or sort them.
async fn assert_walks(db: &Db, queue: &QueueTable, state: &str) {
    let mut connection = db.connect().await;
    let mut pinned = connection.begin_with(BEGIN_PINNED).await.unwrap();
    for mode in MODES {
        for case in WALKS {
            let plan = plan(&mut pinned, queue, mode, case).await;
            let what = format!("{} in a queue that is {state}, {mode}:\n{plan}", case.0);
            assert!(plan.contains("Scan using pg_queue_due_emails"), "{what}");
            assert!(!reads_all(&plan), "{what}");
            assert!(!plan.contains("Bitmap") && !plan.contains("Sort") && !has_no_way_but_a_bad_one(&plan), "{what}");
            if case.0 == "jobs/claim.sql" {
                assert!(plan.contains("Tid Scan on queue_emails"), "{what}");
                // Else a claim walks over everything below its floor, and looks at each row that is there.
                let bounds = plan.lines().filter(|line| line.contains("Index Cond: ") && line.contains("priority = "));
                assert!(bounds.into_iter().all(|line| line.contains("ROW(run_at, id) >= ROW(")), "{what}");
            }
        }
        for case in BY_ID {
            let plan = plan(&mut pinned, queue, mode, case).await;
            assert!(!reads_all(&plan), "{} in a queue that is {state}, {mode}, pinned:\n{plan}", case.0);
            if case.0 == "jobs/complete_at.sql" {
                let expected = plan.contains("Tid Scan on queue_emails") && plan.contains("hashed SubPlan");
                assert!(expected && !plan.contains("Join"), "in a queue that is {state}, {mode}:\n{plan}");
            }
        }
    }
}

/// Without pinning, as in a pool of the application's own.
async fn assert_by_id(db: &Db, queue: &QueueTable, state: &str) {
    let mut connection = db.connect().await;
    for mode in MODES {
        for case in BY_ID {
            let plan = plan(&mut connection, queue, mode, case).await;
            assert!(!reads_all(&plan), "{} in a queue that is {state}, {mode}:\n{plan}", case.0);
        }
    }
}

const FILL: &str = "insert into queue_emails (kind, priority, payload, run_at)
    select 'send', n % 10, to_json(repeat('a', 120)), now() - n * interval '1 second' from generate_series(1, 100000) as n";

#[tokio::test]
async fn whatever_the_statistics_say_the_index_is_walked() {
    let db = database().await;
    let queue = db.queue("emails").await;
    let run = async |sql: &'static str| {
        sqlx::raw_sql(sql).execute(&db.pool).await.unwrap();
    };
    // What autovacuum might do at any moment is done here, one after the other.
    run("alter table queue_emails set (autovacuum_enabled = off)").await;
    assert_walks(&db, &queue, "new").await;
    run(FILL).await;
    assert_walks(&db, &queue, "full and never analysed").await;
    assert_by_id(&db, &queue, "full and never analysed").await;
    run("vacuum analyze queue_emails").await;
    assert_walks(&db, &queue, "full and analysed").await;
    assert_by_id(&db, &queue, "full and analysed").await;
    run("delete from queue_emails where id % 1000 <> 0").await;
    assert_walks(&db, &queue, "nearly empty and analysed when it was full").await;
    assert_by_id(&db, &queue, "nearly empty and analysed when it was full").await;
    run("truncate queue_emails").await;
    run("vacuum analyze queue_emails").await;
    assert_walks(&db, &queue, "empty and analysed").await;
    run(FILL).await;
    assert_walks(&db, &queue, "full and analysed when it was empty").await;
    assert_by_id(&db, &queue, "full and analysed when it was empty").await;
    run("update queue_emails set lease_worker = 1, lease_token = 2; analyze queue_emails").await;
    assert_walks(&db, &queue, "full of running jobs").await;
    assert_by_id(&db, &queue, "full of running jobs").await;
}

/// The clock of tests reads a table, so that it cannot be inlined; and yet it is asked once for each walk.
#[tokio::test]
async fn with_a_clock_that_was_moved_the_index_is_walked_as_ever() {
    let db = database().await;
    let queue = db.queue("emails").await;
    sqlx::raw_sql("alter table queue_emails set (autovacuum_enabled = off)").execute(&db.pool).await.unwrap();
    testing::install_clock(&db.pool, &db.schema).await.unwrap();
    assert_walks(&db, &queue, "new").await;
    sqlx::raw_sql(FILL).execute(&db.pool).await.unwrap();
    testing::advance_clock(&db.pool, &db.schema, Duration::from_secs(86_400)).await.unwrap();
    assert_walks(&db, &queue, "full and never analysed").await;
    sqlx::raw_sql("vacuum analyze queue_emails").execute(&db.pool).await.unwrap();
    assert_walks(&db, &queue, "full and analysed").await;
    assert_by_id(&db, &queue, "full and analysed").await;
}
