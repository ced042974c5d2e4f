//! Who runs the server.

use std::{
    os::unix::process::CommandExt,
    process::{Command, Stdio},
};

use crate::StartError;

/// The account to run the server as, when it cannot be our own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Account {
    name: &'static str,
    pub(crate) user: u32,
    group: u32,
}

impl Account {
    /// PostgreSQL refuses to run as root: then the account that its package made, or `nobody`; otherwise our own,
    /// which is `None`.
    pub(crate) fn choose() -> Result<Option<Account>, StartError> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        match ["postgres", "nobody"].into_iter().find_map(Account::named) {
            Some(account) => Ok(Some(account)),
            None => Err(StartError::Root),
        }
    }

    fn named(name: &'static str) -> Option<Account> {
        let account = Account { user: id("-u", name)?, group: id("-g", name)?, name };
        (account.user != 0).then_some(account)
    }

    /// Why programs may fail that work for us: they lie in a folder that is root's own, for example.
    pub(crate) fn explanation(self) -> String {
        format!(", run as the user {:?} because PostgreSQL refuses root,", self.name)
    }

    pub(crate) fn apply(self, command: &mut Command) {
        command.uid(self.user).gid(self.group);
    }
}

/// Asks the program `id`, which knows directories of users other than `/etc/passwd` too and needs no unsafe code.
fn id(which: &str, name: &str) -> Option<u32> {
    let output = Command::new("id").args([which, name]).stderr(Stdio::null()).output().ok()?;
    str::from_utf8(&output.stdout).ok()?.trim().parse().ok()
}
