//! Where the sources of the crates are that this repository was built from.

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::workspace;

/// The folders of the crates. Cargo knows them best; but it may not be here, or lack a crate that only tests need and
/// that it could fetch only from the network. Then the lock file names them, and those that are there are taken.
pub(super) fn crates(root: &Path) -> BTreeSet<PathBuf> {
    from_cargo(root).unwrap_or_else(|_| from_lock_file(root))
}

#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Debug, Deserialize)]
struct Package {
    manifest_path: PathBuf,
    /// None for our own.
    source: Option<String>,
}

fn from_cargo(root: &Path) -> Result<BTreeSet<PathBuf>> {
    let version = workspace::cargo().arg("-vV").current_dir(root).output()?;
    let version = String::from_utf8(version.stdout)?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).context("cargo names no host")?;
    let mut command = workspace::cargo();
    // The crates of other platforms are in the lock file, but nothing was built from them.
    command.args(["metadata", "--format-version", "1", "--offline", "--locked", "--filter-platform", host]);
    let output = command.current_dir(root).output()?;
    ensure!(output.status.success(), "cargo metadata failed");
    let metadata: Metadata = serde_json::from_slice(&output.stdout)?;
    let foreign = metadata.packages.into_iter().filter(|package| package.source.is_some());
    Ok(foreign.filter_map(|package| package.manifest_path.parent().map(Path::to_path_buf)).collect())
}

fn from_lock_file(root: &Path) -> BTreeSet<PathBuf> {
    let lock = fs::read_to_string(root.join("Cargo.lock")).unwrap_or_default();
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| env::home_dir().map(|home| home.join(".cargo"))).unwrap_or_default();
    let registries: Vec<PathBuf> =
        fs::read_dir(home.join("registry/src")).into_iter().flatten().flatten().map(|it| it.path()).collect();
    let candidates = locked(&lock).into_iter().flat_map(|name| registries.iter().map(move |it| it.join(&name)));
    candidates.filter(|folder| folder.is_dir()).collect()
}

/// The crates of a lock file, as their folders are called. Those without a source are our own.
fn locked(lock: &str) -> Vec<String> {
    let value = |package: &str, key: &str| {
        let line = package.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = \""));
        line.map(|rest| rest.trim_end_matches('"').to_owned())
    };
    let packages = lock.split("[[package]]").filter(|package| value(package, "source").is_some());
    packages.filter_map(|it| Some(format!("{}-{}", value(it, "name")?, value(it, "version")?))).collect()
}

#[cfg(test)]
mod tests {
    use super::locked;

    #[test]
    fn a_lock_file_names_the_folders_of_foreign_crates() {
        let lock = "version = 4\n\n[[package]]\nname = \"serde\"\nversion = \"1.0.1\"\nsource = \"registry+x\"\n\
            dependencies = [\n \"a\",\n]\n\n[[package]]\nname = \"xtask\"\nversion = \"0.0.0\"\n";
        assert_eq!(locked(lock), ["serde-1.0.1"]);
    }
}
