//! Private servers start, keep to themselves and stop; given servers are left as they are.
#![cfg(unix)]

mod support;

use std::{
    fs,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::Path,
};

use pg_queue_embedded::{Database, Server, Settings, StartError, shared};
use rustix::process::{getpgid, test_kill_process_group};
use sqlx::{Connection, PgConnection};

use crate::support::{folder, in_a_clean_process, is_running, output, process, role, wait_until};

/// What the tests below run with another environment.
#[test]
fn in_another_environment() {
    match role().as_deref() {
        None => {}
        Some("start") => println!("\nstarted in {}", folder(&Server::start(Settings::durable()).unwrap()).display()),
        Some("fail") => {
            let error = Server::start(Settings::for_tests().with("shared_buffers", "nonsense")).unwrap_err();
            println!("\nprocess {}\n{error}", std::process::id());
        }
        Some("shared") => println!("\nshared is {:?}", shared().admin_url()),
        Some("explain") => match Server::from_env_or_start(Settings::for_tests()) {
            Ok(server) => println!("\nprivate: {}, {:?}", server.is_private(), server.admin_url()),
            Err(error) => println!("\n{error}"),
        },
        Some(other) => panic!("no role {other:?}"),
    }
}

#[tokio::test]
async fn a_private_server_starts_answers_stops_and_deletes_its_data() {
    let server = Server::start(Settings::for_tests()).unwrap();
    assert!(server.is_private());
    let (folder, pid) = (folder(&server), server.pid().unwrap());
    assert!(is_running(pid) && server.bin_dir().unwrap().join("postgres").exists());
    assert_eq!(ask(&server, "select 'it ' || 'answers'").await, "it answers");

    server.stop();
    assert!(!is_running(pid));
    assert!(!folder.exists());
}

#[tokio::test]
async fn two_servers_at_once_do_not_know_each_other() {
    let [one, other] = [(), ()].map(|()| Server::start(Settings::for_tests()).unwrap());
    let database = Database::create(&one).await.unwrap();
    let count = "select count(*)::text from pg_database where datname like 'pgq_test_%'";
    assert_eq!(ask(&one, count).await, "1");
    assert_eq!(ask(&other, count).await, "0");

    drop(database);
    drop(one);
    assert_eq!(ask(&other, "select 'alive'").await, "alive");
}

#[tokio::test]
async fn settings_reach_the_server_and_the_last_value_wins() {
    let settings = Settings::durable().with("max_connections", "7").with("max_connections", "9");
    let server = Server::start(settings).unwrap();
    assert_eq!(ask(&server, "show max_connections").await, "9");
    assert_eq!(ask(&server, "show fsync").await, "on");
    assert_eq!(ask(&server, "show listen_addresses").await, "");
}

#[test]
fn only_its_account_and_we_may_enter_the_folder() {
    let server = Server::start(Settings::for_tests()).unwrap();
    let mode = fs::metadata(folder(&server)).unwrap().permissions().mode() & 0o777;
    assert!(mode == 0o700 || mode == 0o770, "{mode:o}");
}

#[test]
fn a_server_whose_folder_is_gone_is_stopped_all_the_same() {
    let server = Server::start(Settings::for_tests()).unwrap();
    let (folder, pid) = (folder(&server), server.pid().unwrap());
    let group = getpgid(Some(process(pid))).unwrap();
    wait_until("the folder is gone", || {
        // It may write while we delete.
        let _ = fs::remove_dir_all(&folder);
        !folder.exists()
    });
    server.stop();
    assert!(!is_running(pid));
    wait_until("the shell that kept it is gone too", || test_kill_process_group(group).is_err());
    assert!(!folder.exists());
}

#[test]
fn a_server_that_dies_at_its_start_shows_its_log_and_leaves_nothing() {
    let said = output(&mut in_a_clean_process("in_another_environment", "fail"));
    assert!(said.contains("ended at its start; the end of its log:"), "{said}");
    assert!(said.contains("invalid value for parameter \"shared_buffers\""), "{said}");
    let (_, process) = said.split_once("\nprocess ").unwrap();
    let beginning = format!("pgq-{}-", process.lines().next().unwrap());
    for parent in [Path::new("/dev/shm"), Path::new("/tmp"), Path::new("/var/tmp"), &std::env::temp_dir()] {
        for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
            assert!(!entry.file_name().to_string_lossy().starts_with(&beginning), "{}", entry.path().display());
        }
    }
}

