//! The other end of the line: what the runner wants, and what it is told.

use std::{
    io::{self, BufRead, Write},
    thread,
};

use anyhow::{Context, Result, bail};
use serde::Serialize;
use tokio::sync::mpsc;

/// What the runner says while something is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Begin.
    Go,
    /// Say what has come of it so far.
    Sample,
    /// There are so many jobs in all, the first `skip` of them for warming up: end when they are done.
    Expect { jobs: u64, skip: usize },
}

/// The orders as they come.
#[derive(Debug)]
pub(crate) struct Orders(mpsc::UnboundedReceiver<Result<Order>>);

impl Orders {
    /// Reads standard input on a thread of its own: a runtime would wait for a task that blocks.
    pub(crate) fn listen() -> Self {
        let (sender, orders) = mpsc::unbounded_channel();
        thread::spawn(move || {
            for line in io::stdin().lock().lines().map_while(Result::ok) {
                if sender.send(parse(&line)).is_err() {
                    break;
                }
            }
        });
        Self(orders)
    }

    /// The next one; `None` when the runner has let go.
    pub(crate) async fn next(&mut self) -> Result<Option<Order>> {
        self.0.recv().await.transpose()
    }

    /// Says that all is ready, and waits for the beginning.
    pub(crate) async fn ready(&mut self) -> Result<()> {
        say(&serde_json::json!({ "ready": true }))?;
        match self.next().await? {
            Some(Order::Go) => Ok(()),
            other => bail!("the runner said {other:?} and not go"),
        }
    }

    /// Waits until the runner lets go.
    pub(crate) async fn end(&mut self) -> Result<()> {
        while self.next().await?.is_some() {}
        Ok(())
    }
}

fn parse(line: &str) -> Result<Order> {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words[..] {
        ["go"] => Ok(Order::Go),
        ["sample"] => Ok(Order::Sample),
        ["expect", jobs, skip] => Ok(Order::Expect {
            jobs: jobs.parse().with_context(|| format!("{jobs:?} is no number"))?,
            skip: skip.parse().with_context(|| format!("{skip:?} is no number"))?,
        }),
        _ => bail!("{line:?} is no order"),
    }
}

/// Tells the runner something, in one line.
pub(crate) fn say(what: &impl Serialize) -> Result<()> {
    let mut output = io::stdout().lock();
    writeln!(output, "{}", serde_json::to_string(what)?)?;
    output.flush().context("the runner does not listen")
}

#[cfg(test)]
mod tests {
    use super::{Order, parse};

    #[test]
    fn orders_are_words() {
        assert_eq!(parse("go").ok(), Some(Order::Go));
        assert_eq!(parse("expect 100 20").ok(), Some(Order::Expect { jobs: 100, skip: 20 }));
        for wrong in ["", "went", "expect 100", "expect many 0"] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
