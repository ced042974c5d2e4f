//! Where the machine keeps `initdb` and `postgres`.

use std::{
    cmp::Reverse,
    env,
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    path::{Path, PathBuf},
    process::Command,
};

use crate::StartError;

/// Folders that hold one folder per major version, as (parent, what stands before the version, what follows below).
const VERSIONED: [(&str, &str, &str); 10] = [
    ("/usr/lib/postgresql", "", "bin"),          // Debian, Ubuntu
    ("/usr/lib", "postgresql", "bin"),           // openSUSE
    ("/usr", "pgsql-", "bin"),                   // Fedora and RHEL, with PostgreSQL's own packages
    ("/usr/libexec", "postgresql", ""),          // Alpine
    ("/opt/homebrew/opt", "postgresql@", "bin"), // Homebrew on Apple silicon
    ("/usr/local/opt", "postgresql@", "bin"),    // Homebrew on Intel
    ("/home/linuxbrew/.linuxbrew/opt", "postgresql@", "bin"),
    ("/Applications/Postgres.app/Contents/Versions", "", "bin"),
    ("/Library/PostgreSQL", "", "bin"),      // EnterpriseDB's installer
    ("/opt/local/lib", "postgresql", "bin"), // MacPorts
];

/// Folders that hold one version, whichever it is.
const UNVERSIONED: [&str; 4] = ["/usr/local/pgsql/bin", "/opt/homebrew/bin", "/usr/local/bin", "/usr/bin"];

/// The first folder that has both programs: the chosen one or else `PG_BIN` if there is either, otherwise PATH, what
/// `pg_config` says, and the places where packages put them, newest major version first.
pub(crate) fn find(chosen: Option<&Path>) -> Result<PathBuf, StartError> {
    let mut looked_in = Vec::new();
    for folder in candidates(chosen) {
        // A relative folder would mean another one once the server has changed to `/`.
        let Ok(folder) = std::path::absolute(folder) else {
            continue;
        };
        if is_program(&folder.join("initdb")) && is_program(&folder.join("postgres")) {
            return Ok(folder);
        }
        if !looked_in.contains(&folder) {
            looked_in.push(folder);
        }
    }
    Err(StartError::NotFound { looked_in })
}

fn candidates(chosen: Option<&Path>) -> Vec<PathBuf> {
    let named = || env::var_os("PG_BIN").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let chosen = chosen.map(Path::to_path_buf).or_else(named);
    if let Some(folder) = chosen {
        return vec![folder];
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = env::split_paths(&path).filter(|folder| folder.is_absolute()).collect();
    folders.extend(told_by_pg_config());
    folders.extend(versioned());
    folders.extend(UNVERSIONED.map(PathBuf::from));
    folders
}

fn told_by_pg_config() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").output().ok()?;
    let folder = PathBuf::from(OsStr::from_bytes(output.stdout.trim_ascii()));
    (output.status.success() && folder.is_absolute()).then_some(folder)
}

fn versioned() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for (parent, prefix, below) in VERSIONED {
        for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let version = name.to_str().and_then(|name| name.strip_prefix(prefix));
            let major = version.and_then(|version| version.split('.').next()?.parse::<u32>().ok());
            if let Some(major) = major {
                found.push((major, entry.path().join(below)));
            }
        }
    }
    found.sort_by_key(|(major, _)| Reverse(*major));
    found.into_iter().map(|(_, folder)| folder).collect()
}

fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}
