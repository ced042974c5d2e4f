//! Where and when something was measured.

use std::{
    env,
    fs::{self, File},
    io::{Seek, Write},
    process::{self, Command},
    thread,
    time::Instant,
};

use anyhow::Result;
use pg_queue_embedded::Server;
use serde::Serialize;
use sqlx::{Connection, PgConnection};

use crate::statistics::Spread;

/// How often a block is written to find out what that costs.
const PROBES: usize = 64;

/// Where and when.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Machine {
    pub(crate) date: String,
    pub(crate) commit: String,
    pub(crate) processors: usize,
    pub(crate) model: String,
    pub(crate) postgres: String,
    /// Of the last minute, before it was begun: above a few tenths, others are at work here.
    pub(crate) load: String,
    /// The median time to write 8 kB and have them on the disk.
    pub(crate) fsync_us: Option<f64>,
}

impl Machine {
    pub(crate) async fn look(server: &Server) -> Result<Machine> {
        let mut connection = PgConnection::connect(&server.admin_url()).await?;
        let now =
            "select to_char(now() at time zone 'utc', 'YYYY-MM-DD HH24:MI \"UTC\"'), current_setting('server_version')";
        let (date, postgres) = sqlx::query_as(now).fetch_one(&mut connection).await?;
        let first_word = |path: &str| fs::read_to_string(path).ok()?.split_whitespace().next().map(str::to_owned);
        let information = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = information.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
        Ok(Machine {
            date,
            commit: commit().unwrap_or_else(|| "unknown".into()),
            processors: thread::available_parallelism().map_or(0, usize::from),
            model: model.map_or_else(|| env::consts::ARCH.into(), |(_, model)| model.trim().to_owned()),
            postgres,
            load: first_word("/proc/loadavg").unwrap_or_else(|| "unknown".into()),
            fsync_us: fsync_us(),
        })
    }
}

fn commit() -> Option<String> {
    let output = Command::new("git").args(["describe", "--always", "--dirty"]).output().ok()?;
    let commit = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| commit.trim().to_owned())
}

/// Beside the server's data, which is in the folder for temporary files, too.
fn fsync_us() -> Option<f64> {
    let path = env::temp_dir().join(format!("bench-{}-fsync", process::id()));
    let mut file = File::create(&path).ok()?;
    // Where the blocks are is decided at the first write. What is measured is the others.
    let times = (0..=PROBES).map_while(|_| {
        file.rewind().ok()?;
        file.write_all(&[0; 8192]).ok()?;
        let start = Instant::now();
        file.sync_data().ok()?;
        Some(start.elapsed().as_secs_f64() * 1e6)
    });
    let times: Vec<f64> = times.skip(1).collect();
    let _ = fs::remove_file(&path);
    Spread::of(times).map(|spread| spread.median.round())
}
