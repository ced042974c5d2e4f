//! Where fetched programs are kept: in the target folder, or outside of root's home.

use std::{env, fs, path::Path, path::PathBuf};

use anyhow::{Context, Result, ensure};

use crate::workspace;

/// The folder for all fetched versions, made if it is missing.
///
/// PostgreSQL refuses to run as root, so that for root the programs run as `postgres` or `nobody`, who must be able to
/// reach them: a target folder in root's home, which nobody else may enter, does not do. A copied `xtask` may run where
/// there is no target folder at all, or one that belongs to somebody else.
pub(super) fn choose() -> Result<PathBuf> {
    let target = match env::var_os("CARGO_TARGET_DIR").filter(|folder| !folder.is_empty()) {
        Some(folder) => workspace::root().map(|root| root.join(folder)),
        None => workspace::root().map(|root| root.join("target")),
    };
    if let Ok(target) = target {
        let place = target.join("postgres");
        if create(&place).is_ok() && system::can_be_used(&place) {
            return Ok(place);
        }
    }
    let place = system::shared_place();
    create(&place)?;
    ensure!(
        system::is_ours_alone(&place),
        "{} belongs to somebody else, or others may write to it: remove it, or set CARGO_TARGET_DIR to a folder of your \
         own that everybody can enter",
        place.display()
    );
    Ok(place)
}

/// Makes a folder that others may read, whatever the umask.
pub(super) fn create(folder: &Path) -> Result<()> {
    let what = || format!("the folder {} cannot be made", folder.display());
    if !folder.is_dir() {
        fs::create_dir_all(folder).with_context(what)?;
        system::open(folder).with_context(what)?;
    }
    Ok(())
}

#[cfg(unix)]
mod system {
    use std::{
        fs, io,
        os::unix::fs::{MetadataExt, PermissionsExt},
        path::{Path, PathBuf},
        process,
    };

    use rustix::process::geteuid;

    /// Survives a restart, unlike /tmp, and allows programs to be run, which /dev/shm often does not.
    pub(super) fn shared_place() -> PathBuf {
        PathBuf::from(format!("/var/tmp/pg-queue-postgres-{}", geteuid().as_raw()))
    }

    pub(super) fn open(folder: &Path) -> io::Result<()> {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755))
    }

    /// Whether we can write there and, if we are root, others can get there.
    pub(super) fn can_be_used(folder: &Path) -> bool {
        let probe = folder.join(format!("probe-{}", process::id()));
        let writable = fs::write(&probe, "").is_ok();
        let _ = fs::remove_file(probe);
        writable && (!geteuid().is_root() || is_open_to_all(folder))
    }

    fn is_open_to_all(folder: &Path) -> bool {
        let Ok(folder) = folder.canonicalize() else { return false };
        let can_enter = |path: &Path| fs::metadata(path).is_ok_and(|it| it.mode() & 0o001 != 0);
        folder.ancestors().all(can_enter)
    }

    /// Everybody can make a folder of this name, and we are about to run programs from it.
    pub(super) fn is_ours_alone(folder: &Path) -> bool {
        fs::symlink_metadata(folder)
            .is_ok_and(|it| it.is_dir() && it.uid() == geteuid().as_raw() && it.mode() & 0o022 == 0)
    }
}

#[cfg(not(unix))]
mod system {
    use std::{
        env, io,
        path::{Path, PathBuf},
    };

    pub(super) fn shared_place() -> PathBuf {
        env::temp_dir().join("pg-queue-postgres")
    }

    pub(super) fn open(_folder: &Path) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn can_be_used(_folder: &Path) -> bool {
        true
    }

    pub(super) fn is_ours_alone(_folder: &Path) -> bool {
        true
    }
}
