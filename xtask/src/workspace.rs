//! Where the project's files are.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

/// The root folder of the workspace: asked at run time, so that a copied program still finds it.
pub(crate) fn root() -> Result<PathBuf> {
    let start = match env::var_os("CARGO_MANIFEST_DIR") {
        Some(folder) => PathBuf::from(folder),
        None => env::current_dir().context("there is no current folder")?,
    };
    let is_root = |folder: &&Path| folder.join("migrations").is_dir() && folder.join("Cargo.lock").is_file();
    let root = start.ancestors().find(is_root);
    root.map(Path::to_path_buf).context("this is not inside pg-queue's source tree: change into it first")
}

/// The cargo that runs us, or else the one in PATH.
pub(crate) fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")))
}
