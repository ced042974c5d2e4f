//! The migrations are inside of the published crate, though they are at the top of the repository.

use std::{path::Path, process::Stdio};

use anyhow::{Context, Result, ensure};

use super::{Violation, tree::Tree};
use crate::workspace;

const CORE: &str = "pg-queue-core";

/// The files that cargo would publish.
pub(super) fn listed(root: &Path) -> Result<String> {
    let output = workspace::cargo()
        .args(["package", "--list", "--allow-dirty", "--package", CORE])
        .current_dir(root)
        .stderr(Stdio::inherit())
        .output()
        .context("cargo could not be started")?;
    ensure!(output.status.success(), "`cargo package --list` failed ({})", output.status);
    Ok(String::from_utf8(output.stdout)?)
}

pub(super) fn check(tree: &Tree, listed: &str) -> Vec<Violation> {
    let is_listed = |path: &str| listed.lines().any(|line| line == path);
    let migrations = tree.files("migrations/", ".sql").map(|(path, _)| path);
    migrations
        .filter(|path| !is_listed(path))
        .map(|path| {
            let message =
                format!("not in the package {CORE}: is crates/{CORE}/migrations still a link to migrations/?");
            Violation::new(path, 1, message)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{super::tree::Tree, check};

    #[test]
    fn every_migration_is_published() {
        let tree = Tree::of(&[("migrations/0001_a.sql", ""), ("migrations/0002_b.sql", "")]);
        let violations = check(&tree, "Cargo.toml\nmigrations/0001_a.sql\nsrc/lib.rs\n");
        let paths: Vec<&str> = violations.iter().map(|it| it.path.as_str()).collect();
        assert_eq!(paths, ["migrations/0002_b.sql"]);
    }
}
