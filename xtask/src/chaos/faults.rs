//! Doing what is planned, and noting what was done when.

use std::{fmt, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use pg_queue_embedded::{Halt, Server};
use sqlx::PgPool;
use tokio::{
    task::{JoinHandle, spawn_blocking},
    time::{Instant, sleep_until},
};

use super::{
    clock::Moment,
    fleet::Fleet,
    plan::{Step, What},
    tables,
};

/// Something that was done to a process.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Fault {
    pub(super) what: Kind,
    pub(super) process: u32,
    pub(super) from: Moment,
    /// When it was over; a kill is over at once.
    pub(super) until: Moment,
}

/// What was done to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Killed,
    Stopped,
    Cut,
}

/// All that was done.
#[derive(Debug, Clone, Default)]
pub(super) struct Faults {
    pub(super) done: Vec<Fault>,
    pub(super) restarts: u64,
    /// Connections that the server was told to end.
    pub(super) backends: u64,
}

/// A line beside the logs of the processes.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} process {} {} until {}", self.from, self.process, self.what, self.until)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Killed => "killed",
            Kind::Stopped => "stopped",
            Kind::Cut => "cut off",
        })
    }
}

impl Faults {
    pub(super) fn count(&self, what: Kind) -> u64 {
        self.done.iter().filter(|fault| fault.what == what).count() as u64
    }

    fn begin(&mut self, what: Kind, (process, from): (u32, Moment)) {
        self.done.push(Fault { what, process, from, until: from });
    }

    fn end(&mut self, what: Kind, (process, until): (u32, Moment)) {
        let mut latest_first = self.done.iter_mut().rev();
        if let Some(fault) = latest_first.find(|fault| (fault.what, fault.process) == (what, process)) {
            fault.until = until;
        }
    }
}

/// What the plan is carried out on.
pub(super) struct Stage<'a> {
    pub(super) fleet: &'a mut Fleet,
    pub(super) server: &'a Arc<Server>,
    pub(super) pool: &'a PgPool,
}

/// Something that is over at a given time.
type End = (Instant, Kind, usize);

impl Stage<'_> {
    /// Carries a plan out that began at this moment. `note` hears of all that was done until now.
    ///
    /// A server may take its time to come back. Until then nothing new happens, and everything that follows is put off by as
    /// much; but whatever has begun is over when it should be.
    pub(super) async fn carry_out(&mut self, plan: &[Step], began: Instant, note: impl Fn(&Faults)) -> Result<Faults> {
        let mut faults = Faults::default();
        let mut ends: Vec<End> = Vec::new();
        let mut late = Duration::ZERO;
        let mut restarting: Option<(Instant, JoinHandle<Result<()>>)> = None;
        let mut plan = plan.iter();
        let mut next = plan.next();
        loop {
            let end = ends.iter().map(|(at, ..)| *at).min();
            let step = next.map(|step| began + step.at + late);
            tokio::select! {
                done = restarted(&mut restarting), if restarting.is_some() => {
                    late += done?;
                    restarting = None;
                    faults.restarts += 1;
                }
                () = sleep_until(end.unwrap_or(began)), if end.is_some() => self.end(&mut ends, &mut faults)?,
                () = sleep_until(step.unwrap_or(began)), if step.is_some() && restarting.is_none() => {
                    self.fleet.look_after()?;
                    match next.map(|step| step.what) {
                        Some(What::Restart) => restarting = Some((Instant::now(), self.restart())),
                        Some(what) => ends.extend(self.begin(what, &mut faults).await?),
                        None => {}
                    }
                    next = plan.next();
                }
                else => return Ok(faults),
            }
            note(&faults);
        }
    }

    async fn begin(&mut self, what: What, faults: &mut Faults) -> Result<Option<End>> {
        let now = Instant::now();
        match what {
            What::Kill(worker) => faults.begin(Kind::Killed, self.fleet.kill(worker).await?),
            What::Stop(worker, lasts) => {
                faults.begin(Kind::Stopped, self.fleet.stop(worker)?);
                return Ok(Some((now + lasts, Kind::Stopped, worker)));
            }
            What::Cut(worker, lasts, loss) => {
                faults.begin(Kind::Cut, self.fleet.cut(worker, loss));
                return Ok(Some((now + lasts, Kind::Cut, worker)));
            }
            // The connection that asks may have been ended itself, by a crash just before.
            What::EndBackends { all } => faults.backends += tables::end_backends(self.pool, all).await.unwrap_or(0),
            What::Restart => {}
        }
        Ok(None)
    }

    fn end(&mut self, ends: &mut Vec<End>, faults: &mut Faults) -> Result<()> {
        let now = Instant::now();
        for (_, kind, worker) in ends.extract_if(.., |(at, ..)| *at <= now) {
            let ended = if kind == Kind::Cut { self.fleet.heal(worker) } else { self.fleet.go_on(worker)? };
            faults.end(kind, ended);
        }
        Ok(())
    }

    fn restart(&self) -> JoinHandle<Result<()>> {
        let server = Arc::clone(self.server);
        spawn_blocking(move || {
            server.halt(Halt::Immediate)?;
            Ok(server.resume()?)
        })
    }
}

/// Waits for the server, and answers how long it took.
async fn restarted(restarting: &mut Option<(Instant, JoinHandle<Result<()>>)>) -> Result<Duration> {
    let Some((began, restart)) = restarting else { return Ok(Duration::ZERO) };
    restart.await?.context("the server did not survive its crash")?;
    Ok(began.elapsed())
}
