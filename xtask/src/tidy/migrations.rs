//! Migrations never change once they are pinned, follow each other without a gap, and are all in the library's list.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::{
    Violation,
    tokens::{Token, read},
    tree::Tree,
};

/// Hashes and names like those of `sha256sum`; `#` begins a comment.
const LOCK: &str = "xtask/migrations.lock";

/// What the library applies.
const LIST: &str = "crates/pg-queue-core/src/migrate/list.rs";

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let mut violations = pinned(tree);
    violations.extend(listed(tree));
    violations
}

fn files(tree: &Tree) -> impl Iterator<Item = (&str, &str, &str)> {
    let files = tree.files("migrations/", ".sql");
    files.map(|(path, text)| (path, path.trim_start_matches("migrations/"), text))
}

fn pinned(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut lock = entries(tree.text(LOCK).unwrap_or_default());
    for (path, name, text) in files(tree) {
        let message = match lock.remove(name) {
            Some((_, pinned)) if pinned == checksum(text) => continue,
            Some((line, _)) => format!(
                "changed after it was pinned: databases out there have the old one, so put the change into a new \
                 migration (if no release has it yet, delete line {line} of {LOCK} and run `cargo xtask tidy --bless`)"
            ),
            None => "not pinned yet: run `cargo xtask tidy --bless`".to_owned(),
        };
        violations.push(Violation::new(path, 1, message));
    }
    for (name, (line, _)) in lock {
        violations.push(Violation::new(LOCK, line, format!("migrations/{name} is pinned here and gone")));
    }
    violations
}

fn listed(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    let list = tree.text(LIST).unwrap_or_default();
    // What is not Rust is reported elsewhere.
    let tokens = read(LIST, list).unwrap_or_default();
    for (number, (path, name, _)) in files(tree).enumerate() {
        let expected = format!("{:04}_", number + 1);
        let Some(rest) = name.strip_prefix(&expected) else {
            violations.push(Violation::new(path, 1, format!("its name must begin with {expected}, the next number")));
            continue;
        };
        let is = |token: &Token, text: &str| token.string() == Some(text);
        let in_list = |pair: &[Token]| {
            is(&pair[0], expected.trim_end_matches('_')) && is(&pair[1], rest.trim_end_matches(".sql"))
        };
        if !tokens.windows(2).any(in_list) {
            violations.push(Violation::new(path, 1, format!("not in the list of {LIST}, so it is never applied")));
        }
    }
    violations
}

/// Pins what is not pinned. What is, stays: a changed migration is not blessed by accident.
pub(super) fn bless(root: &Path) -> Result<()> {
    let path = root.join(LOCK);
    let mut text = fs::read_to_string(&path).with_context(|| format!("{LOCK} cannot be read"))?;
    let tree = Tree::read(root)?;
    for line in new_entries(&tree, &text) {
        println!("pinned {line}");
        text.push_str(&line);
        text.push('\n');
    }
    fs::write(&path, text).with_context(|| format!("{LOCK} cannot be written"))
}

fn new_entries(tree: &Tree, lock: &str) -> Vec<String> {
    let pinned = entries(lock);
    let new = files(tree).filter(|(_, name, _)| !pinned.contains_key(name));
    new.map(|(_, name, text)| format!("{}  {name}", checksum(text))).collect()
}

/// Line and hash of each name.
fn entries(lock: &str) -> BTreeMap<&str, (usize, &str)> {
    let lines = lock.lines().enumerate().filter(|(_, line)| !line.starts_with('#'));
    lines
        .filter_map(|(number, line)| {
            let (hash, name) = line.split_once("  ")?;
            Some((name, (number + 1, hash)))
        })
        .collect()
}

fn checksum(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::{super::tree::Tree, LIST, LOCK, check, checksum, new_entries};

    const ONE: (&str, &str) = ("migrations/0001_jobs.sql", "create table jobs ()");

    fn messages(files: &[(&str, &str)]) -> Vec<String> {
        check(&Tree::of(files)).iter().map(ToString::to_string).collect()
    }

    fn lock() -> String {
        format!("# names\n{}  0001_jobs.sql\n", checksum(ONE.1))
    }

    const LISTED: (&str, &str) = (LIST, "const A: &[M] = migrations![1 \"0001\" \"jobs\"];");

    #[test]
    fn a_pinned_migration_does_not_change() {
        assert!(messages(&[ONE, LISTED, (LOCK, &lock())]).is_empty());
        let found = messages(&[(ONE.0, "create table work ()"), LISTED, (LOCK, &lock())]);
        assert!(found.len() == 1 && found[0].contains("line 2 of"), "{found:?}");
    }

    #[test]
    fn a_new_migration_is_pinned_and_a_pinned_one_stays() {
        let found = messages(&[ONE, LISTED]);
        assert!(found.len() == 1 && found[0].contains("--bless"), "{found:?}");
        let found = messages(&[LISTED, (LOCK, &lock())]);
        assert!(found.len() == 1 && found[0].contains("gone"), "{found:?}");
    }

    #[test]
    fn only_new_migrations_are_blessed() {
        let tree = Tree::of(&[(ONE.0, "changed"), ("migrations/0002_cache.sql", "")]);
        assert_eq!(new_entries(&tree, &lock()), [format!("{}  0002_cache.sql", checksum(""))]);
    }

    #[test]
    fn a_migration_is_numbered_and_listed() {
        let found = messages(&[ONE, (LIST, "const A: &[M] = migrations![2 \"0002\" \"jobs\"];"), (LOCK, &lock())]);
        assert!(found.len() == 1 && found[0].contains("never applied"), "{found:?}");
        let gap = lock().replace("0001", "0002");
        let found = messages(&[("migrations/0002_jobs.sql", ONE.1), LISTED, (LOCK, &gap)]);
        assert!(found.len() == 1 && found[0].contains("0001_"), "{found:?}");
    }
}
