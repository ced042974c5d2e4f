//! Runs without a safeguard, to see that its absence is noticed: a program that says that all is well must be able to
//! say something else.

use std::{env, fs, os::unix::process::CommandExt, path::PathBuf, process::Command};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use serde::Deserialize;

use crate::workspace;

/// The variable by which a sabotaged build of the library learns what to leave out.
const VARIABLE: &str = "PG_QUEUE_SABOTAGE";

/// Compiles our own crates with `--cfg pg_queue_sabotage`.
const WRAPPER: &str = "xtask/sabotaged-rustc";

/// What can be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Safeguard {
    /// Every write about a running job shows its lease token
    Fence,
    /// The jobs of dead workers are given to others
    Rescue,
    /// A worker that is out of contact ends its handlers in time
    SelfFence,
}

/// What is left out of this very program; an error if that is not what somebody wanted.
#[cfg(pg_queue_sabotage)]
pub(super) fn left_out() -> Result<Option<String>> {
    Ok(pg_queue::sabotage::chosen()?.map(|safeguard| safeguard.to_string()))
}

#[cfg(not(pg_queue_sabotage))]
pub(super) fn left_out() -> Result<Option<String>> {
    ensure!(
        env::var_os(VARIABLE).is_none(),
        "{VARIABLE} is set, but this build has all safeguards: use `cargo xtask chaos --without`, or build with \
         RUSTFLAGS='--cfg pg_queue_sabotage'"
    );
    Ok(None)
}

/// Becomes a program without this safeguard, with these arguments.
pub(super) fn become_one_without(safeguard: Safeguard, arguments: &[String]) -> Result<()> {
    let program = if cfg!(pg_queue_sabotage) { env::current_exe()? } else { build()? };
    let name = safeguard.to_possible_value().context("it has a name")?;
    let mut command = Command::new(&program);
    command.arg("chaos").args(arguments).env(VARIABLE, name.get_name());
    // Not a child: Ctrl-C and the exit status are its own.
    Err(command.exec()).with_context(|| format!("{} could not be started", program.display()))
}

#[derive(Debug, Deserialize)]
struct Metadata {
    target_directory: PathBuf,
    build_directory: PathBuf,
}

/// Builds it, into a folder of its own: the program that everybody uses stays where it is. What is not ours is taken
/// from the usual build, which makes it 17 s of work instead of 80.
fn build() -> Result<PathBuf> {
    let root = workspace::root()?;
    let wrapper = root.join(WRAPPER);
    ensure!(fs::exists(&wrapper)?, "{} is missing", wrapper.display());
    let mut metadata = workspace::cargo();
    metadata.args(["metadata", "--format-version", "1", "--no-deps", "--offline"]).current_dir(&root);
    let output = metadata.output().context("cargo could not be started: `--without` builds another program with it")?;
    ensure!(output.status.success(), "cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr));
    let Metadata { target_directory, build_directory } = serde_json::from_slice(&output.stdout)?;
    let target = target_directory.join("sabotage");
    eprintln!("building a program that can do without a safeguard, in {}", target.display());
    let mut build = workspace::cargo();
    build.args(["build", "--quiet", "--package", "xtask", "--target-dir"]).arg(&target).current_dir(&root);
    build.env("CARGO_BUILD_BUILD_DIR", build_directory).env("RUSTC_WORKSPACE_WRAPPER", wrapper);
    let status = build.status().context("cargo could not be started")?;
    ensure!(status.success(), "the program without a safeguard was not built ({status})");
    Ok(target.join("debug").join("xtask"))
}
