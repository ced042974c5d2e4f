//! What a server has used, before and after.

use std::fs;

use anyhow::Result;
use sqlx::PgConnection;

/// Looks at a server from outside and from inside.
#[derive(Debug)]
pub(crate) struct Meter {
    /// The server's first process, when it is one of this machine's.
    pid: Option<u32>,
    /// `None` where the server is no PostgreSQL and has nothing to say about itself.
    connection: Option<PgConnection>,
}

/// What a server had used at some moment since it was started.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Used {
    /// Microseconds of processor time of all its processes, dead ones included.
    pub(crate) cpu_us: Option<f64>,
    /// Bytes of write-ahead log.
    pub(crate) wal: Option<f64>,
}

impl Meter {
    pub(crate) fn new(pid: Option<u32>, connection: Option<PgConnection>) -> Self {
        Self { pid, connection }
    }

    /// Asks the database first, so that what asking costs is the same on both sides of a run.
    pub(crate) async fn used(&mut self) -> Result<Used> {
        let wal = self.ask("select (pg_current_wal_insert_lsn() - '0/0')::float8").await?;
        Ok(Used { cpu_us: self.cpu_us(), wal })
    }

    async fn ask(&mut self, query: &'static str) -> Result<Option<f64>> {
        let Some(connection) = &mut self.connection else { return Ok(None) };
        Ok(Some(sqlx::query_scalar(query).fetch_one(connection).await?))
    }

    /// The processor time alone, without asking the database for anything.
    pub(crate) fn cpu_us(&self) -> Option<f64> {
        server_ticks(self.pid?).map(|ticks| ticks as f64 * 1e6 / rustix::param::clock_ticks_per_second() as f64)
    }

    /// Transactions of this database. What a session did is only known for sure when it has ended or has done something
    /// more than a second later.
    pub(crate) async fn transactions(&mut self) -> Result<Option<f64>> {
        self.ask(
            "select (xact_commit + xact_rollback)::float8 from pg_stat_database where datname = current_database()",
        )
        .await
    }

    /// How many connections this database has beside the meter's own.
    pub(crate) async fn connections(&mut self) -> Result<Option<f64>> {
        self.ask(
            "select count(*)::float8 from pg_stat_activity
            where datname = current_database() and backend_type = 'client backend' and pid <> pg_backend_pid()",
        )
        .await
    }
}

/// Of the first process, its children, and those that have ended and that it has waited for.
fn server_ticks(postmaster: u32) -> Option<u64> {
    let mut ticks = Stat::read(postmaster)?.with_dead_children;
    for entry in fs::read_dir("/proc").ok()?.flatten() {
        let pid = entry.file_name().to_string_lossy().parse().ok();
        let stat = pid.and_then(Stat::read).filter(|stat| stat.parent == postmaster);
        ticks += stat.map_or(0, |stat| stat.own);
    }
    Some(ticks)
}

struct Stat {
    parent: u32,
    own: u64,
    with_dead_children: u64,
}

impl Stat {
    fn read(pid: u32) -> Option<Stat> {
        Stat::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// The second field is the program's name in brackets, and may hold anything.
    fn parse(line: &str) -> Option<Stat> {
        let fields: Vec<&str> = line.rsplit_once(')')?.1.split_whitespace().collect();
        let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
        let own = number(11)? + number(12)?;
        Some(Stat { parent: u32::try_from(number(1)?).ok()?, own, with_dead_children: own + number(13)? + number(14)? })
    }
}

#[cfg(test)]
mod tests {
    use super::{Stat, server_ticks};

    #[test]
    fn a_process_is_read_whatever_its_name() {
        let line = "42 (a ) b) S 7 42 42 0 -1 4194560 1 2 3 4 100 20 3000 400 20 0 1 0";
        let stat = Stat::parse(line).expect("all fields are there");
        assert_eq!((stat.parent, stat.own, stat.with_dead_children), (7, 120, 3520));
        assert!(Stat::parse("42 (short) S 7").is_none());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_process_that_is_not_there_has_used_nothing() {
        assert!(server_ticks(std::process::id()).is_some());
        assert_eq!(server_ticks(u32::MAX), None);
    }
}
