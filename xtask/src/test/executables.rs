//! Tests that were built elsewhere: one executable after another, with the same summary.

use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use super::{Count, with_folder};

/// Tests that build something themselves, by the beginning of the executable's name.
const NEED_CARGO: [&str; 3] = ["compile_fail-", "sabotage-", "tidy-"];

/// Runs every test executable of the folder; answers whether all were successful.
pub(super) fn run(
    folder: &Path,
    arguments: &[OsString],
    prepare: impl Fn(&mut Command),
    count: &mut Count,
) -> Result<bool> {
    let executables = find(folder).with_context(|| format!("{} cannot be read", folder.display()))?;
    if executables.is_empty() {
        bail!("{} has no test executables: `xtask test --help` says how to get some", folder.display());
    }
    let mut success = true;
    for path in executables {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if NEED_CARGO.iter().any(|prefix| name.starts_with(prefix)) {
            eprintln!("     Skipped {} (it needs cargo and the source tree)", path.display());
            continue;
        }
        eprintln!("     Running {}", path.display());
        let mut command = Command::new(&path);
        command.args(arguments);
        // The tests of a procedural macro load Rust's standard library: it may lie beside them.
        command.env("LD_LIBRARY_PATH", with_folder("LD_LIBRARY_PATH", folder));
        prepare(&mut command);
        let status = count.run(&mut command);
        let status = status.with_context(|| format!("{} could not be started", path.display()))?;
        if !status.success() {
            eprintln!("      Failed {} ({status})", path.display());
            success = false;
        }
    }
    Ok(success)
}

/// Test executables by their names: cargo ends these with a hash, and has no extension for them.
fn find(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = std::path::absolute(entry?.path())?;
        if ends_with_hash(&path) && is_executable(&path) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn ends_with_hash(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let hash = name.rsplit_once('-').map_or("", |(_, hash)| hash);
    hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(unix)]
fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_executable(_path: &Path) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::ends_with_hash;

    #[test]
    fn test_executables_are_told_from_other_files() {
        let is_test = |name: &str| ends_with_hash(&Path::new("dir").join(name));
        assert!(is_test("pg_queue_core-8e759610838457d0"));
        for name in ["xtask", "pg_queue_core-8e759610838457d0.d", "libstd-d1237ef7159db0a2.so", "a-test"] {
            assert!(!is_test(name), "{name}");
        }
    }
}
