//! The history's partitions: a week ahead, gone after their time, and never missed.

use std::time::Duration;

use futures_util::future::join_all;
use pg_queue_core::{
    history,
    jobs::{self, PushOptions},
};

use crate::support::{Db, database, given_up, wait_for_lock};

/// The days that have a partition, counted from today in UTC.
async fn days(db: &Db) -> Vec<i32> {
    sqlx::query_scalar(
        "select to_date(right(relname, 8), 'YYYYMMDD') - (now() at time zone 'utc')::date from pg_class
         where relname ~ '^pg_queue_history_[0-9]{8}$' order by 1",
    )
    .fetch_all(&db.pool)
    .await
    .unwrap()
}

/// Discards a job now.
async fn discard(db: &Db) {
    let emails = db.queue("emails").await;
    db.push_with(&emails, "send", PushOptions::default().max_attempts(1)).await;
    let attempt = given_up(db.claim(&emails, 1).await.remove(0).id, "no");
    assert_eq!(jobs::end(&db.pool, &emails, &[attempt]).await.unwrap().len(), 1);
}

#[tokio::test]
async fn every_day_until_which_jobs_are_kept_has_a_partition_however_often_it_is_asked() {
    let db = database().await;
    let week: Vec<i32> = (0..=8).collect();
    assert_eq!(days(&db).await, week);
    history::maintain(&db.pool, &db.schema, Duration::ZERO).await.unwrap();
    for done in join_all((0..8).map(|_| history::maintain(&db.pool, &db.schema, Duration::ZERO))).await {
        done.unwrap();
    }
    assert_eq!(days(&db).await, week);
    discard(&db).await;
    assert_eq!(db.count("select count(*) from pg_queue_history_default").await, 0);
    assert_eq!(db.count("select count(*) from pg_queue_history").await, 1);
}

#[tokio::test]
async fn the_days_are_those_of_utc_wherever_the_session_is() {
    let db = database().await;
    for zone in ["Pacific/Kiritimati", "Pacific/Pago_Pago", "America/New_York"] {
        let mut connection = db.connect().await;
        sqlx::query("select set_config('timezone', $1, false), set_config('datestyle', 'German, DMY', false)")
            .bind(zone)
            .execute(&mut connection)
            .await
            .unwrap();
        sqlx::raw_sql(
            "do $$ declare day text; begin
                for day in select relname from pg_class where relname ~ '^pg_queue_history_[0-9]{8}$' loop
                    execute format('drop table %I', day);
                end loop;
            end $$",
        )
        .execute(&mut connection)
        .await
        .unwrap();
        history::maintain(&mut connection, &db.schema, Duration::ZERO).await.unwrap();
        assert_eq!(days(&db).await, (0..=8).collect::<Vec<_>>(), "{zone}");
        let bounds: Vec<String> = sqlx::query_scalar(
            "select pg_get_expr(relpartbound, oid) from pg_class
             where relname = 'pg_queue_history_' || to_char(now() at time zone 'utc', 'YYYYMMDD')",
        )
        .fetch_all(&db.pool)
        .await
        .unwrap();
        assert_eq!(bounds.len(), 1);
        assert_eq!(bounds[0].matches("00:00:00+00").count(), 2, "{}", bounds[0]);
    }
}

#[tokio::test]
async fn a_partition_has_what_the_history_has() {
    let db = database().await;
    let today = "'pg_queue_history_' || to_char(now() at time zone 'utc', 'YYYYMMDD')";
    let indexes = format!("select indexdef from pg_indexes where tablename = {today} order by 1");
    let found: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(indexes)).fetch_all(&db.pool).await.unwrap();
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found.iter().any(|index| index.contains("UNIQUE") && index.ends_with("(id, keep_until)")), "{found:?}");
    assert!(found.iter().any(|index| index.ends_with("(queue, state, finished_at, id)")), "{found:?}");
}

#[tokio::test]
async fn days_that_are_over_are_dropped_and_the_default_partition_is_pruned() {
    let db = database().await;
    sqlx::raw_sql(
        "do $$ declare day date; begin
            foreach day in array array[current_date - 1, current_date - 2, current_date - 100] loop
                execute format('create table %I partition of pg_queue_history for values from (%L) to (%L)',
                    'pg_queue_history_' || to_char(day, 'YYYYMMDD'), day, day + 1);
            end loop;
        end $$;
        insert into pg_queue_history
            (id, keep_until, run_at, created_at, priority, attempt, max_attempts, state, queue, kind, payload)
        select n, now() + n * interval '1 day', now(), now(), 5, 1, 1, 'discarded', 'emails', 'send', '1'
        from unnest(array[-100, -50, -2, -1, 0.0001, 3, 8, 50]) as n",
    )
    .execute(&db.pool)
    .await
    .unwrap();
    assert_eq!(db.count("select count(*) from pg_queue_history_default").await, 2);
    history::maintain(&db.pool, &db.schema, Duration::ZERO).await.unwrap();
    assert_eq!(days(&db).await, (0..=8).collect::<Vec<_>>());
    let left: Vec<i64> =
        sqlx::query_scalar("select id from pg_queue_history order by id").fetch_all(&db.pool).await.unwrap();
    assert_eq!(left, [0, 3, 8, 50]);
}

