//! Doing what is planned, and noting what was done when.

use std::{fmt, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use pg_queue_embedded::{Halt, Server};
use sqlx::PgPool;
use tokio::{
    task::spawn_blocking,
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

impl Stage<'_> {
    /// Carries a plan out that began at this moment. `note` hears of all that was done until now.
    pub(super) async fn carry_out(&mut self, plan: &[Step], began: Instant, note: impl Fn(&Faults)) -> Result<Faults> {
        let mut faults = Faults::default();
        // Whatever takes long, as the start of a server may, puts all else off: what is planned between two deeds stays so.
        let mut late = Duration::ZERO;
        for step in plan {
            sleep_until(began + step.at + late).await;
            let due = Instant::now();
            self.fleet.look_after()?;
            match step.what {
                What::Kill(worker) => faults.begin(Kind::Killed, self.fleet.kill(worker).await?),
                What::Stop(worker) => faults.begin(Kind::Stopped, self.fleet.stop(worker)?),
                What::Continue(worker) => faults.end(Kind::Stopped, self.fleet.go_on(worker)?),
                What::Cut(worker, loss) => faults.begin(Kind::Cut, self.fleet.cut(worker, loss)),
                What::Heal(worker) => faults.end(Kind::Cut, self.fleet.heal(worker)),
                // The connection that asks may have been ended by a crash just before.
                What::EndBackends { all } => faults.backends += tables::end_backends(self.pool, all).await.unwrap_or(0),
                What::Restart => {
                    self.restart().await?;
                    faults.restarts += 1;
                }
            }
            note(&faults);
            late += due.elapsed();
        }
        Ok(faults)
    }

    async fn restart(&self) -> Result<()> {
        let server = Arc::clone(self.server);
        let restarted = spawn_blocking(move || -> Result<()> {
            server.halt(Halt::Immediate)?;
            Ok(server.resume()?)
        });
        restarted.await?.context("the server did not survive its crash")
    }
}
