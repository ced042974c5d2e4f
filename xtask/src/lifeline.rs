//! What a process of this program knows of the one that has started it: see `process.rs`.

use std::{
    env,
    io::{self, Read},
    thread,
};

use anyhow::{Context, Result, anyhow};
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;

/// The settings that this process was started with. `command` is what starts such processes.
pub(crate) fn settings<T: DeserializeOwned>(variable: &str, command: &str) -> Result<T> {
    let settings = env::var(variable).with_context(|| format!("this is a part of `{command}`, which starts it"))?;
    // The error would quote what it could not read, which may hold a password.
    serde_json::from_str(&settings).map_err(|_| anyhow!("{variable} cannot be read"))
}

/// Resolves at the end of the standard input, whose other end is held by the process that has started this one: however
/// that ends, this one does, too.
pub(crate) async fn cut() {
    let (ended, end) = oneshot::channel();
    // Not a task: a runtime waits for tasks that block.
    thread::spawn(move || {
        let mut input = io::stdin().lock();
        let mut ignored = [0; 64];
        while matches!(input.read(&mut ignored), Ok(1..)) {}
        let _ = ended.send(());
    });
    let _ = end.await;
}
