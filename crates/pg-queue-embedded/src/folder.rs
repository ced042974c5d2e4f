//! The private folder: data, socket and log of one server.

use std::{
    env, fs, io,
    os::unix::{
        ffi::OsStrExt,
        fs::{DirBuilderExt, PermissionsExt, chown},
    },
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

use crate::{Settings, StartError, account::Account};

/// With its closing zero byte, a socket's path must fit into 104 bytes on macOS, and 108 on Linux.
const LONGEST_SOCKET: usize = 103;

/// The socket's name, which PostgreSQL makes from its port; no port is opened.
pub(crate) const SOCKET: &str = ".s.PGSQL.5432";

/// What a test run may fill: hundreds of databases of 7 MB and the write-ahead log.
const ENOUGH_MEMORY: u64 = 1 << 30;

/// Makes the folder where the settings want it, or in the next best place.
pub(crate) fn create(settings: &Settings, account: Option<Account>) -> Result<PathBuf, StartError> {
    let mut refused = None;
    for parent in parents(settings.in_memory) {
        if account.is_some() && !is_open_to_all(&parent) {
            continue;
        }
        let folder = parent.join(unique_name());
        if folder.join(SOCKET).as_os_str().as_bytes().len() > LONGEST_SOCKET {
            continue;
        }
        match create_at(&folder, account) {
            Ok(()) => return Ok(folder),
            Err(source) => {
                let what = format!("make the folder {} for a private server", folder.display());
                refused.get_or_insert(StartError::Io { what, source });
            }
        }
    }
    Err(refused.unwrap_or_else(|| StartError::Io {
        what: "find a folder for temporary files with a short path that the server's account may write to".into(),
        source: io::ErrorKind::NotFound.into(),
    }))
}

/// Where the folder may be, best first.
fn parents(in_memory: bool) -> Vec<PathBuf> {
    let [memory, disk, any] = ["/dev/shm", "/var/tmp", "/tmp"].map(PathBuf::from);
    let mut parents = vec![env::temp_dir(), any];
    if in_memory {
        parents.splice(0..0, (free_bytes(&memory) >= ENOUGH_MEMORY).then_some(memory));
    } else if is_in_memory(&parents[0]) {
        parents.insert(0, disk);
    }
    parents
}

fn free_bytes(path: &Path) -> u64 {
    rustix::fs::statvfs(path).map_or(0, |stat| stat.f_bavail.saturating_mul(stat.f_frsize))
}

#[cfg(target_os = "linux")]
fn is_in_memory(path: &Path) -> bool {
    const TMPFS_MAGIC: u64 = 0x0102_1994;
    rustix::fs::statfs(path).is_ok_and(|stat| stat.f_type as u64 == TMPFS_MAGIC)
}

#[cfg(not(target_os = "linux"))]
fn is_in_memory(_path: &Path) -> bool {
    false
}

/// Whether another account can get there and make and delete its own files, which is not so in root's home.
fn is_open_to_all(path: &Path) -> bool {
    let Ok(path) = path.canonicalize() else { return false };
    let allows = |path: &Path, bits| fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & bits == bits);
    allows(&path, 0o003) && path.ancestors().all(|above| allows(above, 0o001))
}

/// Short for the socket's sake. The time keeps apart processes of the same number in two containers that share a disk.
fn unique_name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.subsec_nanos());
    format!("pgq-{}-{count}-{nanos:x}", process::id())
}

fn create_at(folder: &Path, account: Option<Account>) -> io::Result<()> {
    fs::DirBuilder::new().mode(0o700).create(folder)?;
    let Some(account) = account else { return Ok(()) };
    // Group 0 keeps the folder open to us even in a container whose root may not pass over permissions.
    let given = chown(folder, Some(account.user), Some(0))
        .and_then(|()| fs::set_permissions(folder, fs::Permissions::from_mode(0o770)));
    if given.is_err() {
        let _ = fs::remove_dir(folder);
    }
    given
}
