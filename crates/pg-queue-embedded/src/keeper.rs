//! The life of one private server, in the hands of a shell that outlives us by a moment.

use std::{
    env,
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::{Settings, StartError, account::Account, find, folder, url};

const SCRIPT: &str = include_str!("keeper.sh");

/// What the server says once it takes connections. `LC_ALL=C` keeps it in English.
const READY: &str = "database system is ready to accept connections";

/// Half a second is usual; this is for a machine that is busy beyond reason.
const START_LIMIT: Duration = Duration::from_secs(60);

/// A tenth of a second is usual. PostgreSQL itself gives its processes 5 seconds, and the shell goes on without us.
const STOP_LIMIT: Duration = Duration::from_secs(10);

const POLL: Duration = Duration::from_millis(5);

/// How much of a log an error shows: enough for the reason and what led to it.
const LOG_LINES: usize = 30;

/// A private server that runs until this value is dropped or the process ends.
#[derive(Debug)]
pub(crate) struct Keeper {
    bin_dir: PathBuf,
    folder: PathBuf,
    pid: u32,
    /// Its standard input is the lifeline: the shell stops the server when our end closes. The standard library opens
    /// pipes with `O_CLOEXEC`, so that no other child of ours keeps the line open after us.
    shell: Child,
}

impl Keeper {
    pub(crate) fn start(settings: &Settings) -> Result<Keeper, StartError> {
        let bin_dir = find::find(settings.bin_dir.as_deref())?;
        let account = Account::choose()?;
        let folder = folder::create(settings, account)?;
        let shell = command(settings, account, &folder, &bin_dir).spawn().map_err(|source| {
            let _ = fs::remove_dir(&folder);
            StartError::Io { what: "start /bin/sh for a private server".into(), source }
        })?;
        // From here on dropping the keeper cleans up.
        let mut keeper = Keeper { bin_dir, folder, pid: 0, shell };
        keeper.pid = keeper.wait_until_ready(account)?;
        Ok(keeper)
    }

    /// Waits for the server and returns its process number.
    fn wait_until_ready(&mut self, account: Option<Account>) -> Result<u32, StartError> {
        let account = account.map(Account::explanation).unwrap_or_default();
        let deadline = Instant::now() + START_LIMIT;
        loop {
            // Looked at before the log, so that the log is complete if the answer is yes.
            let ended = self.folder.join("ended").exists() || !matches!(self.shell.try_wait(), Ok(None));
            let log = fs::read(self.log_path()).unwrap_or_default();
            let log = String::from_utf8_lossy(&log);
            let pid = fs::read_to_string(self.folder.join("pid")).unwrap_or_default();
            let program = self.bin_dir.join(if pid.is_empty() { "initdb" } else { "postgres" });
            if ended {
                return Err(failed(format!("{}{account} ended at its start", program.display()), &log));
            }
            if log.contains(READY)
                && let Some(Ok(pid)) = pid.strip_suffix('\n').map(str::parse)
            {
                return Ok(pid);
            }
            if Instant::now() > deadline {
                let what = format!("{}{account} was not ready after {START_LIMIT:?}", program.display());
                return Err(failed(what, &log));
            }
            thread::sleep(POLL);
        }
    }

    /// TLS is ruled out here, because a `PGSSLMODE` in the environment would demand it of a server that has none.
    pub(crate) fn url(&self, database: &str) -> String {
        let socket_folder = url::encode(self.folder.as_os_str().as_bytes());
        format!("postgres://postgres@{socket_folder}:5432/{}?sslmode=disable", url::encode(database.as_bytes()))
    }

    pub(crate) fn bin_dir(&self) -> &Path {
        &self.bin_dir
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.folder.join("data")
    }

    pub(crate) fn log_path(&self) -> PathBuf {
        self.folder.join("log")
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let deadline = Instant::now() + STOP_LIMIT;
        while let Ok(None) = self.shell.try_wait()
            && Instant::now() < deadline
        {
            thread::sleep(POLL);
        }
        // The shell has done this, unless it was killed or failed before it could.
        let _ = fs::remove_dir_all(&self.folder);
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

fn failed(what: String, log: &str) -> StartError {
    let lines: Vec<&str> = log.lines().collect();
    let log = lines[lines.len().saturating_sub(LOG_LINES)..].join("\n");
    StartError::Failed { what, log }
}
