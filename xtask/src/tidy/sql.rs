//! SQL of the library crates lives in `.sql` files, each of which is executed and says what it takes and gives.

use std::{collections::BTreeSet, path::Path};

use super::{
    LAYERS, Violation,
    tokens::{Token, find},
    tree::Tree,
};

/// The one place that makes statements: it fills in names, and pins plans.
const EXEMPT: &str = "crates/pg-queue-core/src/sql.rs";

/// How a statement begins, and what else it must have: error messages begin with `update ..`, too.
const STATEMENTS: [(&str, &str); 22] = [
    ("select ", ""),
    ("with ", " as ("),
    ("with ", " as materialized"),
    ("insert into ", ""),
    ("update ", " set "),
    ("delete from ", ""),
    ("merge into ", ""),
    ("truncate ", ""),
    ("create table", ""),
    ("create unlogged table", ""),
    ("create index", ""),
    ("create unique index", ""),
    ("create schema", ""),
    ("create function", ""),
    ("create or replace ", ""),
    ("create trigger", ""),
    ("alter table", ""),
    ("drop table", ""),
    ("lock table", ""),
    ("copy ", " from stdin"),
    ("set local ", ""),
    ("begin; set ", ""),
];

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    LAYERS.iter().flat_map(|name| check_crate(tree, name)).collect()
}

fn check_crate(tree: &Tree, name: &str) -> Vec<Violation> {
    let source = format!("crates/{name}/src/");
    let mut violations = Vec::new();
    let mut loaded = BTreeSet::new();
    for (path, tokens) in tree.rust(&source) {
        // What is not Rust is reported elsewhere.
        let Ok(tokens) = tokens else { continue };
        loaded.extend(includes(path, &tokens));
        if path != EXEMPT && !path.ends_with("/tests.rs") && !path.contains("/tests/") {
            violations.extend(statements(path, &tokens));
        }
    }
    for (path, text) in tree.files(&source, ".sql") {
        if !loaded.contains(path) {
            let message = format!("no .rs file of {name} loads this with include_str!: use it or delete it");
            violations.push(Violation::new(path, 1, message));
        }
        let header: String = text.lines().take_while(|line| line.starts_with("--")).collect();
        for part in ["parameters:", "rows:"] {
            if !header.contains(part) {
                let message = format!("the comment at the top lacks `{part}` (`none` is an answer)");
                violations.push(Violation::new(path, 1, message));
            }
        }
    }
    violations
}

/// The files that a Rust file includes as text, as paths from the root.
fn includes(path: &str, tokens: &[Token]) -> Vec<String> {
    let folder = Path::new(path).parent().unwrap_or(Path::new(""));
    let included = |at: &[Token]| {
        let file = folder.join(at.last()?.string()?);
        Some(normal(&file))
    };
    (0..tokens.len())
        .filter_map(|at| find(tokens.get(at..at + 4)?, &["include_str", "!", "("]).next().map(|_| at))
        .filter_map(|at| included(&tokens[at..at + 4]))
        .collect()
}

/// Takes `..` out of a path.
fn normal(path: &Path) -> String {
    let mut parts: Vec<String> = Vec::new();
    for part in path {
        match part.to_string_lossy() {
            part if part == ".." => drop(parts.pop()),
            part => parts.push(part.into_owned()),
        }
    }
    parts.join("/")
}

fn statements(path: &str, tokens: &[Token]) -> Vec<Violation> {
    let strings = tokens.iter().filter(|token| !token.place.test);
    let statements = strings.filter(|token| token.string().is_some_and(is_statement));
    let message = "SQL in a string: put it into a .sql file beside this one and load it with include_str!";
    statements.map(|token| Violation::new(path, token.line, message)).collect()
}

fn is_statement(text: &str) -> bool {
    // One line of single spaces, whatever the literal's layout and escapes.
    let text = text.replace("\\n", " ").replace('\\', " ").to_ascii_lowercase();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ") + " ";
    STATEMENTS.iter().any(|(start, part)| text.starts_with(start) && text.contains(part))
}

#[cfg(test)]
mod tests {
    use super::{super::tree::Tree, check, is_statement};

    const HEADER: &str = "-- Reads.\n-- parameters: none    rows: one\nselect 1";

    fn violations(files: &[(&str, &str)]) -> Vec<String> {
        check(&Tree::of(files)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_sql_file_is_loaded_by_its_own_crate() {
        let sql = ("crates/pg-queue-core/src/jobs/a.sql", HEADER);
        let loads = "fn f() { g(include_str!(\"a.sql\")) }";
        assert_eq!(violations(&[sql, ("crates/pg-queue-core/src/jobs/a.rs", loads)]).len(), 0);
        let above = "fn f() { g(include_str!(\"../jobs/a.sql\")) }";
        assert_eq!(violations(&[sql, ("crates/pg-queue-core/src/topics/b.rs", above)]).len(), 0);
        assert_eq!(violations(&[sql, ("crates/pg-queue-worker/src/jobs/a.rs", loads)]).len(), 1);
        let comment = "// include_str!(\"a.sql\")";
        assert_eq!(violations(&[sql, ("crates/pg-queue-core/src/jobs/a.rs", comment)]).len(), 1);
    }

    #[test]
    fn every_sql_file_says_what_it_takes_and_gives() {
        let loads = ("crates/pg-queue-core/src/a.rs", "const A: &str = include_str!(\"a.sql\");");
        let text = "-- parameters: none\nselect 1 -- rows: one";
        let found = violations(&[loads, ("crates/pg-queue-core/src/a.sql", text)]);
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("rows:"), "{found:?}");
    }

    #[test]
    fn statements_are_not_written_in_rust() {
        let text = "fn f() {\n    g(\"SELECT 1\");\n}\n/// select 1\n#[cfg(test)]\nmod tests { const A: &str = \"select 1\"; }";
        let found = violations(&[("crates/pg-queue-client/src/a.rs", text)]);
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("crates/pg-queue-client/src/a.rs:2: "), "{found:?}");
        assert_eq!(violations(&[(super::EXEMPT, text)]).len(), 0);
        assert_eq!(violations(&[("crates/pg-queue-embedded/src/a.rs", text)]).len(), 0);
    }

    #[test]
    fn a_statement_is_told_from_a_sentence() {
        for statement in [
            "select 1",
            "\\n    SELECT *\\n from x",
            "update x\n set y = 1",
            "with a as (select 1) select * from a",
            "Create Table x ()",
            "delete from x",
        ] {
            assert!(is_statement(statement), "{statement}");
        }
        for sentence in
            ["update pg-queue in this program", "with a worker", "selected", "create a queue", "copy it from there"]
        {
            assert!(!is_statement(sentence), "{sentence}");
        }
    }
}
