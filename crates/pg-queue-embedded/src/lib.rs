//! A private, throw-away PostgreSQL server for demos, examples and tests.
//!
//! It is made from the machine's own `initdb` and `postgres` in about half a second, listens on a socket in a
//! private folder only, and vanishes with the process that started it, however that process ends.
//!
//! In a test, with a server that all tests of the binary share and a database of the test's own:
//!
//! ```
//! use pg_queue_embedded::{Database, shared};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! let database = Database::from_template(shared(), "users", async |pool| {
//!     sqlx::query("create table users (id bigint primary key)").execute(&pool).await?;
//!     Ok(())
//! })
//! .await?;
//! let pool = database.pool().await?;
//! sqlx::query("insert into users values (1)").execute(&pool).await?;
//! # Ok(())
//! # }
//! ```
//!
//! In a demo, with the server that `DATABASE_URL` names or else one of its own:
//!
//! ```
//! use pg_queue_embedded::{Server, Settings};
//!
//! let server = Server::from_env_or_start(Settings::durable())?;
//! println!("connect to {}", server.url("postgres"));
//! # Ok::<(), pg_queue_embedded::StartError>(())
//! ```
//!
//! A test of what survives a crash ends the server with [`Server::halt`] and starts it again on the same data with
//! [`Server::resume`].
//!
//! A private server needs a Unix; elsewhere only given servers work.

#![forbid(unsafe_code)]

mod connection;
mod database;
mod error;
mod halt;
mod server;
mod settings;
mod shared;
mod template;
mod url;

#[cfg(unix)]
mod account;
#[cfg(unix)]
mod find;
#[cfg(unix)]
mod folder;
#[cfg(unix)]
mod keeper;
#[cfg(unix)]
mod pooler;
#[cfg(unix)]
mod shell;

#[cfg(not(unix))]
#[path = "keeper_elsewhere.rs"]
mod keeper;

#[cfg(unix)]
pub use crate::pooler::{Pooler, shared_pooler};
pub use crate::{
    database::Database,
    error::{DatabaseError, HaltError, StartError},
    halt::Halt,
    server::Server,
    settings::Settings,
    shared::shared,
};
