//! What can go wrong, one enum per operation.

use std::{error::Error, fmt::Display, io, path::PathBuf, time::Duration};

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// No folder with both `initdb` and `postgres` was found.
    #[error("{}", ways_out(looked_in))]
    NotFound {
        /// The folders that were looked in, in this order.
        looked_in: Vec<PathBuf>,
    },

    /// This process is root, PostgreSQL refuses to run as root, and there is nobody else to run it as.
    #[error(
        "PostgreSQL refuses to run as root, and there is no user `postgres` or `nobody` to run it as: \
         run this as another user, or set DATABASE_URL"
    )]
    Root,

    /// This platform has no private servers.
    #[error("a private PostgreSQL server needs a Unix: set DATABASE_URL to a server that runs already")]
    Platform,

    /// The URL of the given server is not one.
    #[error("{name} is not a usable URL, such as postgres://user:password@host:5432/database")]
    Url {
        /// Where the URL came from, such as `DATABASE_URL`.
        name: &'static str,
        /// What is wrong with it; never shows the password.
        source: sqlx::Error,
    },

    /// A server that was given by its URL cannot be started again: it was never ours to halt.
    #[error("only a private server can be resumed, and this one was given by its URL")]
    Given,

    /// The operating system refused something.
    #[error("could not {what}")]
    Io {
        /// What was tried.
        what: String,
        /// What the operating system said.
        source: io::Error,
    },

    /// `initdb` or `postgres` ran and gave up, or was not ready in time.
    #[error("{what}; the end of its log:\n{log}")]
    Failed {
        /// Which program failed, and how.
        what: String,
        /// The last lines of its log.
        log: String,
    },
}

/// Why a server could not be halted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HaltError {
    /// A server that was given by its URL is not ours to halt.
    #[error("only a private server can be halted, and this one was given by its URL")]
    Given,

    /// The shell that keeps the server takes no orders; somebody has killed it.
    #[error("could not tell the server's shell to halt it")]
    Order {
        /// What the operating system said.
        source: io::Error,
    },

    /// The server has been told to end and has not yet.
    #[error("the server still runs {limit:?} after it was told to end; the end of its log:\n{log}")]
    StillRunning {
        /// How long it was waited for.
        limit: Duration,
        /// The last lines of its log.
        log: String,
    },
}

/// Why a database could not be made or reached.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatabaseError {
    /// The server's URL could not be read.
    #[error("the server's URL is not usable")]
    Url(#[source] sqlx::Error),

    /// The server did not let us in.
    #[error("could not connect to {server}")]
    Connect {
        /// User, host and database, without the password.
        server: String,
        /// What the server or the operating system said.
        source: sqlx::Error,
    },

    /// The server refused a statement.
    #[error("could not {what}")]
    Statement {
        /// What was tried, such as `create database "x"`.
        what: String,
        /// What the server said.
        source: sqlx::Error,
    },

    /// A template's name is not made of 1 to 40 of the characters `a-z`, `0-9` and `_`.
    #[error("template name {0:?} must be 1 to 40 characters from a-z, 0-9 and _")]
    TemplateName(String),

    /// The function that fills a template failed; the template was not made, and the next test tries again.
    #[error("could not prepare the template {template:?}")]
    Prepare {
        /// The template's name as the caller gave it.
        template: String,
        /// What the function returned.
        source: Box<dyn Error + Send + Sync>,
    },
}

/// An error with all of its causes, in one line unless one of them has several.
pub(crate) fn with_causes(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| (*cause).source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// The message that a newcomer without a server sees, so it names every way to get one.
fn ways_out(looked_in: &[PathBuf]) -> impl Display {
    let looked_in: String = looked_in.iter().map(|folder| format!("\n  {}", folder.display())).collect();
    format!(
        "no PostgreSQL to use: found no folder that has both `initdb` and `postgres`; \
         do one of these, then run the same command again:
  * set DATABASE_URL to a server that you may use, such as postgres://postgres@127.0.0.1:5432/postgres
  * install a server:
      Debian, Ubuntu   apt-get install postgresql
      Fedora, RHEL     dnf install postgresql-server
      Alpine           apk add postgresql
      Arch             pacman -S postgresql
      macOS            brew install postgresql@17
  * set PG_BIN to a folder that has `initdb` and `postgres`
  * in pg-queue's repository: `cargo xtask postgres 17` fetches the programs from PyPI
looked in:{looked_in}"
    )
}
