//! From a contestant to its program: built here, or not to be had on this machine.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    process::{self, Command, Stdio},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{
    broker,
    contestants::{Contestant, Origin},
};

/// How a contestant is started.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    pub(crate) name: String,
    pub(crate) command: Vec<OsString>,
    /// Where its standard error goes.
    pub(crate) errors: PathBuf,
    /// The server that it needs instead of PostgreSQL.
    pub(crate) broker: Option<broker::Kind>,
}

/// The folder `benchmarks` of the source tree.
pub(crate) fn folder() -> PathBuf {
    // Cargo says where this package is when it runs us; a copied program knows where it was built.
    let runner = env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    runner.parent().map_or(runner.clone(), Path::to_path_buf)
}

/// Builds a contestant. The error says why it cannot be had.
pub(crate) fn build(contestant: &Contestant) -> Result<Program> {
    if let Some(kind) = contestant.broker {
        kind.find()?;
    }
    let command = match contestant.origin {
        // Not by its package: that would choose fewer features of what all members share, and build it once more.
        Origin::Member => vec![cargo(&folder().join("Cargo.toml"), &["--bin", contestant.program], &target())?],
        // All peers share one folder, so that they share what they are made of, and leave ours alone.
        Origin::Crate => vec![cargo(&peer(contestant).join("Cargo.toml"), &["--locked"], &target().join("peers"))?],
        Origin::Node => node(&peer(contestant))?,
    };
    let errors = env::temp_dir().join(format!("bench-{}-{}.log", process::id(), contestant.name));
    Ok(Program { name: contestant.name.to_owned(), command, errors, broker: contestant.broker })
}

/// Where cargo puts what it builds.
fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| folder().join("target"), Into::into)
}

fn peer(contestant: &Contestant) -> PathBuf {
    folder().join("peers").join(contestant.name)
}

/// Builds with cargo and answers the executable.
fn cargo(manifest: &Path, which: &[&str], target: &Path) -> Result<OsString> {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--release", "--quiet", "--message-format=json-render-diagnostics", "--manifest-path"]);
    cargo.arg(manifest).args(which);
    // What cargo tells a program that it runs is about that program's own package.
    let own = env::vars_os().map(|(name, _)| name);
    for name in own.filter(|name| name.to_string_lossy().starts_with("CARGO_PKG_")) {
        cargo.env_remove(name);
    }
    cargo.env("CARGO_TARGET_DIR", target).env_remove("CARGO_MANIFEST_DIR").stderr(Stdio::inherit());
    let output = cargo.output().context("cargo could not be started")?;
    if !output.status.success() {
        bail!("it does not build ({})", output.status);
    }
    executable(&String::from_utf8_lossy(&output.stdout)).context("it builds without a program")
}

fn executable(messages: &str) -> Option<OsString> {
    let messages = messages.lines().rev().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    messages.filter_map(|message| Some(message["executable"].as_str()?.into())).next()
}

/// Installs the packages that the lock file names, and answers how the script is started.
fn node(folder: &Path) -> Result<Vec<OsString>> {
    let has_node = Command::new("node").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !has_node.is_ok_and(|status| status.success()) {
        bail!("there is no node on this machine");
    }
    if !folder.join("node_modules").is_dir() {
        let mut npm = Command::new("npm");
        npm.args(["ci", "--no-audit", "--no-fund", "--silent"]).current_dir(folder).stdout(Stdio::null());
        let status = npm.status().context("npm could not be started")?;
        if !status.success() {
            bail!("npm does not install it ({status})");
        }
    }
    Ok(vec!["node".into(), folder.join("main.mjs").into()])
}

#[cfg(test)]
mod tests {
    use super::executable;

    #[test]
    fn the_program_is_the_last_executable_that_cargo_names() {
        let messages = "{\"reason\":\"compiler-artifact\",\"executable\":null}\n\
            {\"reason\":\"compiler-artifact\",\"executable\":\"/t/release/bench-x\"}\n\
            {\"reason\":\"build-finished\",\"success\":true}\n";
        assert_eq!(executable(messages), Some("/t/release/bench-x".into()));
        assert_eq!(executable("no JSON"), None);
    }
}