#[test]
fn the_environment_does_not_reach_the_server() {
    let mut command = in_a_clean_process("in_another_environment", "start");
    command.envs([("PGDATA", "/nowhere"), ("PGPORT", "1"), ("PGSSLMODE", "require"), ("LC_ALL", "xx_XX.UTF-8")]);
    assert!(output(&mut command).contains("started in "));
}

#[test]
fn a_private_folder_for_temporary_files_is_no_obstacle() {
    let home = std::env::temp_dir().join(format!("pgq-home-{}", std::process::id()));
    fs::DirBuilder::new().mode(0o700).create(&home).unwrap();
    let said = output(in_a_clean_process("in_another_environment", "start").env("TMPDIR", &home));
    let left = fs::read_dir(&home).unwrap().count();
    fs::remove_dir_all(&home).unwrap();
    assert!(said.contains("started in "), "{said}");
    assert_eq!(left, 0);
}

#[test]
fn a_long_folder_for_temporary_files_is_no_obstacle() {
    let long = std::env::temp_dir().join("x".repeat(100));
    let said = output(in_a_clean_process("in_another_environment", "start").env("TMPDIR", &long));
    assert!(said.contains("started in ") && !said.contains(long.to_str().unwrap()), "{said}");
}

#[test]
fn without_programs_the_error_names_all_the_ways_out() {
    let said = output(in_a_clean_process("in_another_environment", "explain").env("PG_BIN", "/nowhere/bin"));
    for way in ["DATABASE_URL", "apt-get", "dnf", "apk", "brew", "PG_BIN", "cargo xtask postgres", "\n  /nowhere/bin"] {
        assert!(said.contains(way), "{way} is not in:\n{said}");
    }
}

#[test]
fn chosen_programs_are_the_only_ones_looked_for() {
    let error = Server::start(Settings::for_tests().bin_dir("/nowhere/else")).unwrap_err();
    let StartError::NotFound { looked_in } = error else { panic!("{error}") };
    assert_eq!(looked_in, [Path::new("/nowhere/else")]);
}

#[test]
fn the_environment_may_name_a_server() {
    let url = "postgres://u:p@nowhere.invalid/d?sslmode=disable";
    let explain = || in_a_clean_process("in_another_environment", "explain");
    assert!(output(explain().env("DATABASE_URL", url)).contains(&format!("private: false, {url:?}")));
    assert!(output(explain().env("DATABASE_URL", "")).contains("private: true"));

    let broken = output(explain().env("DATABASE_URL", "mysql://u:secret@h"));
    assert!(broken.contains("DATABASE_URL is not a usable URL") && !broken.contains("secret"), "{broken}");
}

#[test]
fn the_test_runners_server_wins_over_the_users() {
    let mut command = in_a_clean_process("in_another_environment", "shared");
    command.envs([("DATABASE_URL", "postgres://users"), ("PG_QUEUE_TEST_SERVER", "postgres://runners")]);
    assert!(output(&mut command).contains("shared is \"postgres://runners\""));
}

#[test]
fn a_given_server_keeps_its_password_and_parameters_and_shows_neither() {
    let url = "postgres://u:p%40ss@h:1/d?sslmode=disable&application_name=a";
    let server = Server::given(url).unwrap();
    assert!(!server.is_private());
    assert_eq!(server.admin_url(), url);
    assert_eq!(server.url("other"), "postgres://u:p%40ss@h:1/other?sslmode=disable&application_name=a");
    assert!(!format!("{server:?}").contains("ss@h"), "{server:?}");
}

async fn ask(server: &Server, question: &'static str) -> String {
    let mut connection = PgConnection::connect(&server.admin_url()).await.unwrap();
    let rows = sqlx::raw_sql(question).fetch_all(&mut connection).await.unwrap();
    sqlx::Row::get(rows.last().expect("an answer"), 0)
}
