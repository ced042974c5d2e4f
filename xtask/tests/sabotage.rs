//! The oracle is no rubber stamp: without a safeguard of the library it finds what that keeps from happening. This builds
//! another program with cargo, and runs it once for each safeguard.
#![cfg(unix)]

mod support;

use std::{
    process::Command,
    sync::{Mutex, PoisonError},
};

use self::support::program;

/// One run after the other: each is measured, and each keeps a machine busy.
static TURN: Mutex<()> = Mutex::new(());

/// Runs without a safeguard for less than a minute, and answers how many violations were found of a sort that it keeps from
/// happening.
fn violations(safeguard: &str, seconds: &str, sorts: &[(&str, &str)]) -> f64 {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut command = Command::new(program());
    command.args(["chaos", "--without", safeguard, "--seconds", seconds, "--heartbeat", "1", "--json"]);
    let output = command.output().expect("xtask was built for this test");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{stderr}{stdout}");
    let object: serde_json::Value =
        serde_json::from_str(stdout.lines().last().expect("it says something")).expect("the last line is JSON");
    let number = |key: &str| object[key].as_f64().unwrap_or_else(|| panic!("{key} is a number: {stdout}"));
    // Without the time of the build.
    assert!(number("elapsed_s") < 60.0, "{stdout}");
    for (sort, said) in sorts {
        assert_eq!(number(sort) > 0.0, stderr.contains(&format!("error: {said}: ")), "{stderr}{stdout}");
    }
    sorts.iter().map(|(sort, _)| number(sort)).sum()
}

const OVERLAPS: (&str, &str) = ("overlaps", "overlap");
const STALE_WRITES: (&str, &str) = ("stale_writes", "stale write");
const LOST: (&str, &str) = ("lost", "lost");

#[test]
fn without_the_fence_a_stale_worker_writes() {
    // A stale completion is seen as such, a stale failure by the run that it begins beside another one.
    assert!(violations("fence", "25", &[STALE_WRITES, OVERLAPS]) > 0.0);
}

#[test]
fn without_the_rescue_jobs_are_lost() {
    // It waits for them for a while after the end.
    assert!(violations("rescue", "15", &[LOST]) > 0.0);
}

#[test]
fn without_the_self_fence_jobs_run_twice_at_once() {
    assert!(violations("self-fence", "25", &[OVERLAPS]) > 0.0);
}
