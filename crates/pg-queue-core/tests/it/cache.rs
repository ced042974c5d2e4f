//! The cache.

use std::time::{Duration, SystemTime};

use pg_queue_core::{
    Commit,
    cache::{self, Addition, CacheError, CacheTable, Entry, Expiry, Found, Key, Namespace, Ttl},
};
use serde_json::{Value, json};
use sqlx::Connection;

use crate::support::{Db, database, empty_database};

const PAST: Expiry = Expiry::At(SystemTime::UNIX_EPOCH);

fn soon() -> Expiry {
    Expiry::from(3600)
}

fn key(key: impl AsRef<[u8]>) -> Key {
    Key::new(&Namespace::default(), key.as_ref())
}

fn entry(name: impl AsRef<[u8]>, value: &Value, expiry: Expiry) -> Entry {
    Entry::json(key(name), value, expiry).unwrap()
}

impl Db {
    fn cache(&self) -> CacheTable {
        CacheTable::unlogged(&self.schema)
    }

    async fn found(&self, name: impl AsRef<[u8]>) -> Option<Found> {
        cache::get(&self.pool, &self.cache(), &key(name)).await.unwrap()
    }

    async fn get(&self, name: impl AsRef<[u8]>) -> Option<Value> {
        let name = name.as_ref();
        self.found(name).await.map(|found| found.decode(&key(name)).unwrap())
    }

    async fn set(&self, name: impl AsRef<[u8]>, value: Value, expiry: Expiry) {
        cache::set(&self.pool, &self.cache(), &entry(name, &value, expiry), &[]).await.unwrap();
    }

    async fn delete(&self, names: &[&str]) -> u64 {
        let keys: Vec<Key> = names.iter().map(key).collect();
        cache::delete(&self.pool, &self.cache(), &keys.iter().collect::<Vec<_>>()).await.unwrap()
    }

    async fn add(&self, additions: &[(&str, i64)]) -> Vec<Option<i64>> {
        let additions: Vec<Addition> =
            additions.iter().map(|(name, by)| Addition::new(key(name), *by, soon()).unwrap()).collect();
        cache::add(&self.pool, &self.cache(), &additions.iter().collect::<Vec<_>>()).await.unwrap()
    }
}

#[tokio::test]
async fn a_value_is_set_replaced_and_deleted() {
    let db = database().await;
    assert_eq!(db.get("k").await, None);
    assert_eq!(db.delete(&["k"]).await, 0);
    db.set("k", json!({"a": "nul \0 too"}), soon()).await;
    assert_eq!(db.get("k").await, Some(json!({"a": "nul \0 too"})));
    db.set("k", json!(null), soon()).await;
    assert_eq!(db.get("k").await, Some(json!(null)));
    assert_eq!(db.get("K").await, None);
    assert_eq!(db.delete(&["k", "K", "k"]).await, 1);
    assert_eq!(db.get("k").await, None);
}

#[tokio::test]
async fn an_expired_value_is_not_there() {
    let db = database().await;
    db.set("k", json!(1), PAST).await;
    assert_eq!(db.get("k").await, None);
    assert_eq!(db.delete(&["k"]).await, 0);
    db.set("k", json!(1), PAST).await;
    db.set("k", json!(2), Expiry::At(SystemTime::now() + Duration::from_secs(3600))).await;
    assert_eq!(db.get("k").await, Some(json!(2)));
    db.set("k", json!(3), PAST).await;
    assert_eq!(db.get("k").await, None);
    assert!(!cache::touch(&db.pool, &db.cache(), &key("k"), soon()).await.unwrap(), "it is not brought back");
}

#[tokio::test]
async fn keys_may_be_any_bytes_and_however_many() {
    let db = database().await;
    let keys = [
        b"".to_vec(),
        b" ".to_vec(),
        vec![b'a'; 512],
        vec![b'a'; 513],
        vec![b'a'; 100_000],
        vec![b'a'; 100_001],
        "ä🦀'\"\\".into(),
        b"a\0b".to_vec(),
        vec![0xff, 0xfe],
    ];
    for (n, key) in keys.iter().enumerate() {
        db.set(key, json!(n), soon()).await;
    }
    for (n, key) in keys.iter().enumerate() {
        assert_eq!(db.get(key).await, Some(json!(n)));
    }
}

