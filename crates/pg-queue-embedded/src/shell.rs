//! The process that runs `keeper.sh`, and the pipe to it.

use std::{
    env,
    ffi::OsStr,
    io::{self, Write},
    os::unix::{ffi::OsStrExt, process::CommandExt},
    path::Path,
    process::{Child, Command, Stdio},
};

use crate::{Settings, account::Account};

const SCRIPT: &str = include_str!("keeper.sh");

/// Its standard input is the lifeline: the shell stops the server when our end closes. The standard library opens pipes
/// with `O_CLOEXEC`, so that no other child of ours keeps the line open after us.
#[derive(Debug)]
pub(crate) struct Shell(Child);

impl Shell {
    pub(crate) fn start(
        settings: &Settings,
        account: Option<Account>,
        folder: &Path,
        bin_dir: &Path,
    ) -> io::Result<Shell> {
        command(settings, account, folder, bin_dir).spawn().map(Shell)
    }

    /// What is an order, the script says.
    pub(crate) fn order(&self, order: &str) -> io::Result<()> {
        let mut pipe = self.0.stdin.as_ref().ok_or(io::ErrorKind::BrokenPipe)?;
        pipe.write_all(format!("{order}\n").as_bytes())
    }

    /// Lets go of the lifeline, but does not wait for what the shell does then.
    pub(crate) fn release(&mut self) {
        drop(self.0.stdin.take());
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.0.try_wait(), Ok(None))
    }
}

fn command(settings: &Settings, account: Option<Account>, folder: &Path, bin_dir: &Path) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", SCRIPT, "keeper"]).arg(folder).arg(bin_dir);
    // No TCP, and the socket where only we get at it.
    command.args(["-h", "", "-p", "5432", "-k"]).arg(folder);
    for (name, value) in &settings.options {
        command.arg("-c").arg(format!("{name}={value}"));
    }
    for (name, _) in env::vars_os().filter(|(name, _)| is_meant_for_postgres(name)) {
        command.env_remove(name);
    }
    command.env("LC_ALL", "C").current_dir("/");
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    // A group of its own, which Ctrl-C in our terminal does not reach.
    command.process_group(0);
    if let Some(account) = account {
        account.apply(&mut command);
    }
    command
}

/// Variables that would make the server another one than asked for.
fn is_meant_for_postgres(name: &OsStr) -> bool {
    ["PG", "LC_", "LANG"].iter().any(|prefix| name.as_bytes().starts_with(prefix.as_bytes()))
}
