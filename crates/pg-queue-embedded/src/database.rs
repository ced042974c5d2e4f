//! A database of a test's own.

use std::{
    error::Error,
    fmt,
    future::Future,
    process,
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use sqlx::{
    PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::{runtime, time::timeout};

use crate::{
    DatabaseError, Server,
    connection::{connect, create_database, describe, parse, run},
    template,
};

/// How long dropping may hold up a test.
const DROP_LIMIT: Duration = Duration::from_secs(5);

/// The connections of a pool, unless asked for another number.
const POOL: u32 = 10;

/// A database of its own on a server, dropped together with its connections when this value is dropped.
///
/// Dropping blocks the thread for some milliseconds, and 5 seconds at most; what goes wrong then is ignored. A process
/// that is killed leaves its databases, named `pgq_test_...`, on a given server; a private server goes with it.
///
/// ```
/// use pg_queue_embedded::{Database, shared};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let database = Database::create(shared()).await?;
/// let pool = database.pool().await?;
/// let name: String = sqlx::query_scalar("select current_database()::text").fetch_one(&pool).await?;
/// assert_eq!(name, database.name());
/// # Ok(())
/// # }
/// ```
pub struct Database {
    name: String,
    url: String,
    options: PgConnectOptions,
    admin: PgConnectOptions,
}

impl Database {
    /// A new empty database with a unique name.
    ///
    /// # Errors
    ///
    /// If the server is not reached within 10 seconds, or its user may not create databases.
    pub async fn create(server: &Server) -> Result<Database, DatabaseError> {
        let admin = server.admin_options().map_err(DatabaseError::Url)?;
        let mut connection = connect(&admin).await?;
        // Unlike `template1`, this one never has connections, which would forbid a copy.
        Database::copy(server, admin, &mut connection, "template0").await
    }

    /// A new database with a unique name, a copy of a template that is made once per server and template name.
    ///
    /// If there is no such template yet, `prepare` gets a pool on an empty database, and what it leaves there is the
    /// template. Meanwhile everybody else who asks for the template waits, in this process and in
    /// others, for 2 minutes at most. If it fails
    /// or is cancelled, nothing is left, and the next caller tries again.
    ///
    /// On a given server the template stays, as database `pgq_template_<name>`. So whoever changes what `prepare` does
    /// must change the name too: let it contain a hash of the migrations. It has 1 to 40 characters from `a-z`, `0-9`
    /// and `_`.
    ///
    /// # Errors
    ///
    /// If the server is not reached within 10 seconds, its user may not create databases, the name is none, or
    /// `prepare` fails.
    pub async fn from_template<F, Fut>(server: &Server, template: &str, prepare: F) -> Result<Database, DatabaseError>
    where
        F: FnOnce(PgPool) -> Fut,
        Fut: Future<Output = Result<(), Box<dyn Error + Send + Sync>>>,
    {
        let admin = server.admin_options().map_err(DatabaseError::Url)?;
        let mut connection = connect(&admin).await?;
        let template = template::ensure(&admin, &mut connection, template, prepare).await?;
        Database::copy(server, admin, &mut connection, &template).await
    }

    async fn copy(
        server: &Server,
        admin: PgConnectOptions,
        connection: &mut PgConnection,
        template: &str,
    ) -> Result<Database, DatabaseError> {
        let name = unique_name();
        let url = server.url(&name);
        let options = parse(&url).map_err(DatabaseError::Url)?;
        // Made before the database, so that its drop cleans up when this future is cancelled.
        let database = Database { name, url, options, admin };
        create_database(connection, &database.name, template).await?;
        Ok(database)
    }

    /// The name, made of `a-z`, `0-9` and `_`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The URL, with the password if the server's URL has one.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The same as [`Database::url`], ready to connect with.
    pub fn connect_options(&self) -> PgConnectOptions {
        self.options.clone()
    }

    /// A new pool of up to 10 connections, at every call.
    ///
    /// # Errors
    ///
    /// If the server is not reached within 30 seconds.
    pub async fn pool(&self) -> Result<PgPool, DatabaseError> {
        self.pool_of(POOL).await
    }

    /// A new pool of up to so many connections, at every call.
    ///
    /// # Errors
    ///
    /// If the server is not reached within 30 seconds.
    pub async fn pool_of(&self, max_connections: u32) -> Result<PgPool, DatabaseError> {
        let options = PgPoolOptions::new().max_connections(max_connections);
        let pool = options.connect_with(self.connect_options()).await;
        pool.map_err(|source| DatabaseError::Connect { server: describe(&self.options), source })
    }
}

/// Shows no password.
impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Database").field(&describe(&self.options)).finish()
    }
}

impl Drop for Database {
    /// On a thread with a runtime of its own, because ours may be none, or be shutting down.
    fn drop(&mut self) {
        let admin = self.admin.clone();
        let statement = format!("drop database if exists \"{}\" with (force)", self.name);
        let dropping = thread::Builder::new().name("drop database".into()).spawn(move || {
            let Ok(runtime) = runtime::Builder::new_current_thread().enable_all().build() else {
                return;
            };
            let dropping = async { run(&mut connect(&admin).await?, statement).await };
            let _ = runtime.block_on(async { timeout(DROP_LIMIT, dropping).await });
            // Looking up a host's name cannot be cancelled: do not wait for that.
            runtime.shutdown_background();
        });
        if let Ok(dropping) = dropping {
            let _ = dropping.join();
        }
    }
}

/// Unique on the server, whatever the processes, containers and machines that use it.
fn unique_name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    format!("pgq_test_{}_{nanos:x}_{count}", process::id())
}
