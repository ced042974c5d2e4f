//! The life of one private server, in the hands of a shell that outlives us by a moment.

use std::{
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use crate::{Halt, HaltError, Settings, StartError, account::Account, find, folder, shell::Shell, url};

/// What the server says once it takes connections. `LC_ALL=C` keeps it in English.
const READY: &str = "database system is ready to accept connections";

/// What it says when processes of a run whose first process was killed have not ended yet. They will.
const IN_USE: &str = "is still in use";

/// Half a second is usual; this is for a machine that is busy beyond reason.
const START_LIMIT: Duration = Duration::from_secs(60);

/// A tenth of a second is usual; this is for a checkpoint to a slow disk, and what `pg_ctl` waits too.
const HALT_LIMIT: Duration = Duration::from_secs(60);

/// A tenth of a second is usual. PostgreSQL itself gives its processes 5 seconds, and the shell goes on without us.
const STOP_LIMIT: Duration = Duration::from_secs(10);

const POLL: Duration = Duration::from_millis(5);

/// How much of a log an error shows: enough for the reason and what led to it.
const LOG_LINES: usize = 30;

/// A private server that lives until this value is dropped or the process ends.
#[derive(Debug)]
pub(crate) struct Keeper {
    bin_dir: PathBuf,
    account: Option<Account>,
    folder: PathBuf,
    run: Mutex<Run>,
}

/// The server from a start to an end.
#[derive(Debug)]
struct Run {
    shell: Shell,
    /// Counted from 1, as the shell does.
    number: u32,
    /// Where in the log it begins: what former runs said must not be taken for news.
    log_start: usize,
    /// Whether it was told to end, which it may do late.
    is_to_end: bool,
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
        let run = Mutex::new(Run { shell, number: 1, log_start: 0, is_to_end: false });
        // From here on dropping the keeper cleans up.
        let keeper = Keeper { bin_dir, account, folder, run };
        keeper.wait_until_ready(&mut keeper.lock(), Instant::now() + START_LIMIT)?;
        Ok(keeper)
    }

    /// Ends the server and keeps its data.
    pub(crate) fn halt(&self, how: Halt) -> Result<(), HaltError> {
        let signal = match how {
            Halt::Fast => "INT",
            Halt::Immediate => "QUIT",
        };
        let mut run = self.lock();
        let deadline = Instant::now() + HALT_LIMIT;
        while !self.has_ended(&run) {
            if Instant::now() > deadline {
                return Err(HaltError::StillRunning { limit: HALT_LIMIT, log: end_of(&self.log(&run)) });
            }
            run.is_to_end = true;
            // Every time, because a server that has only just begun does not hear the signal yet.
            run.shell.order(signal).map_err(|source| HaltError::Order { source })?;
            thread::sleep(POLL);
        }
        Ok(())
    }

    /// Starts the server again if it has ended, and waits until it is ready.
    pub(crate) fn resume(&self) -> Result<(), StartError> {
        let mut run = self.lock();
        let deadline = Instant::now() + START_LIMIT;
        if self.has_ended(&run) {
            self.begin_next(&mut run)?;
        } else if run.is_to_end {
            return Err(failed("the server was told to halt and still runs".into(), &self.log(&run)));
        }
        loop {
            match self.wait_until_ready(&mut run, deadline) {
                Err(StartError::Failed { log, .. }) if log.contains(IN_USE) && Instant::now() < deadline => {
                    thread::sleep(POLL);
                    self.begin_next(&mut run)?;
                }
                done => return done,
            }
        }
    }

    /// Only after the end of the last run.
    fn begin_next(&self, run: &mut Run) -> Result<(), StartError> {
        let log_start = self.whole_log().len();
        run.shell.order("start").map_err(|source| {
            let what = "tell the server's shell to start it again".into();
            StartError::Io { what, source }
        })?;
        run.number += 1;
        run.log_start = log_start;
        run.is_to_end = false;
        Ok(())
    }

    fn wait_until_ready(&self, run: &mut Run, deadline: Instant) -> Result<(), StartError> {
        let account = self.account.map(Account::explanation).unwrap_or_default();
        loop {
            // Looked at before the log, so that the log is complete if the answer is yes.
            let ended = self.has_ended(run) || run.shell.has_ended();
            let log = self.log(run);
            let program = self.bin_dir.join(if self.pid_path().exists() { "postgres" } else { "initdb" });
            if ended {
                return Err(failed(format!("{}{account} ended at its start", program.display()), &log));
            }
            if log.contains(READY) && self.pid().is_some() {
                return Ok(());
            }
            if Instant::now() > deadline {
                let what = format!("{}{account} was not ready after {START_LIMIT:?}", program.display());
                return Err(failed(what, &log));
            }
            thread::sleep(POLL);
        }
    }

    fn has_ended(&self, run: &Run) -> bool {
        self.folder.join(format!("ended.{}", run.number)).exists()
    }

    /// What the run said until now.
    fn log(&self, run: &Run) -> String {
        String::from_utf8_lossy(self.whole_log().get(run.log_start..).unwrap_or_default()).into_owned()
    }

    fn whole_log(&self) -> Vec<u8> {
        fs::read(self.log_path()).unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Run> {
        self.run.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// Read at every call and without the lock, so that somebody else may ask while the server starts or ends.
    pub(crate) fn pid(&self) -> Option<u32> {
        fs::read_to_string(self.pid_path()).ok()?.strip_suffix('\n')?.parse().ok()
    }

    fn pid_path(&self) -> PathBuf {
        self.folder.join("pid")
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        let shell = &mut self.run.get_mut().unwrap_or_else(PoisonError::into_inner).shell;
        shell.release();
        let deadline = Instant::now() + STOP_LIMIT;
        while !shell.has_ended() && Instant::now() < deadline {
            thread::sleep(POLL);
        }
        // The shell has done this, unless it was killed or failed before it could.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn failed(what: String, log: &str) -> StartError {
    StartError::Failed { what, log: end_of(log) }
}

fn end_of(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}
