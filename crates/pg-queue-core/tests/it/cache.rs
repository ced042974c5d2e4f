//! The cache.

use std::time::{Duration, SystemTime};

use pg_queue_core::cache::{self, CacheError, Expiry, Ttl};
use serde_json::{Value, json};

use crate::support::{Db, database, empty_database};

const PAST: Expiry = Expiry::At(SystemTime::UNIX_EPOCH);

fn soon() -> Expiry {
    Expiry::After(Ttl::from(3600))
}

async fn get(db: &Db, key: &str) -> Option<Value> {
    cache::get(&db.pool, &db.schema, key).await.unwrap()
}

async fn set(db: &Db, key: &str, value: Value, expiry: Expiry) {
    cache::set(&db.pool, &db.schema, key, &value, expiry).await.unwrap();
}

#[tokio::test]
async fn a_value_is_set_replaced_and_deleted() {
    let db = database().await;
    assert_eq!(get(&db, "k").await, None);
    assert!(!cache::delete(&db.pool, &db.schema, "k").await.unwrap());
    set(&db, "k", json!({"a": "nul \0 too"}), soon()).await;
    assert_eq!(get(&db, "k").await, Some(json!({"a": "nul \0 too"})));
    set(&db, "k", json!(null), soon()).await;
    assert_eq!(get(&db, "k").await, Some(json!(null)));
    assert_eq!(get(&db, "K").await, None);
    assert!(cache::delete(&db.pool, &db.schema, "k").await.unwrap());
    assert_eq!(get(&db, "k").await, None);
}

#[tokio::test]
async fn an_expired_value_is_not_there() {
    let db = database().await;
    set(&db, "k", json!(1), PAST).await;
    assert_eq!(get(&db, "k").await, None);
    assert!(!cache::delete(&db.pool, &db.schema, "k").await.unwrap());
    set(&db, "k", json!(1), PAST).await;
    set(&db, "k", json!(2), Expiry::At(SystemTime::now() + Duration::from_secs(3600))).await;
    assert_eq!(get(&db, "k").await, Some(json!(2)));
    set(&db, "k", json!(3), PAST).await;
    assert_eq!(get(&db, "k").await, None);
}

#[tokio::test]
async fn keys_may_be_long_and_odd() {
    let db = database().await;
    let keys = [
        "".to_owned(),
        " ".to_owned(),
        "a".repeat(512),
        "a".repeat(513),
        "a".repeat(100_000),
        "a".repeat(100_001),
        "ä🦀'\"\\".to_owned(),
    ];
    for (n, key) in keys.iter().enumerate() {
        set(&db, key, json!(n), soon()).await;
    }
    for (n, key) in keys.iter().enumerate() {
        assert_eq!(get(&db, key).await, Some(json!(n)));
    }
    let nul = cache::get::<Value>(&db.pool, &db.schema, "a\0b").await;
    assert!(matches!(nul, Err(CacheError::InvalidKey)));
}

#[tokio::test]
async fn a_value_of_another_type_is_an_error_that_names_the_key() {
    let db = database().await;
    set(&db, "answer", json!("text"), soon()).await;
    let error = cache::get::<i32>(&db.pool, &db.schema, "answer").await.unwrap_err();
    assert!(matches!(&error, CacheError::Decode { key, .. } if key == "answer"));
    assert!(error.to_string().starts_with("the value under \"answer\" does not decode: "), "{error}");
}

#[tokio::test]
async fn a_time_to_live_of_nothing_or_of_ages_is_refused() {
    let db = database().await;
    for ttl in [Ttl::from(0), Ttl::from(Duration::ZERO), Ttl::from(u64::MAX), Ttl::from(Duration::MAX)] {
        let refused = cache::set(&db.pool, &db.schema, "k", &1, Expiry::After(ttl)).await;
        assert!(matches!(refused, Err(CacheError::InvalidTtl(_))), "{ttl:?}");
    }
    let ten_years = Ttl::from(10 * 365 * 24 * 3600);
    for ttl in [Ttl::from(Duration::from_nanos(1)), Ttl::from(1), ten_years] {
        cache::set(&db.pool, &db.schema, "k", &1, Expiry::After(ttl)).await.unwrap();
    }
    assert_eq!(get(&db, "k").await, Some(json!(1)));
}

#[tokio::test]
async fn cleaning_up_removes_what_has_expired_over_many_steps_and_nothing_else() {
    let db = database().await;
    let mut connection = db.connect().await;
    assert_eq!(cache::cleanup_expired(&mut connection, &db.schema).await.unwrap(), 0);
    sqlx::query("alter table pg_queue_cache alter column value set storage plain")
        .execute(&mut connection)
        .await
        .unwrap();
    // 3,000 rows of a page each: more than two steps of 1,024 pages.
    sqlx::query(
        "insert into pg_queue_cache (key, expires_at, value)
         select n::text, case n % 3 when 0 then null when 1 then now() - interval '1 s' else now() + interval '1 h' end,
             decode(repeat('00', 4500), 'hex')
         from generate_series(1, 3000) as n",
    )
    .execute(&mut connection)
    .await
    .unwrap();
    sqlx::query("alter table pg_queue_cache alter column value set storage plain")
        .execute(&mut connection)
        .await
        .unwrap();
    assert!(db.count("select pg_relation_size('pg_queue_cache') / 8192").await >= 3000);
    assert_eq!(cache::cleanup_expired(&mut connection, &db.schema).await.unwrap(), 1000);
    assert_eq!(cache::cleanup_expired(&mut connection, &db.schema).await.unwrap(), 0);
    assert_eq!(db.count("select count(*) from pg_queue_cache").await, 2000);
}

#[tokio::test]
async fn cleaning_up_reads_a_range_of_pages_only() {
    let db = database().await;
    let queue = db.queue("emails").await;
    let cleanup = crate::support::statement("cache/cleanup_expired.sql", &queue);
    sqlx::query("insert into pg_queue_cache select n::text, now(), '' from generate_series(1, 20000) as n")
        .execute(&db.pool)
        .await
        .unwrap();
    let explain = sqlx::AssertSqlSafe(format!("explain (costs off) {cleanup}"));
    let plan: Vec<String> = sqlx::query_scalar(explain).bind(0_i64).bind(10_i64).fetch_all(&db.pool).await.unwrap();
    assert!(plan.iter().any(|line| line.contains("Tid Range Scan on pg_queue_cache")), "{plan:#?}");
}

#[tokio::test]
async fn without_migrations_the_error_says_so() {
    let db = empty_database().await;
    let mut connection = db.connect().await;
    let get = cache::get::<Value>(&db.pool, &db.schema, "k").await.unwrap_err().to_string();
    let clean = cache::cleanup_expired(&mut connection, &db.schema).await.unwrap_err().to_string();
    for message in [get, clean] {
        assert!(message.contains("run `pg_queue::migrate(&pool)`"), "{message}");
    }
}
