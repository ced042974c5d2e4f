//! Which tests are run through a pooler by transaction.

use std::ffi::OsString;

/// The tests that cannot be run through a pooler, and why. The start of a name stands for all that begin with it.
const LEFT_OUT: [(&str, &str); 1] = [(
    "wakes::a_busy_queue_has_no_waiters",
    "counts on claims that come every few milliseconds, and each takes four round trips here",
)];

/// What is passed to `cargo test`: the tests of client and worker unless others are chosen, without those that are left out.
pub(super) fn arguments(rest: &[OsString]) -> Vec<OsString> {
    let (ours, tests) = match rest.iter().position(|argument| argument == "--") {
        Some(place) => (&rest[..place], &rest[place + 1..]),
        None => (rest, &[][..]),
    };
    let mut arguments = ours.to_vec();
    if arguments.is_empty() {
        // Not by package, which would choose fewer features and build everything once more.
        arguments.extend(["--workspace", "--test", "it"].map(OsString::from));
    }
    arguments.push("--".into());
    arguments.extend_from_slice(tests);
    for (name, why) in LEFT_OUT {
        eprintln!("left out: {name}: {why}");
        arguments.extend(["--skip", name].map(OsString::from));
    }
    arguments
}
