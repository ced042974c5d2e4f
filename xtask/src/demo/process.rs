//! A worker process, as the demo sees it.

use std::{env, path::Path, process::Stdio, time::Duration};

use anyhow::{Context, Error, Result, anyhow, bail, ensure};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

use super::{jobs::HOLDING, worker};

/// How long a worker may take from its start until it holds its jobs, and for its end.
const LIMIT: Duration = Duration::from_secs(60);

/// Killed when this is dropped, and ended by the end of its standard input when we are killed ourselves.
#[derive(Debug)]
pub(super) struct WorkerProcess {
    name: String,
    child: Child,
    /// Taken out of the child: waiting for that would close it.
    input: Option<ChildStdin>,
    output: Lines<BufReader<ChildStdout>>,
}

impl WorkerProcess {
    pub(super) fn start(settings: &worker::WorkerSettings) -> Result<WorkerProcess> {
        // A program that was built anew since its start would be another one under the old name.
        let this = Path::new("/proc/self/exe");
        let this = if this.exists() { this.to_path_buf() } else { env::current_exe()? };
        let mut command = Command::new(this);
        command.arg("demo-worker").env(worker::SETTINGS, serde_json::to_string(settings)?);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        #[cfg(unix)]
        // A group of its own, which Ctrl-C in our terminal does not reach: that is for us to handle.
        command.arg0("xtask").process_group(0);
        let name = settings.name.clone();
        let mut child = command.spawn().with_context(|| format!("{name} could not be started"))?;
        let input = child.stdin.take();
        let output = child.stdout.take().context("the output was piped")?;
        Ok(WorkerProcess { name, child, input, output: BufReader::new(output).lines() })
    }

    /// Waits until the worker has begun this many jobs that it does not end.
    pub(super) async fn holds(&mut self, jobs: usize) -> Result<()> {
        let held = async {
            for _ in 0..jobs {
                while self.output.next_line().await?.context("it ended")? != HOLDING {}
            }
            Ok(())
        };
        let held = timeout(LIMIT, held).await.unwrap_or_else(|_| bail!("it did not within {LIMIT:?}"));
        held.with_context(|| format!("{} was to begin its jobs", self.name))
    }

    /// Resolves when the worker ends, which it should not.
    pub(super) async fn ended(&mut self) -> Error {
        match self.child.wait().await {
            Ok(status) => anyhow!("{} ended too early: {status}", self.name),
            Err(error) => anyhow!("{} cannot be waited for: {error}", self.name),
        }
    }

    /// Kills the worker with SIGKILL, without any warning, and answers its process number.
    pub(super) async fn kill(mut self) -> Result<u32> {
        let (Some(process), None) = (self.child.id(), self.child.try_wait()?) else {
            return Err(self.ended().await);
        };
        self.child.start_kill().with_context(|| format!("{} could not be killed", self.name))?;
        self.child.wait().await?;
        Ok(process)
    }

    /// Asks the worker to end, and waits for it.
    pub(super) async fn finish(mut self) -> Result<()> {
        drop(self.input.take());
        let Ok(status) = timeout(LIMIT, self.child.wait()).await else {
            bail!("{} did not end within {LIMIT:?}", self.name);
        };
        let status = status?;
        ensure!(status.success(), "{} failed at its end: {status}", self.name);
        Ok(())
    }
}
