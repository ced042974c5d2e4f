//! For build scripts of peers: files out of a crate as it was published, so that nothing of it is copied into this
//! repository.
#![forbid(unsafe_code)]

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// Puts a file for `include_str!(concat!(env!("OUT_DIR"), "/setup.sql"))` where that finds it: these files of a package that
/// the calling one depends on, one after the other.
///
/// # Errors
/// The package is not among the dependencies, or has no such file.
pub fn setup_sql(package: &str, files: &[&str]) -> Result<()> {
    let folder = source(package)?;
    let mut setup = String::new();
    for file in files {
        let path = folder.join(file);
        setup += &fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
        setup.push('\n');
    }
    let out = env::var_os("OUT_DIR").context("this is for build scripts")?;
    fs::write(Path::new(&out).join("setup.sql"), setup)?;
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=Cargo.lock");
    Ok(())
}

/// The folder to which cargo has unpacked a package.
fn source(package: &str) -> Result<PathBuf> {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let own = env::var_os("CARGO_MANIFEST_DIR").context("this is for build scripts")?;
    cargo.args(["metadata", "--format-version", "1", "--locked", "--offline"]).current_dir(own);
    let output = cargo.output().context("cargo could not be started")?;
    ensure!(output.status.success(), "cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let found = metadata["packages"].as_array().into_iter().flatten().find(|it| it["name"] == package);
    let manifest = found.and_then(|it| it["manifest_path"].as_str());
    let manifest = manifest.with_context(|| format!("{package} is not among the dependencies"))?;
    Ok(Path::new(manifest).parent().context("a manifest is in a folder")?.to_owned())
}
