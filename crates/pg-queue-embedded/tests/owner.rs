//! However the owner of a private server ends, server and folder go with it.
#![cfg(unix)]

mod support;

use std::{
    env, fs,
    io::{BufRead, BufReader, Write},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio, exit},
    thread,
};

use pg_queue_embedded::{Halt, Server, Settings, shared};
use rustix::process::{Signal, kill_process, kill_process_group};
use tokio::runtime;

use crate::support::{connect_and_freeze, folder, in_a_clean_process, is_running, process, role, wait_until};

/// What the owners below do, in a process of their own.
#[test]
fn owner() {
    match role().as_deref() {
        None => {}
        Some("waits") => {
            let server = Server::start(Settings::for_tests()).unwrap();
            introduce(&server, 0);
            wait_for_ever();
        }
        Some("has halted it") => {
            let server = Server::start(Settings::for_tests()).unwrap();
            let pid = server.pid().unwrap();
            server.halt(Halt::Immediate).unwrap();
            introduce_as(pid, &server, 0);
            wait_for_ever();
        }
        Some("is halting it") => {
            let server = Server::start(Settings::for_tests()).unwrap();
            let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
            // A fast end waits for this one without a limit.
            let (_connection, backend) = runtime.block_on(connect_and_freeze(&server));
            thread::scope(|scope| {
                scope.spawn(|| server.halt(Halt::Fast));
                let log = || fs::read_to_string(server.log_path().unwrap()).unwrap();
                wait_until("the server is ending", || log().contains("received fast shutdown request"));
                introduce(&server, backend);
            });
        }
        Some("is resuming it") => {
            let server = Server::start(Settings::for_tests()).unwrap();
            server.halt(Halt::Immediate).unwrap();
            thread::scope(|scope| {
                scope.spawn(|| server.resume());
                wait_until("it has begun, but is hardly ready", || server.pid().is_some());
                introduce(&server, 0);
                wait_for_ever();
            });
        }
        Some("waits with a child") => {
            let server = Server::start(Settings::for_tests()).unwrap();
            #[expect(clippy::zombie_processes, reason = "it is the test that ends it")]
            let child = Command::new("sleep").arg("300").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            introduce(&server, child.id());
            wait_for_ever();
        }
        Some("returns from main") => introduce(shared(), 0),
        Some("calls exit") => {
            introduce(shared(), 0);
            #[expect(clippy::exit, reason = "it is what is tested")]
            exit(0);
        }
        Some("panics") => {
            let server = Server::start(Settings::for_tests()).unwrap();
            introduce(&server, 0);
            panic!("as it should");
        }
        Some(other) => panic!("no role {other:?}"),
    }
}

#[test]
fn a_killed_owner_takes_its_server_along() {
    let owner = Owner::that("waits");
    owner.signal(Signal::KILL);
    owner.assert_nothing_left();
}

#[test]
fn an_owner_killed_before_its_server_is_ready_leaves_nothing() {
    let mut command = in_a_clean_process("owner", "waits");
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut owner = command.spawn().unwrap();
    let beginning = format!("pgq-{}-", owner.id());
    let folder = || {
        [Path::new("/dev/shm"), &env::temp_dir()].into_iter().find_map(|parent| {
            let entries = fs::read_dir(parent).into_iter().flatten().flatten();
            entries.map(|entry| entry.path()).find(|path| path.to_string_lossy().contains(&beginning))
        })
    };
    wait_until("the shell has begun", || folder().is_some_and(|folder| folder.join("log").exists()));
    owner.kill().unwrap();
    owner.wait().unwrap();
    wait_until("the folder is gone", || folder().is_none());
}

#[test]
fn a_server_that_was_frozen_goes_with_its_owner_too() {
    let owner = Owner::that("waits");
    kill_process(process(owner.server), Signal::STOP).unwrap();
    owner.signal(Signal::KILL);
    owner.assert_nothing_left();
}

#[test]
fn a_halted_server_goes_with_its_killed_owner() {
    let owner = Owner::that("has halted it");
    assert!(!is_running(owner.server) && owner.folder.join("data").exists());
    owner.signal(Signal::KILL);
    owner.assert_nothing_left();
}

#[test]
fn a_server_whose_halt_takes_long_goes_with_its_killed_owner() {
    let owner = Owner::that("is halting it");
    let backend = owner.child;
    assert!(is_running(owner.server) && is_running(backend));
    owner.signal(Signal::KILL);
    owner.assert_nothing_left();
    assert!(!is_running(backend));
}

#[test]
fn a_server_that_is_resumed_goes_with_its_killed_owner() {
    let owner = Owner::that("is resuming it");
    owner.signal(Signal::KILL);
    owner.assert_nothing_left();
}

#[test]
fn an_interrupted_or_terminated_owner_takes_its_server_along() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let owner = Owner::that("waits");
        // The whole group of processes gets it, as from Ctrl-C in a terminal.
        owner.signal(signal);
        owner.assert_nothing_left();
    }
}

#[test]
fn a_child_that_outlives_a_killed_owner_does_not_keep_the_server() {
    let owner = Owner::that("waits with a child");
    kill_process(process(owner.process.id()), Signal::KILL).unwrap();
    let child = owner.child;
    owner.assert_nothing_left();
    assert!(is_running(child));
    kill_process(process(child), Signal::KILL).unwrap();
}

#[test]
fn an_owner_that_ends_by_itself_takes_its_server_along() {
    for role in ["returns from main", "calls exit", "panics"] {
        Owner::that(role).assert_nothing_left();
    }
}

/// Tells the test about the server.
fn introduce(server: &Server, child: u32) {
    introduce_as(server.pid().unwrap(), server, child);
}

fn introduce_as(pid: u32, server: &Server, child: u32) {
    println!("\nserver {pid} {child} {}", folder(server).display());
    std::io::stdout().flush().unwrap();
}

fn wait_for_ever() -> ! {
    loop {
        thread::park();
    }
}

/// A process with a private server.
struct Owner {
    process: Child,
    server: u32,
    child: u32,
    folder: PathBuf,
}

impl Owner {
    /// Starts one and waits for its introduction.
    fn that(role: &str) -> Owner {
        let mut command = in_a_clean_process("owner", role);
        command.stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
        let mut process = command.spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines().map(Result::unwrap);
        let line = lines.into_iter().find(|line| line.starts_with("server ")).expect("an introduction");
        let [server, child, folder] = line.splitn(4, ' ').skip(1).collect::<Vec<_>>().try_into().unwrap();
        Owner { process, server: server.parse().unwrap(), child: child.parse().unwrap(), folder: folder.into() }
    }

    fn signal(&self, signal: Signal) {
        kill_process_group(process(self.process.id()), signal).unwrap();
    }

    #[track_caller]
    fn assert_nothing_left(mut self) {
        self.process.wait().unwrap();
        wait_until("the server is gone", || !is_running(self.server));
        wait_until("the folder is gone", || !self.folder.exists());
    }
}
