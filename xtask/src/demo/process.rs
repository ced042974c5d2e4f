//! A worker process, as the demo sees it.

use std::time::Duration;

use anyhow::{Context, Error, Result, bail};
use tokio::time::timeout;

use super::{jobs::HOLDING, worker};
use crate::process::Process;

/// How long a worker may take from its start until it holds its jobs.
const LIMIT: Duration = Duration::from_secs(60);

/// A worker process of the demo.
#[derive(Debug)]
pub(super) struct WorkerProcess(Process);

impl WorkerProcess {
    pub(super) fn start(settings: &worker::WorkerSettings) -> Result<WorkerProcess> {
        Process::start(&settings.name, "demo-worker", worker::SETTINGS, settings).map(WorkerProcess)
    }

    /// Waits until the worker has begun this many jobs that it does not end.
    pub(super) async fn holds(&mut self, jobs: usize) -> Result<()> {
        let held = async {
            for _ in 0..jobs {
                while self.0.line().await?.context("it ended")? != HOLDING {}
            }
            Ok(())
        };
        let held = timeout(LIMIT, held).await.unwrap_or_else(|_| bail!("it did not within {LIMIT:?}"));
        held.with_context(|| format!("{} was to begin its jobs", self.0.name()))
    }

    /// Resolves when the worker ends, which it should not.
    pub(super) async fn ended(&mut self) -> Error {
        self.0.ended().await
    }

    /// Kills the worker with SIGKILL, without any warning, and answers its process number.
    pub(super) async fn kill(self) -> Result<u32> {
        self.0.kill().await
    }

    /// Asks the worker to end, and waits for it.
    pub(super) async fn finish(self) -> Result<()> {
        self.0.finish().await
    }
}
