//! Waiting on conditions, and running a test as a program of its own.
#![allow(dead_code, clippy::allow_attributes, reason = "every test binary uses its own part of this")]

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use pg_queue_embedded::Server;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use sqlx::{Connection, PgConnection};

/// Tells a test that it is the program that another test runs, and which part it plays.
const ROLE: &str = "TEST_ROLE";

/// Everything in the environment that chooses a server.
const CHOICES: [&str; 3] = ["DATABASE_URL", "PG_QUEUE_TEST_SERVER", "PG_BIN"];

/// This test binary as another process, which runs only the given test, in the given role.
pub(crate) fn in_another_process(test: &str, role: &str) -> Command {
    let mut command = Command::new(env::current_exe().expect("the path of this test binary"));
    command.args(["--exact", test, "--nocapture"]).env(ROLE, role);
    command
}

/// The same without anything in the environment that chooses a server.
pub(crate) fn in_a_clean_process(test: &str, role: &str) -> Command {
    let mut command = in_another_process(test, role);
    for name in CHOICES {
        command.env_remove(name);
    }
    command
}

/// The role of this process; a test that needs one has nothing to do when there is none.
pub(crate) fn role() -> Option<String> {
    env::var(ROLE).ok()
}

/// What the process says, which must succeed.
pub(crate) fn output(command: &mut Command) -> String {
    let output = command.output().expect("the test binary runs");
    let [said, complained] = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(output.status.success(), "{said}\n{complained}");
    said
}

#[track_caller]
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "not within 20 s: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) fn is_running(pid: u32) -> bool {
    test_kill_process(process(pid)).is_ok()
}

pub(crate) fn process(pid: u32) -> Pid {
    i32::try_from(pid).ok().and_then(Pid::from_raw).expect("the number of a process")
}

/// The private folder, which holds all that a server leaves on the disk.
pub(crate) fn folder(server: &Server) -> PathBuf {
    let log = server.log_path().expect("a private server has a log");
    log.parent().map(Path::to_path_buf).expect("the log is in a folder")
}

/// A connection, and the server's process behind it, which does and notices nothing until it is thawed or killed.
pub(crate) async fn connect_and_freeze(server: &Server) -> (PgConnection, u32) {
    let mut connection = PgConnection::connect(&server.admin_url()).await.expect("the server answers");
    let pid: i32 = sqlx::query_scalar("select pg_backend_pid()").fetch_one(&mut connection).await.expect("a number");
    let pid = u32::try_from(pid).expect("the number of a process");
    kill_process(process(pid), Signal::STOP).expect("it runs");
    (connection, pid)
}
