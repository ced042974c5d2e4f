//! What no Rust file of ours has, tests and examples included.

use super::{
    Violation,
    tokens::{Token, find},
    tree::Tree,
};

/// Beyond this a file holds more than one noun.
const LONGEST: usize = 600;

/// What is written where, and what to do instead.
const FORBIDDEN: [(&[&str], &str); 3] = [
    (&["todo", "!"], "finish it, or leave it out"),
    (&["unimplemented", "!"], "finish it, or leave it out"),
    (&["#[", "ignore"], "a test that does not run is none: repair or delete it"),
];

/// A call, however the function was imported. A fixed time is too long on most days and too short on a bad one.
const SLEEP: &[&str] = &["sleep", "("];

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for ending in [".rs", ".sql"] {
        for (path, text) in tree.files("", ending) {
            let lines = text.lines().count();
            if lines > LONGEST {
                let message = format!("{lines} lines: split what is longer than {LONGEST} by reason to change");
                violations.push(Violation::new(path, LONGEST + 1, message));
            }
        }
    }
    for (path, tokens) in tree.rust("") {
        match tokens {
            Ok(tokens) => violations.extend(forbidden(path, &tokens)),
            // Compile-fail tests may be anything.
            Err(violation) if !path.contains("/tests/ui/") => violations.push(violation),
            Err(_) => {}
        }
    }
    violations
}

fn forbidden(path: &str, tokens: &[Token]) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut look_for = |wanted: &[&str], message: &str, is_meant: fn(&Token) -> bool| {
        for at in find(tokens, wanted).filter(|at| is_meant(&at[0])) {
            violations.push(Violation::new(path, at[0].line, format!("`{}`: {message}", wanted.concat())));
        }
    };
    for (wanted, message) in FORBIDDEN {
        look_for(wanted, message, |_| true);
    }
    if path.contains("/tests/") {
        // A loop that looks again until a condition holds may pause in between, and a `select!` has a limit.
        look_for(SLEEP, "wait for a condition, not for a fixed time", |token| !token.place.repeated);
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::{super::tree::Tree, check};

    const NONE: [usize; 0] = [];

    fn violations(path: &str, text: &str) -> Vec<usize> {
        check(&Tree::of(&[(path, text)])).iter().map(|it| it.line).collect()
    }

    #[test]
    fn files_stay_short() {
        assert_eq!(violations("src/a.sql", &"\n".repeat(601)), [601]);
        assert_eq!(violations("src/a.rs", &"\n".repeat(600)), NONE);
    }

    #[test]
    fn nothing_is_left_undone() {
        assert_eq!(violations("src/a.rs", "fn f() {\n    todo!()\n}"), [2]);
        assert_eq!(violations("src/a.rs", "fn f() { unimplemented!(\"later\") }"), [1]);
        assert_eq!(violations("src/a.rs", "// todo!()\nconst A: &str = \"todo!()\";"), NONE);
    }

    #[test]
    fn no_test_is_ignored() {
        assert_eq!(violations("tests/a.rs", "#[test]\n#[ignore = \"slow\"]\nfn f() {}"), [2]);
    }

    #[test]
    fn tests_wait_for_conditions_only() {
        let text = "fn f() {\n    std::thread::sleep(X);\n    tokio::time::sleep(X).await;\n}";
        assert_eq!(violations("crates/a/tests/b.rs", text), [2, 3]);
        assert_eq!(violations("crates/a/src/b.rs", text), NONE);
        assert_eq!(violations("crates/a/tests/b.rs", "use tokio::time::sleep;\nfn f() { sleep(X) }"), [2]);
        let waits = "fn f() { while !g() { thread::sleep(X); } }";
        assert_eq!(violations("crates/a/tests/b.rs", waits), NONE);
    }

    #[test]
    fn only_compile_fail_tests_may_be_no_rust() {
        assert_eq!(violations("crates/a/src/b.rs", "fn f( {").len(), 1);
        assert_eq!(violations("crates/a/tests/ui/b.rs", "fn f( {"), NONE);
    }
}