#[tokio::test]
async fn days_are_made_for_as_long_as_anything_is_kept() {
    let db = database().await;
    let day = Duration::from_secs(24 * 3600);
    history::maintain(&db.pool, &db.schema, 30 * day).await.unwrap();
    assert_eq!(days(&db).await, (0..=30).collect::<Vec<_>>());
    // Not for ever: what is kept for years is in the default partition.
    history::maintain(&db.pool, &db.schema, 10_000 * day).await.unwrap();
    assert_eq!(days(&db).await, (0..=400).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_missing_day_does_not_stop_a_job_from_finishing() {
    let db = database().await;
    let last: String = sqlx::query_scalar(
        "select 'pg_queue_history_' || to_char(now() at time zone 'utc' + interval '7 days', 'YYYYMMDD')",
    )
    .fetch_one(&db.pool)
    .await
    .unwrap();
    sqlx::query(sqlx::AssertSqlSafe(format!("drop table {last}"))).execute(&db.pool).await.unwrap();
    discard(&db).await;
    assert_eq!(db.count("select count(*) from pg_queue_history_default").await, 1);
    // That day stays in the default partition, and the others are made all the same.
    history::maintain(&db.pool, &db.schema, Duration::ZERO).await.unwrap();
    assert_eq!(days(&db).await, [0, 1, 2, 3, 4, 5, 6, 8]);
    discard(&db).await;
    assert_eq!(db.count("select count(*) from pg_queue_history").await, 2);
}

#[tokio::test]
async fn days_are_made_beside_an_open_completion_without_waiting_for_it() {
    let db = database().await;
    let emails = db.queue("emails").await;
    sqlx::raw_sql(
        "do $$ begin execute format('drop table pg_queue_history_%s', to_char(current_date + 3, 'YYYYMMDD')); end $$",
    )
    .execute(&db.pool)
    .await
    .unwrap();
    db.push_with(&emails, "send", PushOptions::default().max_attempts(1)).await;
    let job = db.claim(&emails, 1).await.remove(0);
    let mut open = db.pool.begin().await.unwrap();
    jobs::end(&mut *open, &emails, &[given_up(job.id, "no")]).await.unwrap();
    history::maintain(&db.pool, &db.schema, Duration::ZERO).await.unwrap();
    open.commit().await.unwrap();
    assert_eq!(days(&db).await, (0..=8).collect::<Vec<_>>());
}

/// At midnight a day is made and another one dropped, in one transaction. Somebody reads the history in between.
#[tokio::test]
async fn whoever_reads_the_history_at_midnight_does_not_deadlock_with_its_maintenance() {
    let db = database().await;
    let mut gate = db.pool.begin().await.unwrap();
    sqlx::raw_sql(
        "create function stop() returns event_trigger language plpgsql set lock_timeout = 0
            as $$ begin perform pg_advisory_xact_lock_shared(4711); end $$;
         create event trigger stop on ddl_command_end when tag in ('ALTER TABLE') execute function stop()",
    )
    .execute(&db.pool)
    .await
    .unwrap();
    sqlx::query("select pg_advisory_xact_lock(4711)").execute(&mut *gate).await.unwrap();
    db.set_clock("now() + interval '1 day'").await;
    let maintaining = tokio::spawn({
        let (pool, schema) = (db.pool.clone(), db.schema.clone());
        async move { history::maintain(&pool, &schema, Duration::ZERO).await }
    });
    wait_for_lock(&db, "advisory").await;
    let reading = tokio::spawn({
        let (pool, schema) = (db.pool.clone(), db.schema.clone());
        async move { history::list(&pool, &schema, &history::HistoryFilter::default(), None, 10).await }
    });
    wait_for_lock(&db, "relation").await;
    drop(gate);
    maintaining.await.unwrap().unwrap();
    assert!(reading.await.unwrap().unwrap().is_empty());
    assert_eq!(days(&db).await, (1..=9).collect::<Vec<_>>());
}
