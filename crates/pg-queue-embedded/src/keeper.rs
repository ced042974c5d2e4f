//! The life of one private server, in the hands of a shell that outlives us by a moment.

use std::{
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use crate::{Settings, StartError, account::Account, find, folder, shell::Shell, url};

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
    shell: Shell,
}

impl Keeper {
    pub(crate) fn start(settings: &Settings) -> Result<Keeper, StartError> {
        let bin_dir = find::find(settings.bin_dir.as_deref())?;
        let account = Account::choose()?;
        let folder = folder::create(settings, account)?;
        let shell = Shell::start(settings, account, &folder, &bin_dir).map_err(|source| {
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
            let ended = self.folder.join("ended").exists() || self.shell.has_ended();
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
        self.shell.release();
        let deadline = Instant::now() + STOP_LIMIT;
        while !self.shell.has_ended() && Instant::now() < deadline {
            thread::sleep(POLL);
        }
        // The shell has done this, unless it was killed or failed before it could.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn failed(what: String, log: &str) -> StartError {
    let lines: Vec<&str> = log.lines().collect();
    let log = lines[lines.len().saturating_sub(LOG_LINES)..].join("\n");
    StartError::Failed { what, log }
}