#[tokio::test]
async fn a_value_of_another_type_is_an_error_that_names_the_key() {
    let db = database().await;
    db.set("answer", json!("text"), soon()).await;
    let error = db.found("answer").await.unwrap().decode::<i32>(&key("answer")).unwrap_err();
    assert!(matches!(&error, CacheError::Decode { key, .. } if key == "answer"));
    assert!(error.to_string().starts_with("the value under \"answer\" does not decode: "), "{error}");
}

#[tokio::test]
async fn a_time_to_live_of_nothing_or_of_ages_is_refused() {
    let db = database().await;
    for ttl in [Ttl::from(0), Ttl::from(Duration::ZERO), Ttl::from(u64::MAX), Ttl::from(Duration::MAX)] {
        for expiry in [Expiry::After(ttl), Expiry::Sliding(ttl)] {
            let refused = Entry::json(key("k"), &1, expiry);
            assert!(matches!(refused, Err(CacheError::InvalidTtl(_))), "{expiry:?}");
        }
    }
    let ten_years = Ttl::from(10 * 365 * 24 * 3600);
    for ttl in [Ttl::from(Duration::from_nanos(1)), Ttl::from(1), ten_years] {
        db.set("k", json!(1), Expiry::After(ttl)).await;
    }
    assert_eq!(db.get("k").await, Some(json!(1)));
    db.set("k", json!(1), Expiry::At(SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 60))).await;
    assert_eq!(db.get("k").await, Some(json!(1)));
}

#[tokio::test]
async fn a_value_of_more_than_64_mib_is_refused() {
    let bytes = vec![0; cache::MAX_VALUE_BYTES + 1];
    let refused = Entry::new(key("k"), bytes, soon());
    assert!(matches!(&refused, Err(CacheError::TooLarge { key, .. }) if key == "k"), "{refused:?}");
}

