//! The worker processes, each with a network of its own.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use pg_queue_embedded::Database;
use rustix::process::{Pid, Signal, kill_process};

use super::{
    clock::Moment,
    proxy::{Loss, Proxy, Target},
    worker::{SETTINGS, WorkerSettings},
};
use crate::process::Process;

/// The worker processes. Those that are killed are replaced.
#[derive(Debug)]
pub(super) struct Fleet {
    url: String,
    target: Target,
    heartbeat: Duration,
    /// Where the logs are.
    folder: PathBuf,
    members: Vec<Member>,
    /// How many processes there have been.
    pub(super) processes: u32,
    /// Those that ended although nobody wanted it, and how.
    pub(super) crashes: Vec<String>,
}

#[derive(Debug)]
struct Member {
    proxy: Proxy,
    process: Process,
    /// Which process this is.
    number: u32,
}

impl Fleet {
    pub(super) async fn start(count: usize, database: &Database, heartbeat: Duration, folder: &Path) -> Result<Fleet> {
        let mut fleet = Fleet {
            url: database.url().to_owned(),
            target: Target::of(database),
            heartbeat,
            folder: folder.to_path_buf(),
            members: Vec::new(),
            processes: 0,
            crashes: Vec::new(),
        };
        for _ in 0..count {
            let proxy = Proxy::start(&fleet.target).await?;
            let (number, process) = fleet.launch(proxy.port())?;
            fleet.members.push(Member { proxy, process, number });
        }
        Ok(fleet)
    }

    /// The log of a process, counted from 1.
    pub(super) fn log(folder: &Path, process: u32) -> PathBuf {
        folder.join(format!("process-{process}.log"))
    }

    fn launch(&mut self, port: u16) -> Result<(u32, Process)> {
        self.processes += 1;
        let process = self.processes;
        let url = self.target.url_through(&self.url, port);
        let log = Fleet::log(&self.folder, process);
        let settings = WorkerSettings { url, process, heartbeat: self.heartbeat, log };
        Ok((process, Process::start(&format!("process {process}"), "chaos-worker", SETTINGS, &settings)?))
    }

    /// Kills one with SIGKILL, without any warning, and starts another in its place. Answers which was killed, and when.
    pub(super) async fn kill(&mut self, member: usize) -> Result<(u32, Moment)> {
        let victim = self.signal(member, Signal::KILL)?;
        let (number, process) = self.launch(self.members[member].proxy.port())?;
        let member = &mut self.members[member];
        member.number = number;
        // It is no news how this one ended.
        let _ = std::mem::replace(&mut member.process, process).ended().await;
        Ok(victim)
    }

    pub(super) fn stop(&self, member: usize) -> Result<(u32, Moment)> {
        self.signal(member, Signal::STOP)
    }

    pub(super) fn go_on(&self, member: usize) -> Result<(u32, Moment)> {
        self.signal(member, Signal::CONT)
    }

    /// The moment is the one before the signal is sent.
    fn signal(&self, member: usize, signal: Signal) -> Result<(u32, Moment)> {
        let Member { process, number, .. } = &self.members[member];
        let at = Moment::now();
        if let Some(id) = process.id().and_then(|id| Pid::from_raw(id.cast_signed())) {
            kill_process(id, signal).with_context(|| format!("no signal to {}", process.name()))?;
        }
        Ok((*number, at))
    }

    pub(super) fn cut(&self, member: usize, loss: Loss) -> (u32, Moment) {
        let Member { proxy, number, .. } = &self.members[member];
        let at = Moment::now();
        proxy.cut(loss);
        (*number, at)
    }

    pub(super) fn heal(&self, member: usize) -> (u32, Moment) {
        let Member { proxy, number, .. } = &self.members[member];
        proxy.heal();
        (*number, Moment::now())
    }

    /// Notes who has ended by himself, and replaces him.
    pub(super) fn look_after(&mut self) -> Result<()> {
        for member in 0..self.members.len() {
            if let Some(crash) = self.members[member].process.has_ended() {
                self.crashes.push(crash);
                let (number, process) = self.launch(self.members[member].proxy.port())?;
                let old = &mut self.members[member];
                (old.number, old.process) = (number, process);
            }
        }
        Ok(())
    }

    /// Asks all to end, and waits for that. Answers those that ended although nobody wanted it, or not as they should.
    pub(super) async fn finish(mut self) -> Vec<String> {
        for member in self.members {
            if let Err(error) = member.process.finish().await {
                self.crashes.push(format!("{error:#}"));
            }
        }
        self.crashes
    }
}
