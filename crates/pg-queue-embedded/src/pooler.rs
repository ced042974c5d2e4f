//! A private PgBouncer in front of a server, to see what works through a pooler by transaction.

use std::{
    env, fs, io,
    os::unix::{ffi::OsStrExt, fs::chown, net::UnixStream, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use sqlx::postgres::PgConnectOptions;

use crate::{Server, Settings, StartError, account::Account, error::with_causes, folder, url};

const SCRIPT: &str = include_str!("pooler.sh");

/// Where packages put it, beside `PATH`: on Debian that of root only.
const PLACES: [&str; 4] = ["/usr/sbin", "/usr/local/sbin", "/usr/local/bin", "/opt/homebrew/bin"];

/// Names its socket; no port is opened.
const PORT: u16 = 6432;

/// Some milliseconds are usual.
const START_LIMIT: Duration = Duration::from_secs(10);

const STOP_LIMIT: Duration = Duration::from_secs(5);

const POLL: Duration = Duration::from_millis(5);

/// A `PgBouncer` of the machine's own, with `pool_mode = transaction`, in front of a server. It ends when this value is dropped, or
/// the process does.
#[derive(Debug)]
pub struct Pooler {
    folder: PathBuf,
    user: String,
    shell: Child,
}

impl Pooler {
    /// Starts one that has at most so many server connections for each database.
    ///
    /// # Errors
    ///
    /// If the program is not found or does not start.
    pub fn start(server: &Server, connections: u32) -> Result<Pooler, StartError> {
        let program = find().ok_or_else(|| StartError::Io {
            what: "find the program `pgbouncer` (on Debian: apt-get install pgbouncer)".into(),
            source: io::ErrorKind::NotFound.into(),
        })?;
        // It refuses root too.
        let account = Account::choose()?;
        let folder = folder::create(&Settings::for_tests(), account)?;
        let options = server.admin_options().map_err(|source| StartError::Url { name: "the server's URL", source })?;
        let user = options.get_username().to_owned();
        let shell = write(&folder, account, &options, connections).and_then(|()| run(&folder, &program, account));
        let shell = shell.map_err(|source| {
            let _ = fs::remove_dir_all(&folder);
            StartError::Io { what: format!("start {}", program.display()), source }
        })?;
        // From here on dropping it cleans up.
        let pooler = Pooler { folder, user, shell };
        let deadline = Instant::now() + START_LIMIT;
        while UnixStream::connect(pooler.folder.join(format!(".s.PGSQL.{PORT}"))).is_err() {
            if Instant::now() > deadline {
                let log = fs::read_to_string(pooler.folder.join("log")).unwrap_or_default();
                return Err(StartError::Failed { what: format!("{} was not ready in time", program.display()), log });
            }
            thread::sleep(POLL);
        }
        Ok(pooler)
    }

    /// The URL of a database through it.
    pub fn url(&self, database: &str) -> String {
        let folder = url::encode(self.folder.as_os_str().as_bytes());
        let (user, database) = (url::encode(self.user.as_bytes()), url::encode(database.as_bytes()));
        format!("postgres://{user}@{folder}:{PORT}/{database}?sslmode=disable")
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let deadline = Instant::now() + STOP_LIMIT;
        while matches!(self.shell.try_wait(), Ok(None)) && Instant::now() < deadline {
            thread::sleep(POLL);
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The pooler in front of the [shared](crate::shared()) server, through which tests are to work; `None` unless
/// `PG_QUEUE_TEST_POOLER` is set. It has four connections for each database, so that they are shared indeed, and
/// takes one back after two seconds from whoever has left a transaction open: a handler that is dropped while it begins one does.
///
/// # Panics
///
/// If it does not start, with the reason: this is for tests.
pub fn shared_pooler() -> Option<&'static Pooler> {
    static SHARED: OnceLock<Option<Pooler>> = OnceLock::new();
    let start = || match Pooler::start(crate::shared(), 4) {
        Ok(pooler) => pooler,
        Err(error) => panic!("{}", with_causes(&error)),
    };
    let is_wanted = || env::var_os("PG_QUEUE_TEST_POOLER").is_some_and(|value| !value.is_empty());
    SHARED.get_or_init(|| is_wanted().then(start)).as_ref()
}

fn find() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let places = env::split_paths(&path).chain(PLACES.map(PathBuf::from));
    places.map(|place| place.join("pgbouncer")).find(|program| program.is_file())
}

fn write(folder: &Path, account: Option<Account>, options: &PgConnectOptions, connections: u32) -> io::Result<()> {
    let host = options.get_socket().map_or(options.get_host().into(), |folder| folder.to_string_lossy());
    let settings = format!(
        "[databases]\n\
         * = host={host} port={port}\n\
         [pgbouncer]\n\
         pool_mode = transaction\n\
         default_pool_size = {connections}\n\
         max_client_conn = 2000\n\
         idle_transaction_timeout = 2\n\
         unix_socket_dir = {folder}\n\
         listen_port = {PORT}\n\
         auth_type = trust\n\
         auth_file = {folder}/users\n\
         ignore_startup_parameters = extra_float_digits\n",
        port = options.get_port(),
        folder = folder.display(),
    );
    for (name, text) in [("pgbouncer.ini", settings), ("users", format!("\"{}\" \"\"\n", options.get_username()))] {
        let file = folder.join(name);
        fs::write(&file, text)?;
        if let Some(account) = account {
            chown(&file, Some(account.user), None)?;
        }
    }
    Ok(())
}

fn run(folder: &Path, program: &Path, account: Option<Account>) -> io::Result<Child> {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", SCRIPT, "pooler"]).arg(folder).arg(program).current_dir("/");
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    // A group of its own, which Ctrl-C in our terminal does not reach.
    command.process_group(0);
    if let Some(account) = account {
        account.apply(&mut command);
    }
    command.spawn()
}
