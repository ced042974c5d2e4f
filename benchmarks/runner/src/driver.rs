//! A contestant's program, as the runner sees it: orders go in, lines of JSON come out.

use std::{
    fs::{self, File},
    path::PathBuf,
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

use crate::programs::Program;

/// How long a program may take to connect, warm up and be ready, and to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// How much of what a program said on its standard error an error repeats.
const LAST_WORDS: usize = 5;

/// Killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Driver {
    name: String,
    child: Child,
    input: Option<ChildStdin>,
    output: Lines<BufReader<ChildStdout>>,
    errors: PathBuf,
}

impl Driver {
    /// Starts a command of the program. What it says on its standard error is kept for when it fails.
    pub(crate) fn start(
        program: &Program,
        command: &str,
        url: Option<&str>,
        params: &[(String, String)],
    ) -> Result<Driver> {
        let name = format!("{} {command}", program.name);
        let errors = program.errors.clone();
        let log = File::create(&errors).with_context(|| format!("{} cannot be written", errors.display()))?;
        let (executable, first) = program.command.split_first().context("a program has a name")?;
        let mut process = Command::new(executable);
        process.args(first).arg(command).args(url);
        process.args(params.iter().map(|(key, value)| format!("{key}={value}")));
        process.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log).kill_on_drop(true);
        let mut child = process.spawn().with_context(|| format!("{name} could not be started"))?;
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().context("the output was piped")?).lines();
        Ok(Driver { name, child, input, output, errors })
    }

    /// Runs a command that only answers.
    pub(crate) async fn ask(
        program: &Program,
        command: &str,
        url: Option<&str>,
        params: &[(String, String)],
        limit: Duration,
    ) -> Result<Value> {
        let mut driver = Driver::start(program, command, url, params)?;
        let answer = driver.answer(limit).await?;
        driver.finish().await?;
        Ok(answer)
    }

    /// Waits until it is ready to begin.
    pub(crate) async fn ready(&mut self) -> Result<()> {
        let answer = self.answer(PATIENCE).await?;
        if answer["ready"] != true {
            bail!("{} said {answer} and not that it is ready", self.name);
        }
        Ok(())
    }

    pub(crate) async fn order(&mut self, order: &str) -> Result<()> {
        let input = self.input.as_mut().context("it was let go")?;
        let written = input.write_all(format!("{order}\n").as_bytes()).await;
        written.with_context(|| format!("{} does not listen{}", self.name, self.last_words()))
    }

    /// The next line of JSON; whatever else a program says is not for us. An error that it reports is one.
    pub(crate) async fn answer(&mut self, limit: Duration) -> Result<Value> {
        loop {
            let line = match timeout(limit, self.output.next_line()).await {
                Ok(line) => line?,
                Err(_) => bail!("{} said nothing for {limit:?}{}", self.name, self.last_words()),
            };
            let Some(line) = line else {
                bail!("{} ended without an answer{}", self.name, self.last_words());
            };
            let Ok(answer @ Value::Object(_)) = serde_json::from_str(&line) else { continue };
            if let Some(error) = answer["error"].as_str() {
                bail!("{}: {error}{}", self.name, self.last_words());
            }
            return Ok(answer);
        }
    }

    /// Lets it go, and waits until it has ended and its connections with it.
    pub(crate) async fn finish(mut self) -> Result<()> {
        drop(self.input.take());
        // Workers of some contestants do not want to end. They have nothing to do any more.
        if timeout(Duration::from_secs(5), self.child.wait()).await.is_err() {
            self.child.kill().await.with_context(|| format!("{} could not be killed", self.name))?;
        }
        let _ = fs::remove_file(&self.errors);
        Ok(())
    }

    fn last_words(&self) -> String {
        let said = fs::read_to_string(&self.errors).unwrap_or_default();
        let lines: Vec<&str> = said.lines().collect();
        let last = &lines[lines.len().saturating_sub(LAST_WORDS)..];
        if last.is_empty() { String::new() } else { format!("; its last words: {}", last.join(" / ")) }
    }
}
