//! A wrong password is an error at once, and no password is ever printed.

use std::{
    fs,
    time::{Duration, Instant},
};

use pg_queue_client::PgQueue;
use pg_queue_core::QueueName;
use pg_queue_embedded::{Server, Settings};
use sqlx::{Connection, PgConnection, postgres::PgPoolOptions};

use crate::support::{database, pool_to_nowhere};

/// A server that asks for passwords, and its URL with a wrong one.
async fn server_with_passwords() -> (Server, String) {
    let server = Server::start(Settings::for_tests()).unwrap();
    let mut admin = PgConnection::connect(&server.admin_url()).await.unwrap();
    for statement in ["create role guest login password 'right-one'", "alter system set password_encryption to default"]
    {
        sqlx::query(statement).execute(&mut admin).await.unwrap();
    }
    let rules = server.data_dir().unwrap().join("pg_hba.conf");
    fs::write(rules, "local all postgres trust\nlocal all all scram-sha-256\n").unwrap();
    sqlx::query("select pg_reload_conf()").execute(&mut admin).await.unwrap();
    let wrong = server.url("postgres").replace("postgres@", "guest:hush-hush@");
    // The rules are read again a moment later: until then anybody is let in.
    let give_up = Instant::now() + Duration::from_secs(20);
    while PgConnection::connect(&wrong).await.is_ok() {
        assert!(Instant::now() < give_up);
    }
    (server, wrong)
}

#[tokio::test]
async fn a_wrong_password_is_an_error_at_once_and_is_not_printed() {
    let (server, wrong) = server_with_passwords().await;
    let pool = PgPoolOptions::new().connect_lazy(&wrong).unwrap();
    let mgr = PgQueue::builder().listener_url(&wrong).unwrap().build(pool);
    let work = QueueName::new("work").unwrap();
    let began = Instant::now();
    let push = mgr.queue.push(&work, &1).await.unwrap_err();
    let cache = mgr.cache.get::<u8>("k").await.unwrap_err();
    let listener = mgr.create_listener().await.unwrap_err();
    let connect = PgQueue::connect(&wrong).await.unwrap_err();
    let call = mgr.request_response.push_and_wait::<_, u8>(&work, &1, Duration::from_secs(60)).await.unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    for said in [push.to_string(), cache.to_string(), listener.to_string(), connect.to_string(), call.to_string()] {
        assert!(said.contains("check user, password and database name"), "{said}");
        assert!(!said.contains("hush-hush"), "{said}");
    }
    let debug = format!("{push:?} {cache:?} {listener:?} {connect:?} {call:?}");
    assert!(!debug.contains("hush-hush"), "{debug}");
    server.stop();
}

#[tokio::test]
async fn a_database_that_is_not_there_is_an_error_at_once() {
    let db = database().await;
    let elsewhere = db.database.url().replace(db.database.name(), "no_such_database");
    let error = PgQueue::connect(&elsewhere).await.unwrap_err().to_string();
    assert!(error.contains("\"no_such_database\"") && error.contains("check user, password and database"), "{error}");
}

#[tokio::test]
async fn no_debug_output_shows_a_password() {
    let builder = PgQueue::builder().listener_url("postgres://u:hush-hush@127.0.0.1:1/app").unwrap();
    let mgr = builder.clone().build(pool_to_nowhere().await);
    let listener = mgr.background_listener(&["a"]).unwrap();
    let parts = format!(
        "{builder:?} {mgr:?} {:?} {:?} {:?} {:?} {listener:?}",
        mgr.queue, mgr.notify, mgr.cache, mgr.request_response
    );
    assert!(!parts.contains("hush-hush"), "{parts}");
    let db = database().await;
    let mgr = builder.build(db.pool.clone());
    let mut connection = db.pool.acquire().await.unwrap();
    let on = format!("{:?}", mgr.on(&mut connection));
    assert!(!on.contains("hush-hush"), "{on}");
}
