//! A private server may be halted and resumed, and what it had promised to keep is there again.
#![cfg(unix)]

mod support;

use std::{fs, thread};

use pg_queue_embedded::{Halt, HaltError, Server, Settings, StartError};
use rustix::process::{Signal, kill_process};
use sqlx::{Connection, PgConnection};

use crate::support::{connect_and_freeze, folder, is_running, process, wait_until};

#[tokio::test]
async fn what_was_committed_survives_a_crash_and_nothing_else() {
    let server = Server::start(Settings::durable()).unwrap();
    let [mut one, mut other] = [connect(&server).await, connect(&server).await];
    run(&mut one, "create table t (what text); insert into t values ('committed')").await;
    run(&mut other, "begin; insert into t values ('not committed')").await;

    server.halt(Halt::Immediate).unwrap();
    server.resume().unwrap();
    let left: Vec<String> =
        sqlx::query_scalar("select what from t").fetch_all(&mut connect(&server).await).await.unwrap();
    assert_eq!(left, ["committed"]);
}

#[tokio::test]
async fn an_unlogged_table_is_emptied_by_a_crash_and_kept_by_a_fast_end() {
    let server = Server::start(Settings::durable()).unwrap();
    run(&mut connect(&server).await, "create unlogged table t as select 1 as n").await;
    for (how, left) in [(Halt::Fast, 1), (Halt::Immediate, 0)] {
        server.halt(how).unwrap();
        server.resume().unwrap();
        assert_eq!(rows(&server).await, left, "{how:?}");
    }
}

#[tokio::test]
async fn a_resumed_server_is_another_process_at_the_same_url() {
    let server = Server::start(Settings::durable().with("max_connections", "7")).unwrap();
    let url = server.admin_url();
    for how in [Halt::Fast, Halt::Immediate] {
        let before = server.pid().unwrap();
        server.halt(how).unwrap();
        assert!(!is_running(before) && server.pid().is_none());
        assert!(PgConnection::connect(&url).await.is_err());

        server.resume().unwrap();
        assert_ne!(server.pid().unwrap(), before);
        assert_eq!(server.admin_url(), url);
        let setting = sqlx::query_scalar("show max_connections").fetch_one(&mut connect(&server).await).await;
        assert_eq!(setting.ok(), Some("7".to_owned()));
    }
}

#[tokio::test]
async fn no_connection_survives_a_halt() {
    let server = Server::start(Settings::for_tests()).unwrap();
    for how in [Halt::Fast, Halt::Immediate] {
        let mut connection = connect(&server).await;
        server.halt(how).unwrap();
        server.resume().unwrap();
        assert!(sqlx::query("select 1").execute(&mut connection).await.is_err(), "{how:?}");
    }
}

#[tokio::test]
async fn a_server_is_halted_ten_times_in_a_row_and_loses_nothing() {
    let server = Server::start(Settings::durable()).unwrap();
    run(&mut connect(&server).await, "create table t (n bigint)").await;
    for round in 1..=10 {
        run(&mut connect(&server).await, "insert into t values (1)").await;
        server.halt(if round % 2 == 0 { Halt::Fast } else { Halt::Immediate }).unwrap();
        server.resume().unwrap();
        assert_eq!(rows(&server).await, round);
    }
}

#[test]
fn halting_a_halted_and_resuming_a_running_server_does_nothing() {
    let server = Server::start(Settings::for_tests()).unwrap();
    let before = server.pid();
    server.resume().unwrap();
    assert_eq!(server.pid(), before);

    server.halt(Halt::Fast).unwrap();
    let log = fs::read(server.log_path().unwrap()).unwrap();
    for how in [Halt::Fast, Halt::Immediate] {
        server.halt(how).unwrap();
    }
    assert_eq!(fs::read(server.log_path().unwrap()).unwrap(), log);
    server.resume().unwrap();
}

