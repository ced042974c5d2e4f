//! A database for every test, copied from templates that are made once.
#![cfg(unix)]

mod support;

use std::{
    error::Error,
    future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use pg_queue_embedded::{Database, DatabaseError, Server, Settings, shared};
use sqlx::{Connection, PgConnection, PgPool};
use tokio::{runtime, sync::oneshot, task::JoinSet};

use crate::support::{in_a_clean_process, output, role};

#[tokio::test]
async fn a_new_database_is_empty_and_nobody_elses() {
    let [one, other] = [Database::create(shared()).await.unwrap(), Database::create(shared()).await.unwrap()];
    assert_ne!(one.name(), other.name());
    assert_eq!(one.url(), shared().url(one.name()));
    make_table(one.pool().await.unwrap()).await.unwrap();
    assert_eq!((rows(&one).await, rows(&other).await), (Some(1), None));
}

#[tokio::test]
async fn eight_tasks_make_a_template_once_and_get_independent_copies() {
    let template = unique_template();
    let made = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..8 {
        let (template, made) = (template.clone(), made.clone());
        tasks.spawn(async move {
            let count = async move |pool| {
                made.fetch_add(1, Ordering::SeqCst);
                make_table(pool).await
            };
            Database::from_template(shared(), &template, count).await.unwrap()
        });
    }
    let databases = tasks.join_all().await;
    assert_eq!(made.load(Ordering::SeqCst), 1);

    let mut connection = PgConnection::connect(databases[0].url()).await.unwrap();
    sqlx::query("delete from t").execute(&mut connection).await.unwrap();
    assert_eq!(rows(&databases[0]).await, Some(0));
    for untouched in &databases[1..] {
        assert_eq!(rows(untouched).await, Some(1));
    }
}

/// What the test below runs in several processes.
#[tokio::test]
async fn one_of_several_processes() {
    let Some(template) = role() else { return };
    let say = async |pool| {
        println!("\nmade");
        make_table(pool).await
    };
    let database = Database::from_template(shared(), &template, say).await.unwrap();
    assert_eq!(rows(&database).await, Some(1));
}

#[test]
fn processes_that_share_a_server_make_a_template_once() {
    let server = Server::start(Settings::for_tests()).unwrap();
    let run =
        || output(in_a_clean_process("one_of_several_processes", "t").env("PG_QUEUE_TEST_SERVER", server.admin_url()));
    let said: String = std::thread::scope(|scope| {
        let processes: Vec<_> = (0..3).map(|_| scope.spawn(run)).collect();
        processes.into_iter().map(|process| process.join().unwrap()).collect()
    });
    assert_eq!(said.matches("\nmade\n").count(), 1, "{said}");
}

#[tokio::test]
async fn a_template_that_could_not_be_prepared_is_tried_again() {
    let template = unique_template();
    let fail = async |pool| {
        make_table(pool).await?;
        Err("half-way".into())
    };
    let error = Database::from_template(shared(), &template, fail).await.unwrap_err();
    assert!(matches!(&error, DatabaseError::Prepare { source, .. } if source.to_string() == "half-way"), "{error:?}");
    let database = Database::from_template(shared(), &template, make_table).await.unwrap();
    assert_eq!(rows(&database).await, Some(1));
}

#[tokio::test]
async fn a_template_whose_maker_was_cancelled_is_made_by_the_next() {
    let template = unique_template();
    let (half_way, is_half_way) = oneshot::channel();
    let maker = tokio::spawn({
        let template = template.clone();
        async move {
            let never_end = async move |pool| {
                make_table(pool).await?;
                half_way.send(()).unwrap();
                future::pending().await
            };
            Database::from_template(shared(), &template, never_end).await
        }
    });
    is_half_way.await.unwrap();
    maker.abort();
    let database = Database::from_template(shared(), &template, make_table).await.unwrap();
    assert_eq!(rows(&database).await, Some(1));
}

#[tokio::test]
async fn a_connection_that_prepare_forgets_does_not_forbid_copies() {
    let forget = async |pool: PgPool| {
        make_table(pool.clone()).await?;
        let options = (*pool.connect_options()).clone();
        std::mem::forget(PgConnection::connect_with(&options).await?);
        Ok(())
    };
    let database = Database::from_template(shared(), &unique_template(), forget).await.unwrap();
    assert_eq!(rows(&database).await, Some(1));
}

#[tokio::test]
async fn a_template_has_a_plain_name() {
    for name in ["", "With-Signs", "\"; drop", &"x".repeat(41)] {
        let error = Database::from_template(shared(), name, make_table).await.unwrap_err();
        assert!(matches!(error, DatabaseError::TemplateName(_)), "{error:?}");
    }
}

#[tokio::test]
async fn a_dropped_database_is_gone_though_it_is_in_use() {
    let database = Database::create(shared()).await.unwrap();
    let name = database.name().to_owned();
    let pool = database.pool_of(2).await.unwrap();
    assert!(exists(&name).await);
    drop(database);
    assert!(!exists(&name).await);
    assert!(sqlx::query("select 1").execute(&pool).await.is_err());
}

#[test]
fn a_database_may_be_dropped_outside_of_a_runtime() {
    let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let database = runtime.block_on(Database::create(shared())).unwrap();
    let name = database.name().to_owned();
    drop(database);
    assert!(!runtime.block_on(exists(&name)));
}

#[tokio::test]
async fn a_database_may_outlive_its_server() {
    let server = Server::start(Settings::for_tests()).unwrap();
    let database = Database::create(&server).await.unwrap();
    server.stop();
    let before = Instant::now();
    drop(database);
    assert!(before.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named_without_its_password() {
    let server = Server::given("postgres://someone:secret@127.0.0.1:1/d?sslmode=disable").unwrap();
    let error = Database::create(&server).await.unwrap_err();
    assert_eq!(error.to_string(), "could not connect to database \"d\" on 127.0.0.1:1 as \"someone\"");
    assert!(!format!("{error:?}").contains("secret"), "{error:?}");
}

/// A name that no other run uses on a server that outlives the run.
fn unique_template() -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    format!("embedded_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::SeqCst))
}

async fn make_table(pool: PgPool) -> Result<(), Box<dyn Error + Send + Sync>> {
    sqlx::query("create table t as select 1 as n").execute(&pool).await?;
    Ok(())
}

/// The number of rows of the table, if it is there.
async fn rows(database: &Database) -> Option<i64> {
    let mut connection = PgConnection::connect(database.url()).await.unwrap();
    sqlx::query_scalar("select count(*) from t").fetch_one(&mut connection).await.ok()
}

async fn exists(database: &str) -> bool {
    let mut connection = PgConnection::connect(&shared().admin_url()).await.unwrap();
    let query = sqlx::query_scalar("select exists (select from pg_database where datname = $1)");
    query.bind(database).fetch_one(&mut connection).await.unwrap()
}
