//! A server: a private one, or one that was given by its URL.

use std::{
    env, fmt,
    path::{Path, PathBuf},
};

use sqlx::postgres::PgConnectOptions;

use crate::{Halt, HaltError, Settings, StartError, connection, keeper::Keeper, url};

/// Where a test, example or demo finds its server.
///
/// A private server stops, and its data is deleted, when this value is dropped or the process ends in any other way,
/// `SIGKILL` included. A given server is left as it is.
///
/// ```
/// use pg_queue_embedded::{Server, Settings};
///
/// let server = Server::start(Settings::for_tests())?;
/// assert!(server.is_private());
/// assert!(server.url("postgres").starts_with("postgres://postgres@"));
/// server.stop();
/// # Ok::<(), pg_queue_embedded::StartError>(())
/// ```
pub struct Server {
    kind: Kind,
}

enum Kind {
    Private(Keeper),
    Given(String),
}

impl Server {
    /// Starts a new private server; this blocks for about half a second, and for 60 seconds at most.
    ///
    /// The programs `initdb` and `postgres` are looked for in [`Settings::bin_dir`] or else in `PG_BIN` if there is
    /// either; otherwise in `PATH`, where `pg_config --bindir` says, and where packages put them, newest major version
    /// first. As root, which PostgreSQL refuses, they run as the user `postgres` or else `nobody`.
    ///
    /// Never looks at `DATABASE_URL`.
    ///
    /// # Errors
    ///
    /// If the programs are not found or do not start; the error holds the end of their log.
    #[expect(clippy::needless_pass_by_value, reason = "settings are made for one start; asking for & helps nobody")]
    pub fn start(settings: Settings) -> Result<Server, StartError> {
        Keeper::start(&settings).map(|keeper| Server { kind: Kind::Private(keeper) })
    }

    /// The server that `DATABASE_URL` names, without connecting to it yet; if that is unset or empty, a new private
    /// one like from [`Server::start`].
    ///
    /// # Errors
    ///
    /// If `DATABASE_URL` is not a URL of PostgreSQL, or there is none and no private server starts.
    pub fn from_env_or_start(settings: Settings) -> Result<Server, StartError> {
        match Server::from_env("DATABASE_URL")? {
            Some(server) => Ok(server),
            None => Server::start(settings),
        }
    }

    /// The running server that this URL names, without connecting to it yet.
    ///
    /// # Errors
    ///
    /// If it is not a URL of PostgreSQL.
    pub fn given(url: &str) -> Result<Server, StartError> {
        Server::given_by("the given URL", url)
    }

    /// The server whose URL is in an environment variable, if that is set and not empty.
    pub(crate) fn from_env(name: &'static str) -> Result<Option<Server>, StartError> {
        let url = env::var_os(name).unwrap_or_default();
        // What is not UTF-8 becomes a URL that does not work, and says so.
        let url = url.to_string_lossy();
        (!url.is_empty()).then(|| Server::given_by(name, &url)).transpose()
    }

    fn given_by(name: &'static str, url: &str) -> Result<Server, StartError> {
        connection::parse(url).map_err(|source| StartError::Url { name, source })?;
        Ok(Server { kind: Kind::Given(url.to_owned()) })
    }

    /// The URL of a database on this server, whether it exists or not.
    ///
    /// For a given server this is its URL with another database: user, password and parameters are kept.
    pub fn url(&self, database: &str) -> String {
        match &self.kind {
            Kind::Private(keeper) => keeper.url(database),
            Kind::Given(url) => url::with_database(url, database),
        }
    }

    /// The URL of the database to administrate the server from: `postgres` on a private server, the one that was
    /// given on a given server.
    pub fn admin_url(&self) -> String {
        match &self.kind {
            Kind::Private(keeper) => keeper.url("postgres"),
            Kind::Given(url) => url.clone(),
        }
    }

    /// Whether this is a private server, with nobody's data in it.
    pub fn is_private(&self) -> bool {
        self.keeper().is_some()
    }

    /// The folder of a private server's programs, `psql` often among them.
    pub fn bin_dir(&self) -> Option<&Path> {
        self.keeper().map(Keeper::bin_dir)
    }

    /// The data directory of a private server; as root, it belongs to another user.
    pub fn data_dir(&self) -> Option<PathBuf> {
        self.keeper().map(Keeper::data_dir)
    }

    /// The log of a private server.
    pub fn log_path(&self) -> Option<PathBuf> {
        self.keeper().map(Keeper::log_path)
    }

    /// The process number of a private server's first process while it runs, for tests that freeze or kill it.
    pub fn pid(&self) -> Option<u32> {
        self.keeper().and_then(Keeper::pid)
    }

    /// Ends a private server and keeps its data for [`Server::resume`]; this blocks until it has ended, for about 20 ms,
    /// and for 60 seconds at most.
    ///
    /// Does nothing if the server has ended already. One that somebody killed is waited for, so that it can be resumed.
    /// Dropping a halted server deletes its data as ever, and so does the end of the process.
    ///
    /// ```
    /// use pg_queue_embedded::{Halt, Server, Settings};
    ///
    /// let server = Server::start(Settings::durable())?;
    /// server.halt(Halt::Immediate)?;
    /// assert_eq!(server.pid(), None);
    /// server.resume()?;
    /// assert!(server.pid().is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If the server is a given one, or has not ended in time. It may still end then; [`Halt::Immediate`] after
    /// [`Halt::Fast`] makes it.
    pub fn halt(&self, how: Halt) -> Result<(), HaltError> {
        self.keeper().ok_or(HaltError::Given)?.halt(how)
    }

    /// Starts a private server again that was halted, with the same settings on the same data, and at the same URL;
    /// this blocks until it takes connections, for 20 to 100 ms, and for 60 seconds at most.
    ///
    /// Does nothing if the server runs. After killing one, call [`Server::halt`] first: until its death is noticed, it
    /// counts as running.
    ///
    /// # Errors
    ///
    /// If the server is a given one, or does not start in time; the error holds the end of its log. Trying again is
    /// fine.
    pub fn resume(&self) -> Result<(), StartError> {
        self.keeper().ok_or(StartError::Given)?.resume()
    }

    /// Stops a private server and deletes its data, as dropping does; this takes about 50 ms, and 10 seconds at most.
    pub fn stop(self) {}

    pub(crate) fn admin_options(&self) -> Result<PgConnectOptions, sqlx::Error> {
        connection::parse(&self.admin_url())
    }

    fn keeper(&self) -> Option<&Keeper> {
        match &self.kind {
            Kind::Private(keeper) => Some(keeper),
            Kind::Given(_) => None,
        }
    }
}

/// Shows no password.
impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Private(keeper) => f.debug_tuple("Server").field(keeper).finish(),
            Kind::Given(_) => {
                f.debug_tuple("Server").field(&self.admin_options().map(|it| connection::describe(&it))).finish()
            }
        }
    }
}
