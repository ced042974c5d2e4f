//! The clock of tests.

use std::time::{Duration, SystemTime};

use pg_queue_core::{DatabaseError, PushOptions, testing};
use sqlx::PgPool;

use crate::support::{Db, database, empty_database};

const HOUR: Duration = Duration::from_secs(3600);

/// The function that tells the time, as the catalog has it.
async fn function(pool: &PgPool) -> (String, i64) {
    let query = "select pg_get_functiondef(oid), oid::bigint from pg_proc where proname = 'pg_queue_now'";
    sqlx::query_as(query).fetch_one(pool).await.unwrap()
}

/// How far the jobs' clock is ahead of the server's, in whole seconds: both are asked at the same moment.
async fn ahead(db: &Db) -> i64 {
    db.count("select extract(epoch from pg_queue_now() - now())::bigint").await
}

#[tokio::test]
async fn it_shows_the_servers_time_until_it_is_moved() {
    let db = database().await;
    testing::install_clock(&db.pool, &db.schema).await.unwrap();
    assert_eq!(ahead(&db).await, 0);
    let moved = testing::advance_clock(&db.pool, &db.schema, HOUR * 24 * 365).await.unwrap().unwrap();
    assert_eq!(ahead(&db).await, 365 * 86_400);
    let now = testing::now(&db.pool, &db.schema).await.unwrap();
    assert!(now > moved && now < moved + HOUR, "it goes on: {moved:?}, {now:?}");
    testing::advance_clock(&db.pool, &db.schema, HOUR).await.unwrap();
    assert_eq!(ahead(&db).await, 365 * 86_400 + 3600);
}

#[tokio::test]
async fn it_is_set_to_the_microsecond_in_any_time_zone() {
    let db = database().await;
    testing::install_clock(&db.pool, &db.schema).await.unwrap();
    let mut connection = db.connect().await;
    // Where days have 23 and 25 hours, too.
    sqlx::raw_sql("set time zone 'Europe/Vienna'").execute(&mut connection).await.unwrap();
    for seconds in [1, 946_684_799, 1_774_746_000, 4_102_444_800, 253_402_300_798] {
        let moment = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_micros(123_456);
        let shown = testing::set_clock(&mut connection, &db.schema, moment).await.unwrap().unwrap();
        let early = moment.duration_since(shown).unwrap_or_default();
        let late = shown.duration_since(moment).unwrap_or_default();
        // The last microsecond is lost in the year 9999: an interval is multiplied as a double.
        assert!(early + late < Duration::from_micros(100), "{moment:?} and {shown:?}");
    }
    // Before it began to count, it begins to count.
    let shown = testing::set_clock(&mut connection, &db.schema, SystemTime::UNIX_EPOCH - HOUR).await.unwrap();
    assert_eq!(shown, Some(SystemTime::UNIX_EPOCH));
}

#[tokio::test]
async fn two_that_put_it_there_have_the_same_one() {
    let db = database().await;
    let (one, other) =
        tokio::join!(testing::install_clock(&db.pool, &db.schema), testing::install_clock(&db.pool, &db.schema));
    one.and(other).unwrap();
    testing::advance_clock(&db.pool, &db.schema, HOUR).await.unwrap();
    testing::install_clock(&db.pool, &db.schema).await.unwrap();
    assert_eq!(ahead(&db).await, 3600);
}

#[tokio::test]
async fn after_it_was_removed_everything_is_as_it_was() {
    let db = database().await;
    let before = function(&db.pool).await;
    testing::install_clock(&db.pool, &db.schema).await.unwrap();
    let moved = function(&db.pool).await;
    assert_ne!(moved.0, before.0);
    assert!(moved.0.contains("STABLE PARALLEL SAFE"), "{}", moved.0);
    testing::advance_clock(&db.pool, &db.schema, HOUR).await.unwrap();
    // Somebody has asked for the time, and has not committed yet.
    let mut asked = db.pool.begin().await.unwrap();
    sqlx::query("select pg_queue_now()").execute(&mut *asked).await.unwrap();
    testing::remove_clock(&db.pool, &db.schema).await.unwrap();
    asked.commit().await.unwrap();
    assert_eq!(function(&db.pool).await, before);
    assert_eq!(ahead(&db).await, 0);
    assert_eq!(testing::advance_clock(&db.pool, &db.schema, HOUR).await.unwrap(), None);
    assert_eq!(testing::set_clock(&db.pool, &db.schema, SystemTime::now()).await.unwrap(), None);
    testing::install_clock(&db.pool, &db.schema).await.unwrap();
    assert_eq!(ahead(&db).await, 0, "it begins anew");
}

#[tokio::test]
async fn plans_and_defaults_from_before_go_by_it() {
    let db = database().await;
    let queue = db.queue("emails").await;
    let later = PushOptions::default().delay(HOUR);
    db.push_with(&queue, "send", later).await;
    let mut connection = db.connect().await;
    // By a plan that was made when the function was inlined, and is kept.
    sqlx::raw_sql("set plan_cache_mode = force_generic_plan").execute(&mut connection).await.unwrap();
    let due = "select count(*) from queue_emails where run_at <= pg_queue_now()";
    for moved in [false, true] {
        if moved {
            testing::install_clock(&db.pool, &db.schema).await.unwrap();
            testing::advance_clock(&db.pool, &db.schema, HOUR * 2).await.unwrap();
        }
        let found: i64 = sqlx::query_scalar(due).fetch_one(&mut connection).await.unwrap();
        assert_eq!(found, i64::from(moved));
    }
    sqlx::raw_sql("insert into queue_emails (kind, payload) values ('bare', '1')").execute(&db.pool).await.unwrap();
    let late = "select count(*) from queue_emails where kind = 'bare' and run_at > now() + interval '1 hour'";
    assert_eq!(db.count(late).await, 1);
}

#[tokio::test]
async fn whoever_may_only_enqueue_enqueues_at_its_time() {
    let db = database().await;
    db.queue("emails").await;
    testing::install_clock(&db.pool, &db.schema).await.unwrap();
    let grants = "grant usage on schema public to {role}; grant insert on queue_emails to {role};
        grant usage on sequence pg_queue_job_ids to {role}";
    let mut producer = db.create_role(grants).await;
    let insert = "insert into queue_emails (kind, payload) values ('send', '1')";
    sqlx::raw_sql(insert).execute(&mut producer).await.unwrap();
    db.drop_role(producer).await;
}

#[tokio::test]
async fn a_database_that_is_not_migrated_has_no_such_clock() {
    let db = empty_database().await;
    let error = testing::now(&db.pool, &db.schema).await.unwrap_err();
    assert!(matches!(error, DatabaseError::NotMigrated { .. }), "{error}");
}
