//! Migrating: what is applied, what is refused, and that nothing is ever left half-way.

use std::time::Duration;

use pg_queue_core::{
    QueueName, Schema, history,
    jobs::{self, NewJob},
    migrate::{self, MIGRATIONS, MigrateError},
    queues,
};
use sqlx::{AssertSqlSafe, Connection};
use tokio::join;

use crate::support::{Db, database, empty_database, wait_for_lock};

#[test]
fn every_file_in_the_folder_is_a_migration_of_the_list() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations");
    let mut files: Vec<String> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    files.sort();
    let listed: Vec<String> = MIGRATIONS.iter().map(|m| format!("{:04}_{}.sql", m.version, m.name)).collect();
    assert_eq!(files, listed);
}

async fn run(db: &Db) -> Result<usize, MigrateError> {
    let mut connection = db.connect().await;
    migrate::run(&mut connection, &db.schema).await.map(|applied| applied.len())
}

async fn status(db: &Db) -> Result<migrate::Status, MigrateError> {
    migrate::status(&mut db.connect().await, &db.schema).await
}

#[tokio::test]
async fn a_fresh_database_gets_everything_and_a_second_run_does_nothing() {
    let db = empty_database().await;
    let before = status(&db).await.unwrap();
    assert_eq!(before.pending.len(), MIGRATIONS.len());
    let error = before.check(&db.schema).unwrap_err().to_string();
    let expected = format!(
        "schema \"public\" lacks {} of pg-queue's migrations, from 0001_workers on: run `pg_queue::migrate(&pool)` or \
         `cargo xtask migrate`",
        MIGRATIONS.len()
    );
    assert_eq!(error, expected);
    assert_eq!(run(&db).await.unwrap(), MIGRATIONS.len());
    assert_eq!(run(&db).await.unwrap(), 0);
    let after = status(&db).await.unwrap();
    assert_eq!(after.applied.len(), MIGRATIONS.len());
    assert!(after.pending.is_empty() && after.newer.is_empty());
    after.check(&db.schema).unwrap();
}

#[tokio::test]
async fn two_at_once_wait_for_each_other() {
    let db = empty_database().await;
    let mut first = db.connect().await;
    let mut second = db.connect().await;
    // The weakest promise about snapshots that a database can be set to give.
    sqlx::query("set default_transaction_isolation = 'repeatable read'").execute(&mut second).await.unwrap();
    let mut open = first.begin().await.unwrap();
    let applied = migrate::run(&mut open, &db.schema).await.unwrap();
    assert_eq!(applied.len(), MIGRATIONS.len());
    let waiting = tokio::spawn({
        let schema = db.schema.clone();
        async move { migrate::run(&mut second, &schema).await.map(|applied| applied.len()) }
    });
    wait_for_lock(&db, "advisory").await;
    open.commit().await.unwrap();
    assert_eq!(waiting.await.unwrap().unwrap(), 0);
}

#[tokio::test]
async fn any_schema_will_do_and_two_in_one_database_do_not_see_each_other() {
    let db = empty_database().await;
    for name in ["order", "select", "_jobs", "public"] {
        let schema = Schema::new(name).unwrap();
        let mut connection = db.connect().await;
        assert_eq!(migrate::run(&mut connection, &schema).await.unwrap().len(), MIGRATIONS.len());
        let queue = QueueName::new("emails").unwrap().table(&schema);
        queues::create(&mut connection, &queue).await.unwrap();
        jobs::push(&mut connection, &queue, &NewJob::new("send", &name).unwrap()).await.unwrap();
        let claimed = db.claim(&queue, 10).await;
        assert_eq!(claimed.len(), 1, "{name}");
        assert_eq!(claimed[0].payload, format!("\"{name}\""));
        history::maintain(&mut connection, &schema, Duration::ZERO).await.unwrap();
    }
}

#[tokio::test]
async fn an_application_with_migrations_of_its_own_is_not_disturbed() {
    let db = empty_database().await;
    let own = "create table _sqlx_migrations (version bigint primary key, description text not null);
        insert into _sqlx_migrations values (1, 'users')";
    sqlx::raw_sql(own).execute(&db.pool).await.unwrap();
    run(&db).await.unwrap();
    assert_eq!(db.count("select count(*) from _sqlx_migrations").await, 1);
}

