//! The chaos from end to end, for a quarter of a minute: real processes, real signals, a real crash of the server.
#![cfg(unix)]

mod support;

use std::{fs, process::Command};

use self::support::program;

/// Where this begins is drawn: whoever sees it fail is told the seed.
#[test]
fn no_job_is_lost_or_run_twice_at_once_whatever_happens() {
    let logs = std::env::temp_dir().join(format!("pgq-chaos-test-{}", std::process::id()));
    let mut command = Command::new(program());
    command.args(["chaos", "--seconds", "15", "--heartbeat", "1", "--json", "--logs"]).arg(&logs);
    let output = command.output().expect("xtask was built for this test, or copied beside it");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stderr}{stdout}");
    let object: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(stdout.lines().last().expect("it says something")).expect("the last line is JSON");
    let keys: Vec<&str> = object.keys().map(String::as_str).collect();
    for promised in [
        "enqueued",
        "finished",
        "lost",
        "overlaps",
        "double_effects",
        "reruns",
        "stale_rejected",
        "kills",
        "stops",
        "restarts",
        "recovery_p50_s",
        "recovery_max_s",
    ] {
        assert!(keys.contains(&promised), "{promised} is not in {keys:?}");
    }
    let number = |key: &str| object[key].as_f64().unwrap_or_else(|| panic!("{key} is a number: {stdout}"));
    for key in ["lost", "overlaps", "double_effects", "stale_writes", "revived", "undone", "ghosts", "crashes"] {
        assert_eq!(number(key), 0.0, "{key}: {stdout}");
    }
    for key in ["enqueued", "kills", "stops", "cuts", "reruns", "recovery_p50_s", "recovery_max_s"] {
        assert!(number(key) > 0.0, "{key}: {stdout}");
    }
    assert_eq!(number("finished"), number("enqueued"), "{stdout}");
    // A server that is not ours is not restarted.
    let is_ours = std::env::var_os("DATABASE_URL").unwrap_or_default().is_empty();
    assert_eq!(number("restarts"), if is_ours { 1.0 } else { 0.0 }, "{stdout}");
    assert!(stderr.contains(&format!("seed {}:", number("seed"))), "{stderr}");
    assert!(logs.join("process-1.log").exists() && logs.join("faults.log").exists(), "the logs were wanted");
    fs::remove_dir_all(&logs).expect("they are ours");
}

#[test]
fn wrong_arguments_are_refused_at_once() {
    for arguments in [&["--seconds", "1"][..], &["--heartbeat", "0"], &["--without", "luck"], &["--seed", "abc"]] {
        let output = Command::new(program()).arg("chaos").args(arguments).output().expect("xtask was built");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn a_build_with_all_safeguards_does_not_pretend_to_lack_one() {
    let mut command = Command::new(program());
    let output = command.arg("chaos").env("PG_QUEUE_SABOTAGE", "fence").output().expect("xtask was built");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("this build has all safeguards") && stderr.contains("--without"), "{stderr}");
}
