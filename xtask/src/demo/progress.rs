//! Progress: published by the workers, shown as a bar, and looked up in the table when a message may be missing.

use std::{
    collections::BTreeMap,
    fmt,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use pg_queue::{Listener, PgQueue, RecvError};
use serde::{Deserialize, Serialize};

use crate::numbers::thousands;

pub(super) const CHANNEL: &str = "demo_progress";

/// How often the table is looked at although no message is missing: messages end with the worker that sends them.
const LOOK: Duration = Duration::from_millis(500);

/// How often progress is said where no bar can be drawn.
const SAY: Duration = Duration::from_secs(2);

/// No progress for so long is the end: far longer than a rescue takes.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a worker process publishes: how many files it has done since its start.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Message {
    pub(super) worker: String,
    pub(super) done: u64,
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

#[derive(Debug)]
pub(super) struct Progress {
    mgr: PgQueue,
    listener: Listener,
    bar: ProgressBar,
    total: u64,
    /// By worker.
    done: BTreeMap<String, u64>,
    /// How many jobs are not finished, when the table was last looked at.
    unfinished: u64,
    looked: Instant,
    changed: Instant,
    said: Instant,
}

impl Progress {
    pub(super) async fn listen(mgr: &PgQueue, total: u64) -> Result<Progress> {
        let mut listener = mgr.create_listener().await?;
        listener.listen(CHANNEL).await?;
        // Draws nothing where stderr is no terminal.
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
        bar.set_style(ProgressStyle::with_template("[{bar:40}] {human_pos} of {human_len} files {msg}")?);
        let (mgr, done, now) = (mgr.clone(), BTreeMap::new(), Instant::now());
        let progress =
            Progress { mgr, listener, bar, total, done, unfinished: total, looked: now, changed: now, said: now };
        progress.show();
        Ok(progress)
    }

    /// Says something that stays, above the bar.
    pub(super) fn say(&self, text: &str) {
        self.bar.suspend(|| eprintln!("{text}"));
    }

    /// Waits until this many files are done.
    pub(super) async fn until_done(&mut self, files: u64) -> Result<()> {
        while self.sum() < files {
            self.next().await?;
        }
        Ok(())
    }

    /// Waits until no job is left, whatever became of each.
    pub(super) async fn until_finished(&mut self) -> Result<()> {
        self.look().await?;
        while self.unfinished > 0 {
            self.next().await?;
        }
        self.bar.finish_and_clear();
        Ok(())
    }

    async fn next(&mut self) -> Result<()> {
        match self.listener.recv_timeout(LOOK).await {
            Ok(Some(notification)) => self.heard(&notification.payload),
            Ok(None) => {}
            // Messages are lost: the table knows what they said.
            Err(RecvError::Gap | RecvError::Lagged(_)) => self.look().await?,
            Err(error) => return Err(error.into()),
        }
        if self.looked.elapsed() >= LOOK {
            self.look().await?;
        }
        if self.changed.elapsed() > PATIENCE {
            bail!("no progress for {PATIENCE:?}: {}", self.stuck().await?);
        }
        Ok(())
    }

    fn heard(&mut self, payload: &str) {
        if let Ok(Message { worker, done }) = serde_json::from_str(payload) {
            let before = self.sum();
            // A message may be older than the last look at the table.
            let known = self.done.entry(worker).or_default();
            *known = done.max(*known);
            self.note(self.sum() != before);
        }
    }

    async fn look(&mut self) -> Result<()> {
        let pool = self.mgr.pool();
        let before = (self.sum(), self.unfinished);
        let unfinished: i64 = sqlx::query_scalar("select count(*) from queue_files").fetch_one(pool).await?;
        let done: Vec<(String, i64)> =
            sqlx::query_as("select worker, count(*) from demo_files group by worker").fetch_all(pool).await?;
        self.unfinished = unfinished.unsigned_abs();
        self.done = done.into_iter().map(|(worker, done)| (worker, done.unsigned_abs())).collect();
        self.looked = Instant::now();
        self.note((self.sum(), self.unfinished) != before);
        Ok(())
    }

    fn sum(&self) -> u64 {
        self.done.values().sum()
    }

    fn note(&mut self, has_changed: bool) {
        if has_changed {
            self.changed = Instant::now();
        }
        self.show();
        if self.bar.is_hidden() && self.changed > self.said && self.said.elapsed() >= SAY {
            self.said = Instant::now();
            eprintln!("{} of {} files {}", thousands(self.sum()), thousands(self.total), self.by_worker());
        }
    }

    fn show(&self) {
        self.bar.set_message(self.by_worker());
        self.bar.set_position(self.sum());
    }

    fn by_worker(&self) -> String {
        let each: Vec<String> = self.done.iter().map(|(name, done)| format!("{name}: {}", thousands(*done))).collect();
        if each.is_empty() { String::new() } else { format!("({})", each.join(", ")) }
    }

    /// What is not finished, and who has it.
    async fn stuck(&self) -> Result<String> {
        let stuck: Vec<String> = sqlx::query_scalar(
            "select format('job %s, attempt %s, %s%s', job.id, job.attempt,
                 case when job.lease_token is null then 'waiting for a worker'
                 else 'with ' || coalesce(worker.name, 'nobody') end,
                 ', last error: ' || (job.errors -> -1 ->> 'error'))
             from queue_files as job left join pg_queue_workers as worker on worker.id = job.lease_worker
             order by job.id limit 5",
        )
        .fetch_all(self.mgr.pool())
        .await?;
        Ok(format!("{} jobs are unfinished, such as\n  {}", self.unfinished, stuck.join("\n  ")))
    }
}