#[tokio::test]
async fn several_threads_may_halt_and_resume_a_server_at_once() {
    let server = Server::start(Settings::for_tests()).unwrap();
    thread::scope(|scope| {
        for how in [Halt::Fast, Halt::Immediate, Halt::Fast, Halt::Immediate] {
            let server = &server;
            scope.spawn(move || {
                for _ in 0..3 {
                    server.halt(how).unwrap();
                    server.resume().unwrap();
                }
            });
        }
    });
    server.resume().unwrap();
    connect(&server).await;
}

#[test]
fn a_frozen_server_can_be_halted() {
    let server = Server::start(Settings::for_tests()).unwrap();
    for how in [Halt::Fast, Halt::Immediate] {
        kill_process(process(server.pid().unwrap()), Signal::STOP).unwrap();
        server.halt(how).unwrap();
        server.resume().unwrap();
    }
}

#[tokio::test]
async fn a_killed_server_is_resumed_once_its_last_process_has_ended() {
    let server = Server::start(Settings::durable()).unwrap();
    run(&mut connect(&server).await, "create table t as select 1 as n").await;
    let (_connection, backend) = connect_and_freeze(&server).await;
    let backend = Frozen(backend);
    kill_process(process(server.pid().unwrap()), Signal::KILL).unwrap();
    server.halt(Halt::Immediate).unwrap();

    thread::scope(|scope| {
        let resuming = scope.spawn(|| server.resume());
        let log = || fs::read_to_string(server.log_path().unwrap()).unwrap();
        wait_until("the server refuses twice", || log().matches("is still in use").count() > 1);
        drop(backend);
        resuming.join().unwrap().unwrap();
    });
    assert_eq!(rows(&server).await, 1);
}

#[tokio::test]
async fn a_server_that_does_not_start_again_says_why_and_may_be_tried_again() {
    let server = Server::start(Settings::for_tests()).unwrap();
    run(&mut connect(&server).await, "create table t as select 1 as n").await;
    server.halt(Halt::Fast).unwrap();
    let (data, away) = (server.data_dir().unwrap(), folder(&server).join("away"));
    fs::rename(&data, &away).unwrap();
    for _ in 0..2 {
        let StartError::Failed { what, log } = server.resume().unwrap_err() else { panic!("another error") };
        assert!(what.contains("postgres") && what.ends_with("ended at its start"), "{what}");
        assert!(log.contains("No such file or directory") && !log.contains("ready to accept"), "{log}");
    }
    fs::rename(&away, &data).unwrap();
    server.resume().unwrap();
    assert_eq!(rows(&server).await, 1);
}

#[test]
fn a_halted_server_deletes_its_data_when_it_is_dropped() {
    for how in [Halt::Fast, Halt::Immediate] {
        let server = Server::start(Settings::for_tests()).unwrap();
        let folder = folder(&server);
        server.halt(how).unwrap();
        assert!(folder.join("data").exists());
        drop(server);
        assert!(!folder.exists(), "{how:?}");
    }
}

#[test]
fn a_given_server_is_not_ours_to_halt() {
    let server = Server::given("postgres://nowhere.invalid").unwrap();
    assert!(matches!(server.halt(Halt::Fast), Err(HaltError::Given)));
    assert!(matches!(server.resume(), Err(StartError::Given)));
}

async fn connect(server: &Server) -> PgConnection {
    PgConnection::connect(&server.admin_url()).await.unwrap()
}

async fn run(connection: &mut PgConnection, statements: &'static str) {
    sqlx::raw_sql(statements).execute(connection).await.unwrap();
}

async fn rows(server: &Server) -> i64 {
    sqlx::query_scalar("select count(*) from t").fetch_one(&mut connect(server).await).await.unwrap()
}

/// Killed when it is dropped, so that a test that fails does not leave it frozen for ever.
struct Frozen(u32);

impl Drop for Frozen {
    fn drop(&mut self) {
        let _ = kill_process(process(self.0), Signal::KILL);
    }
}