#[tokio::test]
async fn a_newer_database_is_fit_unless_the_newer_migration_is_breaking() {
    let db = database().await;
    let insert = "insert into pg_queue_migrations (version, name, checksum, breaking) values ($1, $2, 'x', $3)";
    sqlx::query(insert).bind(98).bind("more").bind(false).execute(&db.pool).await.unwrap();
    let newer = status(&db).await.unwrap();
    assert_eq!(newer.newer, [(98, "more".to_owned(), false)]);
    newer.check(&db.schema).unwrap();
    assert_eq!(run(&db).await.unwrap(), 0);

    sqlx::query(insert).bind(99).bind("other").bind(true).execute(&db.pool).await.unwrap();
    let refused = "the database has migration 0099_other, which this version of pg-queue does not know and which is \
                   marked as breaking: update pg-queue in this program before it is started again";
    let error = status(&db).await.unwrap().check(&db.schema).unwrap_err();
    assert_eq!(error.to_string(), refused);
    assert_eq!(run(&db).await.unwrap_err().to_string(), refused);
}

#[tokio::test]
async fn a_migration_with_other_contents_is_refused() {
    let db = database().await;
    sqlx::query("update pg_queue_migrations set checksum = 'x' where version = 2").execute(&db.pool).await.unwrap();
    for error in [run(&db).await.unwrap_err(), status(&db).await.unwrap_err()] {
        assert!(matches!(&error, MigrateError::Changed { migration } if migration == "0002_jobs"), "{error}");
    }
}

#[tokio::test]
async fn a_migration_that_fails_half_way_changes_nothing() {
    let db = empty_database().await;
    sqlx::query("create table pg_queue_cache (theirs text)").execute(&db.pool).await.unwrap();
    let error = run(&db).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "migration 0006_cache failed, and nothing was changed: database error: relation \"pg_queue_cache\" already \
         exists (SQLSTATE 42P07)"
    );
    assert_eq!(db.count("select count(*) from pg_class where relname like 'pg_queue%'").await, 1);
    assert_eq!(db.count("select count(*) from pg_proc where proname like 'pg_queue%'").await, 0);
}

#[tokio::test]
async fn a_user_who_may_not_create_anything_finds_nothing_to_do() {
    let db = database().await;
    let grants = "grant usage on schema public to {role}; grant select on pg_queue_migrations to {role}";
    let mut connection = db.create_role(grants).await;
    assert_eq!(migrate::run(&mut connection, &db.schema).await.unwrap().len(), 0);
    db.drop_role(connection).await;
}

/// What there is in a schema: tables and columns, indexes, functions, triggers, constraints, partitions. The triggers behind
/// foreign keys have names that differ from one database to the next.
async fn inventory(db: &Db, schema: &str) -> Vec<String> {
    sqlx::query_scalar(
        r"select replace(line, $1 || '.', '') from (
            select format('%s.%s %s %s %s', table_name, column_name, data_type, column_default, is_nullable)
            from information_schema.columns where table_schema = $1
            union all select indexdef from pg_indexes where schemaname = $1
            union all select pg_get_functiondef(oid) from pg_proc where pronamespace = $1::regnamespace
            union all select pg_get_triggerdef(t.oid) from pg_trigger as t
                join pg_class as c on c.oid = tgrelid where relnamespace = $1::regnamespace and not tgisinternal
            union all select format('%s of %s: %s', conname, conrelid::regclass, pg_get_constraintdef(oid))
            from pg_constraint where connamespace = $1::regnamespace
            union all select relname::text || coalesce(pg_get_expr(relpartbound, oid), '') || coalesce(reloptions::text, '')
                || relpersistence::text
            from pg_class where relnamespace = $1::regnamespace
        ) as lines (line) order by 1",
    )
    .bind(schema)
    .fetch_all(&db.pool)
    .await
    .unwrap()
}

#[tokio::test]
async fn the_script_makes_what_running_makes() {
    for name in ["public", "jobs"] {
        let schema = Schema::new(name).unwrap();
        let (ran, scripted) = join!(empty_database(), empty_database());
        migrate::run(&mut ran.connect().await, &schema).await.unwrap();
        let script = migrate::script(&schema);
        sqlx::raw_sql(AssertSqlSafe(script)).execute(&scripted.pool).await.unwrap();

        let status = migrate::status(&mut scripted.connect().await, &schema).await.unwrap();
        status.check(&schema).unwrap();
        assert_eq!(inventory(&ran, name).await, inventory(&scripted, name).await);
        assert!(migrate::run(&mut scripted.connect().await, &schema).await.unwrap().is_empty());
    }
}
