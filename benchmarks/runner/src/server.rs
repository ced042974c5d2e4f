//! The server that is measured on, and a database for each run.

use std::{path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use pg_queue_embedded::{Database, Server, Settings};
use sqlx::{Connection, PgConnection};

use crate::{broker::Broker, driver::Driver, measure::Meter, programs::Program, scenarios::Steps};

/// What a private server is set to, beside PostgreSQL's defaults. The first three are defaults, and said so that nobody
/// has to wonder; the others are what an operator of a machine of this size sets.
pub(crate) const SETTINGS: [(&str, &str); 7] = [
    ("fsync", "on"),
    ("synchronous_commit", "on"),
    ("full_page_writes", "on"),
    ("shared_buffers", "512MB"),
    // A checkpoint in the middle of one run and not of another would be luck.
    ("max_wal_size", "8GB"),
    ("checkpoint_timeout", "30min"),
    ("max_connections", "300"),
];

/// Tables are made at once.
const SETTING_UP: Duration = Duration::from_secs(60);

/// A million jobs one by one take minutes.
const FILLING: Duration = Duration::from_secs(900);

/// A year, which no run takes.
const REST: &str = "31536000";

/// Starts a private server, or uses the one that was given.
pub(crate) fn start(url: Option<&str>) -> Result<Server> {
    if let Some(url) = url {
        return Ok(Server::given(url)?);
    }
    let settings = SETTINGS.iter().fold(Settings::durable(), |settings, (name, value)| settings.with(*name, *value));
    let server = Server::start(settings)?;
    if let Some(folder) = server.data_dir() {
        ensure!(
            !is_in_memory(&folder),
            "{} is in memory, where nothing is durable: set TMPDIR to a folder on a disk that all may write to",
            folder.display()
        );
    }
    Ok(server)
}

/// Where an fsync costs nothing, what is measured is another database.
#[cfg(target_os = "linux")]
fn is_in_memory(path: &Path) -> bool {
    const TMPFS_MAGIC: u64 = 0x0102_1994;
    // The data directory itself may be another user's; the folder around it is on the same disk.
    path.ancestors().find_map(|it| rustix::fs::statfs(it).ok()).is_some_and(|stat| stat.f_type as u64 == TMPFS_MAGIC)
}

#[cfg(not(target_os = "linux"))]
fn is_in_memory(_path: &Path) -> bool {
    false
}

/// What a contestant works on: a database of its own, or a server of its own.
#[derive(Debug)]
enum Place {
    Database(Box<Database>),
    Broker(Broker),
}

/// A place with a contestant's tables and jobs, in the state in which every run begins.
#[derive(Debug)]
pub(crate) struct Prepared {
    place: Place,
    pub(crate) meter: Meter,
}

impl Prepared {
    pub(crate) async fn new(
        server: &Server,
        program: &Program,
        steps: &Steps,
        params: &[(String, String)],
    ) -> Result<Prepared> {
        if let Some(kind) = program.broker {
            let broker = Broker::start(kind).await?;
            Driver::ask(program, "setup", Some(broker.url()), params, SETTING_UP).await?;
            let meter = Meter::new(Some(broker.pid()), None);
            return Ok(Prepared { place: Place::Broker(broker), meter });
        }
        let database = Database::create(server).await?;
        let url = Some(database.url());
        Driver::ask(program, "setup", url, params, SETTING_UP).await?;
        for (jobs, delay) in [(steps.resting, REST), (steps.preload, "0")] {
            if jobs > 0 {
                let mut params = params.to_vec();
                params.extend(
                    [("jobs", jobs.to_string()), ("delay", delay.into())].map(|(key, value)| (key.into(), value)),
                );
                Driver::ask(program, "preload", url, &params, FILLING).await?;
            }
        }
        let mut connection = PgConnection::connect(database.url()).await?;
        // Each run begins with the same statistics, and without dirty pages of the one before.
        for statement in ["vacuum analyze", "checkpoint"] {
            sqlx::query(statement).execute(&mut connection).await.with_context(|| format!("{statement} failed"))?;
        }
        let meter = Meter::new(server.pid(), Some(connection));
        Ok(Prepared { place: Place::Database(Box::new(database)), meter })
    }

    pub(crate) fn url(&self) -> &str {
        match &self.place {
            Place::Database(database) => database.url(),
            Place::Broker(broker) => broker.url(),
        }
    }
}

/// A session that holds a snapshot open for as long as this lives.
#[derive(Debug)]
pub(crate) struct HeldSnapshot {
    _connection: PgConnection,
}

impl HeldSnapshot {
    pub(crate) async fn take(url: &str) -> Result<HeldSnapshot> {
        let mut connection = PgConnection::connect(url).await?;
        sqlx::raw_sql("begin isolation level repeatable read; select 1").execute(&mut connection).await?;
        Ok(HeldSnapshot { _connection: connection })
    }
}
