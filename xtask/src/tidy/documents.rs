//! README and ARCHITECTURE name what exists, and ARCHITECTURE names everything at the top.

use super::{Violation, tree::Tree};

const README: &str = "README.md";
const ARCHITECTURE: &str = "ARCHITECTURE.md";

/// A map that is longer than this is a territory.
const LONGEST: usize = 200;

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for path in [README, ARCHITECTURE] {
        match tree.text(path) {
            Some(text) => violations.extend(names_what_exists(tree, path, text)),
            None => violations.push(Violation::new(path, 1, "there is no such file")),
        }
    }
    if let Some(text) = tree.text(ARCHITECTURE) {
        violations.extend(names_everything(tree, text));
        let lines = text.lines().count();
        if lines >= LONGEST {
            violations.push(Violation::new(ARCHITECTURE, LONGEST, format!("{lines} lines: stay under {LONGEST}")));
        }
    }
    violations
}

fn names_what_exists(tree: &Tree, document: &str, text: &str) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut in_block = false;
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
            continue;
        }
        if in_block {
            continue;
        }
        let code = line.split('`').skip(1).step_by(2).filter(|code| is_path(code));
        for path in code.chain(links(line)).filter(|path| !exists(tree, path)) {
            violations.push(Violation::new(document, number + 1, format!("`{path}` does not exist")));
        }
    }
    violations
}

/// Whether code in a text means a file or folder of ours.
fn is_path(code: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    let is_file = [".rs", ".sql", ".md", ".toml", ".yml"].iter().any(|it| code.len() > it.len() && code.ends_with(it));
    // Build results, and places on the reader's machine.
    let is_elsewhere = code.starts_with("target/") || code.starts_with('/') || code.starts_with("..");
    code.chars().all(is_plain) && (code.contains('/') || is_file) && !is_elsewhere
}

/// The relative targets in `[text](target#part)`.
fn links(line: &str) -> impl Iterator<Item = &str> {
    let targets = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let targets = targets.map(|target| target.split('#').next().unwrap_or_default());
    targets.filter(|target| !target.is_empty() && !target.contains(':'))
}

/// From the root or, for a text that speaks of a crate, from any folder within.
fn exists(tree: &Tree, path: &str) -> bool {
    let path = path.trim_start_matches("./").trim_end_matches('/');
    let inner = format!("/{path}");
    let is_it = |it: &str| it == path || it.ends_with(&inner);
    let above = |it: &str| it.match_indices('/').any(|(at, _)| is_it(&it[..at]));
    tree.paths().any(|it| is_it(it) || above(it))
}

fn names_everything(tree: &Tree, text: &str) -> Vec<Violation> {
    let folders = tree.folders("").into_iter().filter(|it| !it.starts_with('.'));
    let missing = folders.chain(tree.folders("crates/")).filter(|name| !names(text, name));
    missing.map(|name| Violation::new(ARCHITECTURE, 1, format!("says nothing about `{name}`"))).collect()
}

/// Whether a text has a name as a word of its own: `pg-queue-core` does not name `pg-queue`.
fn names(text: &str, name: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    text.match_indices(name).any(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + name.len()..]);
        !before.ends_with(is_part) && !after.starts_with(is_part)
    })
}

#[cfg(test)]
mod tests {
    use super::{super::tree::Tree, check};

    fn messages(readme: &str, architecture: &str) -> Vec<String> {
        let tree = Tree::of(&[
            ("README.md", readme),
            ("ARCHITECTURE.md", architecture),
            ("crates/pg-queue/src/jobs/claim.sql", ""),
            ("crates/pg-queue-core/Cargo.toml", ""),
            (".ci/run", ""),
        ]);
        check(&tree).iter().map(ToString::to_string).collect()
    }

    const WHOLE: &str = "In `crates/` are `pg-queue` and `pg-queue-core`.";

    #[test]
    fn both_documents_exist() {
        assert_eq!(check(&Tree::default()).len(), 2);
    }

    #[test]
    fn they_name_only_what_exists() {
        let good = "`crates/pg-queue-core`, `jobs/claim.sql`, `src/jobs/`, `claim.sql`, `.ci/run`, `a::b`, `x / y`, `.sql`, \
            `select 1`, `target/debug/x`, [here](crates/pg-queue#part), [there](https://example.org/x)\n\
            ```\n`no/path`\n```\n";
        assert_eq!(messages(good, WHOLE), Vec::<String>::new());
        let bad = "fine\n`crates/gone/` and `gone.rs`, [gone](docs/gone.md)";
        assert_eq!(
            messages(bad, WHOLE),
            [
                "README.md:2: `crates/gone/` does not exist",
                "README.md:2: `gone.rs` does not exist",
                "README.md:2: `docs/gone.md` does not exist",
            ]
        );
        assert_eq!(messages("", &format!("{WHOLE} `laim.sql`")).len(), 1, "half a name is none");
    }

    #[test]
    fn architecture_names_every_crate_and_folder() {
        let found = messages("", "`crates/` has `pg-queue-core`.");
        assert_eq!(found, ["ARCHITECTURE.md:1: says nothing about `pg-queue`"]);
    }

    #[test]
    fn architecture_stays_short() {
        let long = format!("{WHOLE}{}", "\n".repeat(200));
        assert_eq!(messages("", &long).len(), 1);
    }
}
