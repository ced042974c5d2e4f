//! Another process of this program, as the one that starts it sees it.

use std::{env, path::Path, process::Stdio, time::Duration};

use anyhow::{Context, Error, Result, anyhow, bail, ensure};
use serde::Serialize;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

/// How long it may take to end when it is asked to.
const END_LIMIT: Duration = Duration::from_secs(60);

/// Killed when this is dropped, and ended by the end of its standard input when we are killed ourselves: see
/// `lifeline.rs` for the other end of it.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    /// Taken out of the child: waiting for that would close it.
    input: Option<ChildStdin>,
    output: Lines<BufReader<ChildStdout>>,
}

impl Process {
    /// Starts this program once more, with another subcommand. Its settings go into a variable, which is not for
    /// everybody to read, as an argument is.
    pub(crate) fn start(name: &str, subcommand: &str, variable: &str, settings: &impl Serialize) -> Result<Process> {
        // A program that was built anew since its start would be another one under the old name.
        let this = Path::new("/proc/self/exe");
        let this = if this.exists() { this.to_path_buf() } else { env::current_exe()? };
        let mut command = Command::new(this);
        command.arg(subcommand).env(variable, serde_json::to_string(settings)?);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        #[cfg(unix)]
        // A group of its own, which Ctrl-C in our terminal does not reach: that is for us to handle.
        command.arg0("xtask").process_group(0);
        let mut child = command.spawn().with_context(|| format!("{name} could not be started"))?;
        let input = child.stdin.take();
        let output = child.stdout.take().context("the output was piped")?;
        Ok(Process { name: name.to_owned(), child, input, output: BufReader::new(output).lines() })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Its number, while it has not ended.
    pub(crate) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Says how it ended, if it has.
    pub(crate) fn has_ended(&mut self) -> Option<String> {
        let ended = self.child.try_wait().ok().flatten();
        ended.map(|status| format!("{} ended too early: {status}", self.name))
    }

    /// The next line of its standard output; `None` at its end.
    pub(crate) async fn line(&mut self) -> Result<Option<String>> {
        Ok(self.output.next_line().await?)
    }

    /// Resolves when the process ends, which it should not.
    pub(crate) async fn ended(&mut self) -> Error {
        match self.child.wait().await {
            Ok(status) => anyhow!("{} ended too early: {status}", self.name),
            Err(error) => anyhow!("{} cannot be waited for: {error}", self.name),
        }
    }

    /// Kills it with SIGKILL, without any warning, and answers its number.
    pub(crate) async fn kill(mut self) -> Result<u32> {
        let (Some(number), None) = (self.child.id(), self.child.try_wait()?) else {
            return Err(self.ended().await);
        };
        self.child.start_kill().with_context(|| format!("{} could not be killed", self.name))?;
        self.child.wait().await?;
        Ok(number)
    }

    /// Asks it to end, and waits for that.
    pub(crate) async fn finish(mut self) -> Result<()> {
        drop(self.input.take());
        let Ok(status) = timeout(END_LIMIT, self.child.wait()).await else {
            bail!("{} did not end within {END_LIMIT:?}", self.name);
        };
        let status = status?;
        ensure!(status.success(), "{} failed at its end: {status}", self.name);
        Ok(())
    }
}
