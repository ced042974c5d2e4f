//! How a private server is set up.

use std::path::PathBuf;

/// How a private server is set up; a given server is used as it is.
///
/// ```
/// use pg_queue_embedded::Settings;
///
/// let settings = Settings::durable().with("max_connections", "50").with("statement_timeout", "10s");
/// ```
#[derive(Debug, Clone)]
pub struct Settings {
    pub(crate) bin_dir: Option<PathBuf>,
    #[cfg_attr(not(unix), expect(dead_code, reason = "there are no private servers"))]
    pub(crate) in_memory: bool,
    pub(crate) options: Vec<(String, String)>,
}

/// These lose data in a power cut, which a test does not care about, and make its commits free.
const NOT_DURABLE: [(&str, &str); 3] = [("fsync", "off"), ("synchronous_commit", "off"), ("full_page_writes", "off")];

const FOR_TESTS: [(&str, &str); 5] = [
    // Compiling a plan costs more than any statement of a test takes.
    ("jit", "off"),
    // One server serves all test binaries, each with several pools of ten.
    ("max_connections", "300"),
    ("shared_buffers", "64MB"),
    // The write-ahead log lives in memory: the default of 1GB is too much of it.
    ("max_wal_size", "256MB"),
    // Every `create database` makes two checkpoints, which would bury the rest of the log.
    ("log_checkpoints", "off"),
];

impl Settings {
    /// Fast and forgetful: `fsync`, `synchronous_commit`, `full_page_writes` and `jit` are off, 300 connections,
    /// and the data is in memory (`/dev/shm`) when that has 1 GiB free.
    pub fn for_tests() -> Self {
        let options = NOT_DURABLE.into_iter().chain(FOR_TESTS);
        let options = options.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Settings { bin_dir: None, in_memory: true, options }
    }

    /// PostgreSQL's own defaults, with the data on a real disk where there is one: for benchmarks and demos.
    ///
    /// The folder is in [`std::env::temp_dir`], or in `/var/tmp` when the former is in memory.
    pub fn durable() -> Self {
        Settings { bin_dir: None, in_memory: false, options: Vec::new() }
    }

    /// Sets a parameter of the server, like `postgres -c name=value`; the last value given for a name wins.
    ///
    /// Leave the server's log where it is and at least at `log_min_messages = log`: the server counts as started when
    /// it says so there.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.options.push((name.into(), value.into()));
        self
    }

    /// Uses the `initdb` and `postgres` of this folder and looks nowhere else, for example to test another major
    /// version.
    #[must_use]
    pub fn bin_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.bin_dir = Some(folder.into());
        self
    }
}

/// [`Settings::for_tests`].
impl Default for Settings {
    fn default() -> Self {
        Settings::for_tests()
    }
}