#[tokio::test]
async fn many_are_set_and_found_by_their_positions() {
    let db = database().await;
    let entries: Vec<Entry> = (0..500).map(|n| entry(format!("{}", n % 400), &json!(n), soon())).collect();
    cache::set_many(&db.pool, &db.cache(), &entries.iter().collect::<Vec<_>>()).await.unwrap();
    let keys: Vec<Key> = ["399", "none", "0", "99"].iter().map(key).collect();
    let found = cache::get_many(&db.pool, &db.cache(), &keys.iter().collect::<Vec<_>>()).await.unwrap();
    let values: Vec<Option<i32>> = found.into_iter().map(|it| it.map(|it| it.decode(&keys[0]).unwrap())).collect();
    assert_eq!(values, [Some(399), None, Some(400), Some(499)], "of several for one key the last one");
    cache::set_many(&db.pool, &db.cache(), &[]).await.unwrap();
    assert!(cache::get_many(&db.pool, &db.cache(), &[]).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_value_is_set_only_where_none_is_or_in_place_of_its_version() {
    let db = database().await;
    let (table, first, second) = (db.cache(), entry("k", &json!(1), soon()), entry("k", &json!(2), soon()));
    assert!(cache::set_if_absent(&db.pool, &table, &first, Commit::AsSet).await.unwrap());
    assert!(!cache::set_if_absent(&db.pool, &table, &second, Commit::AsSet).await.unwrap());
    let version = db.found("k").await.unwrap().version;
    assert_eq!(version, first.version());
    assert!(!cache::compare_and_swap(&db.pool, &table, &second, second.version()).await.unwrap());
    assert!(cache::compare_and_swap(&db.pool, &table, &second, version).await.unwrap());
    assert!(!cache::compare_and_swap(&db.pool, &table, &first, version).await.unwrap());
    assert_eq!(db.get("k").await, Some(json!(2)));
    db.delete(&["k"]).await;
    assert!(!cache::compare_and_swap(&db.pool, &table, &first, second.version()).await.unwrap());
    db.set("k", json!(3), PAST).await;
    let expired: i64 = db.count("select version from pg_queue_cache").await;
    assert!(cache::set_if_absent(&db.pool, &table, &first, Commit::AsSet).await.unwrap(), "an expired value is none");
    assert!(db.count("select version from pg_queue_cache").await != expired);
}

#[tokio::test]
async fn a_sliding_value_lives_on_when_it_is_used() {
    let db = database().await;
    db.set("k", json!(1), Expiry::sliding(800)).await;
    db.set("fixed", json!(1), Expiry::from(800)).await;
    assert!(!db.found("k").await.unwrap().is_to_slide(), "it was only just set");
    sqlx::query("update pg_queue_cache set expires_at = expires_at - interval '200 s'")
        .execute(&db.pool)
        .await
        .unwrap();
    assert!(db.found("k").await.unwrap().is_to_slide());
    assert!(!db.found("fixed").await.unwrap().is_to_slide());
    cache::slide(&db.pool, &db.cache(), &[&key("k"), &key("fixed"), &key("none")]).await.unwrap();
    let left = async |name| db.found(name).await.unwrap().left().unwrap();
    assert!(left("k").await > Duration::from_secs(750));
    assert!(left("fixed").await <= Duration::from_secs(600));
    assert!(cache::touch(&db.pool, &db.cache(), &key("k"), Expiry::Never).await.unwrap());
    assert_eq!(db.found("k").await.unwrap().left(), None);
}

#[tokio::test]
async fn counters_are_made_added_to_and_told_position_by_position() {
    let db = database().await;
    assert_eq!(db.add(&[("b", 5), ("a", 1), ("b", -7), ("b", 1)]).await, [Some(5), Some(1), Some(-2), Some(-1)]);
    assert_eq!(db.add(&[("b", 10)]).await, [Some(9)]);
    assert_eq!(db.get("b").await, Some(json!(9)));
    db.set("max", json!(i64::MAX), soon()).await;
    db.set("min", json!(i64::MIN), soon()).await;
    for odd in [json!("9"), json!(1.5), json!([1]), json!(null), json!(u64::MAX)] {
        db.set("odd", odd.clone(), soon()).await;
        let answers = db.add(&[("odd", 1), ("b", 1), ("max", 1), ("min", -1), ("odd", 1)]).await;
        assert!(matches!(answers[..], [None, Some(_), None, None, None]), "{odd}: {answers:?}");
        assert_eq!(db.get("odd").await, Some(odd));
    }
    assert_eq!(db.add(&[("max", -1), ("min", 1)]).await, [Some(i64::MAX - 1), Some(i64::MIN + 1)]);
    let twice = [("full", i64::MAX), ("full", 1)];
    assert_eq!(db.add(&twice).await, [None, None], "what leaves the range together is not added at all");
    assert!(db.add(&[]).await.is_empty());
}

#[tokio::test]
async fn an_expired_counter_begins_anew_and_one_that_counts_keeps_its_time() {
    let db = database().await;
    db.set("k", json!(7), PAST).await;
    assert_eq!(db.add(&[("k", 1)]).await, [Some(1)]);
    sqlx::query("update pg_queue_cache set expires_at = now() + interval '60 s'").execute(&db.pool).await.unwrap();
    assert_eq!(db.add(&[("k", 1)]).await, [Some(2)]);
    assert!(db.found("k").await.unwrap().left().unwrap() <= Duration::from_secs(60));
}

#[tokio::test]
async fn of_many_who_take_a_value_one_gets_it() {
    let db = database().await;
    db.set("k", json!(1), soon()).await;
    let (table, key) = (db.cache(), key("k"));
    let takes = (0..20).map(|_| cache::take(&db.pool, &table, &key));
    let taken = futures_util::future::join_all(takes).await;
    assert_eq!(taken.into_iter().filter_map(Result::unwrap).collect::<Vec<_>>(), [b"1"]);
    db.set("k", json!(1), PAST).await;
    assert_eq!(cache::take(&db.pool, &table, &key).await.unwrap(), None);
}

#[tokio::test]
async fn a_namespace_a_prefix_and_a_tag_are_removed_and_nothing_else() {
    let db = database().await;
    let (table, space) = (db.cache(), Namespace::new("space").unwrap());
    let tags = |tags: &[&str]| tags.iter().map(|tag| (*tag).to_owned()).collect::<Vec<_>>();
    for namespace in [&Namespace::default(), &space] {
        for (name, tagged) in [("user:1", tags(&["a", "b"])), ("user:2", tags(&["b"])), ("other", tags(&[]))] {
            let entry = Entry::json(Key::new(namespace, name.as_bytes()), &1, soon()).unwrap();
            cache::set(&db.pool, &table, &entry, &tagged).await.unwrap();
        }
    }
    let removed = cache::delete_tagged(&db.pool, &table, &space, "a").await.unwrap();
    assert_eq!((removed.values, removed.more), (1, false));
    assert_eq!(cache::delete_tagged(&db.pool, &table, &space, "none").await.unwrap().values, 0);
    assert_eq!(cache::delete_prefix(&db.pool, &table, &space, b"user:").await.unwrap().values, 1);
    assert_eq!(db.count("select count(*) from pg_queue_cache").await, 4);
    assert_eq!(cache::delete_prefix(&db.pool, &table, &space, b"").await.unwrap().values, 1);
    assert_eq!(cache::delete_tagged(&db.pool, &table, &Namespace::default(), "b").await.unwrap().values, 2);
    assert_eq!(db.get("other").await, Some(json!(1)));
    let long = cache::delete_prefix(&db.pool, &table, &space, &[0; 513]).await;
    assert!(matches!(long, Err(CacheError::PrefixTooLong(_))), "{long:?}");
}

#[tokio::test]
async fn the_durable_table_is_another_one_and_is_written_asynchronously() {
    let db = database().await;
    let durable = CacheTable::durable(&db.schema);
    let first = entry("k", &json!(1), soon());
    let mut transaction = db.pool.begin().await.unwrap();
    cache::set(&mut *transaction, &durable, &first, &[]).await.unwrap();
    let setting: String = sqlx::query_scalar("show synchronous_commit").fetch_one(&mut *transaction).await.unwrap();
    assert_eq!(setting, "off");
    transaction.commit().await.unwrap();
    assert_eq!(db.get("k").await, None);
    assert!(cache::get(&db.pool, &durable, &key("k")).await.unwrap().is_some());
    let persistence = "select relpersistence::text from pg_class where relname = $1";
    for (table, expected) in [("pg_queue_cache", "u"), ("pg_queue_cache_durable", "p")] {
        let is: String = sqlx::query_scalar(persistence).bind(table).fetch_one(&db.pool).await.unwrap();
        assert_eq!(is, expected);
    }
}

/// What is in the default namespace has one byte before it, of its length.
const FILL: &str = "insert into pg_queue_cache (key, version, expires_at, value)
    select '\\x00'::bytea || convert_to(n::text, 'UTF8'), n, now() + interval '1 h', '1' from generate_series(1, 50000) as n";

#[tokio::test]
async fn values_are_looked_up_in_the_index_whatever_the_statistics_say() {
    let db = database().await;
    sqlx::raw_sql("alter table pg_queue_cache set (autovacuum_enabled = off)").execute(&db.pool).await.unwrap();
    let queue = db.queue("emails").await;
    let keys = (100..400)
        .map(|n| format!("\"\\\\x00{}\"", n.to_string().bytes().map(|b| format!("{b:02x}")).collect::<String>()));
    let keys = format!("'{{{}}}'", keys.collect::<Vec<_>>().join(","));
    let statements = [
        ("cache/get.sql", "bytea", "'\\x0031'".to_owned()),
        ("cache/get_many.sql", "bytea[]", keys.clone()),
        ("cache/slide.sql", "bytea[], boolean", format!("{keys}, false")),
        ("cache/delete.sql", "bytea[], text, boolean", format!("{keys}, '', false")),
        ("cache/take.sql", "bytea, text, boolean", "'\\x0031', '', false".to_owned()),
        (
            "cache/delete_range.sql",
            "bytea, bytea, bigint, text, boolean",
            "'\\x0031', '\\x0032', 10, '', false".to_owned(),
        ),
    ];
    for state in ["select 1", FILL, "vacuum analyze pg_queue_cache"] {
        sqlx::raw_sql(state).execute(&db.pool).await.unwrap();
        let mut connection = db.connect().await;
        for (file, types, values) in &statements {
            let statement = crate::support::statement(file, &queue);
            let prepare = format!("set plan_cache_mode = force_generic_plan; prepare planned ({types}) as {statement}");
            sqlx::raw_sql(sqlx::AssertSqlSafe(prepare)).execute(&mut connection).await.unwrap();
            let explain = sqlx::AssertSqlSafe(format!("explain (costs off) execute planned ({values})"));
            let plan: Vec<String> =
                sqlx::query_scalar(explain).persistent(false).fetch_all(&mut connection).await.unwrap();
            let plan = plan.join("\n");
            assert!(
                plan.contains("pg_queue_cache_pkey") && !plan.contains("Seq Scan on pg_queue_cache\n"),
                "{file}: {plan}"
            );
            assert!(!plan.ends_with("Seq Scan on pg_queue_cache"), "{file}: {plan}");
            sqlx::raw_sql("deallocate planned").execute(&mut connection).await.unwrap();
        }
    }
}

/// As after a crash: the server knows that the table was long, and finds it empty.
#[tokio::test]
async fn a_plan_that_was_made_for_an_empty_table_is_not_kept_while_it_fills() {
    let db = database().await;
    sqlx::raw_sql("alter table pg_queue_cache set (autovacuum_enabled = off)").execute(&db.pool).await.unwrap();
    let mut connection = db.connect().await;
    for statement in [FILL, "vacuum analyze pg_queue_cache", "truncate pg_queue_cache", "vacuum pg_queue_cache"] {
        sqlx::raw_sql(statement).execute(&mut connection).await.unwrap();
    }
    for _ in 0..10 {
        assert_eq!(cache::get(&mut connection, &db.cache(), &key("1")).await.unwrap(), None);
    }
    sqlx::raw_sql(FILL).execute(&db.pool).await.unwrap();
    let connection = tokio::sync::Mutex::new(connection);
    crate::support::until(async || {
        let mut connection = connection.lock().await;
        let mut transaction = connection.begin().await.unwrap();
        assert!(cache::get(&mut *transaction, &db.cache(), &key("1")).await.unwrap().is_some());
        let scans = "select seq_scan from pg_stat_xact_user_tables where relname = 'pg_queue_cache'";
        let scans: i64 = sqlx::query_scalar(scans).fetch_one(&mut *transaction).await.unwrap();
        transaction.rollback().await.unwrap();
        scans == 0
    })
    .await;
}

#[tokio::test]
async fn cleaning_up_removes_what_has_expired_over_many_steps_and_nothing_else() {
    let db = database().await;
    let mut connection = db.connect().await;
    assert_eq!(cache::cleanup_expired(&mut connection, &db.cache()).await.unwrap(), 0);
    sqlx::query("alter table pg_queue_cache alter column value set storage plain")
        .execute(&mut connection)
        .await
        .unwrap();
    // 3,000 rows of a page each: more than two steps of 1,024 pages.
    sqlx::query(
        "insert into pg_queue_cache (key, version, expires_at, value)
         select convert_to(n::text, 'UTF8'), n, case n % 3 when 0 then null when 1 then now() - interval '1 s' else now() + interval '1 h' end,
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
    assert_eq!(cache::cleanup_expired(&mut connection, &db.cache()).await.unwrap(), 1000);
    assert_eq!(cache::cleanup_expired(&mut connection, &db.cache()).await.unwrap(), 0);
    assert_eq!(db.count("select count(*) from pg_queue_cache").await, 2000);
}

#[tokio::test]
async fn cleaning_up_reads_a_range_of_pages_only() {
    let db = database().await;
    let queue = db.queue("emails").await;
    let cleanup = crate::support::statement("cache/cleanup_expired.sql", &queue);
    sqlx::query(
        "insert into pg_queue_cache (key, version, expires_at, value)
        select convert_to(n::text, 'UTF8'), n, now(), '' from generate_series(1, 20000) as n",
    )
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
    let get = cache::get(&db.pool, &db.cache(), &key("k")).await.unwrap_err().to_string();
    let clean = cache::cleanup_expired(&mut connection, &db.cache()).await.unwrap_err().to_string();
    for message in [get, clean] {
        assert!(message.contains("run `pg_queue::migrate(&pool)`"), "{message}");
    }
}
