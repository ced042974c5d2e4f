//! Looking at unfinished jobs, and interfering with them: one by one, or many in steps.

use std::collections::HashSet;

use pg_queue_core::{
    BEGIN, JobFilter, JobId, QueueError, QueueName, QueueTable,
    history::{self, Edit, FinishedState},
    jobs::{self, QueueStats, StoredJob},
};
use sqlx::PgConnection;

use super::Queue;
use crate::link::Link;

/// How many jobs one step takes: short enough that nobody waits for its locks, long enough that its commit costs nothing.
const STEP: u32 = 1000;

/// What became of the wish to cancel a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CancelOutcome {
    /// It waited, and is in the history as cancelled.
    Cancelled,
    /// It runs. Its worker was told, and its handler asked to end; it is cancelled when the attempt has ended, unless that
    /// completes it.
    Cancelling,
    /// It had finished already, in this way, and stays as it is.
    Finished(FinishedState),
    /// The queue has no such job: it was completed and is not kept, or never was there.
    NotFound,
}

/// What became of the wish to run a job again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RetryOutcome {
    /// It had finished, and is back in its queue: due now, with all of its attempts before it.
    Retried,
    /// It waited, for its time or its next attempt, and is due now.
    Hastened,
    /// It runs, and stays as it is.
    Running,
    /// It had finished and stays in the history: another job holds its unique key.
    KeyTaken,
    /// There is no such job: it was completed and is not kept, or never was there.
    NotFound,
}

/// What became of many jobs that were to be cancelled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cancelled {
    /// How many waited and are in the history now.
    pub cancelled: u64,
    /// How many run, and are to be cancelled when their attempts end.
    pub cancelling: u64,
}

impl Queue {
    /// An unfinished job; `None` when it is not in the queue. A finished one that is kept is in
    /// [`PgQueue::history`](crate::PgQueue::history).
    ///
    /// # Errors
    /// The queue is missing or the database failed.
    pub async fn get(&self, queue: &QueueName, job: JobId) -> Result<Option<StoredJob>, QueueError> {
        let table = self.shared.table(queue);
        self.shared.run_about(&table, async |connection| jobs::get(connection, &table, job).await).await
    }

    /// The unfinished jobs that `filter` means, by id, up to `limit`; the next page comes with the last one's id as `after`.
    ///
    /// # Errors
    /// The queue is missing or the database failed.
    pub async fn jobs(
        &self,
        queue: &QueueName,
        filter: &JobFilter,
        after: Option<JobId>,
        limit: u32,
    ) -> Result<Vec<StoredJob>, QueueError> {
        let table = self.shared.table(queue);
        self.shared
            .run_about(&table, async |connection| jobs::list(connection, &table, filter, after, limit).await)
            .await
    }

    /// How many jobs the queue has in each state. Looks at each of them: about a second for ten million.
    ///
    /// # Errors
    /// The queue is missing or the database failed.
    pub async fn stats(&self, queue: &QueueName) -> Result<QueueStats, QueueError> {
        let table = self.shared.table(queue);
        self.shared.run_about(&table, async |connection| jobs::stats(connection, &table).await).await
    }

    /// Cancels a job: one that waits at once, one that runs as soon as its handler has ended. Waits for a transaction that has
    /// locked it.
    ///
    /// # Errors
    /// The queue is missing or the database failed.
    pub async fn cancel(&self, queue: &QueueName, job: JobId) -> Result<CancelOutcome, QueueError> {
        let table = self.shared.table(queue);
        let mut link = self.shared.acquire().await?;
        let cancel = async |connection: &mut PgConnection| jobs::cancel(connection, &table, &[job], None).await;
        match link.run_about(&table, cancel).await?.first() {
            Some(job) if job.running => Ok(CancelOutcome::Cancelling),
            Some(_) => Ok(CancelOutcome::Cancelled),
            None => {
                let past = link.run(async |connection| history::get(connection, table.schema(), job).await).await?;
                Ok(past.map_or(CancelOutcome::NotFound, |past| CancelOutcome::Finished(past.state)))
            }
        }
    }

    /// Cancels every job that `filter` means, a thousand at a time. Answers how many. What was cancelled before an error stays
    /// so. Waits for transactions that have locked one of them, one by one.
    ///
    /// # Errors
    /// The queue is missing or the database failed.
    pub async fn cancel_all(&self, queue: &QueueName, filter: &JobFilter) -> Result<Cancelled, QueueError> {
        let table = self.shared.table(queue);
        let mut link = self.shared.acquire().await?;
        let mut sum = Cancelled::default();
        let mut steps = Steps::default();
        while let Some(step) = steps.next(&mut link, &table, filter).await? {
            let cancel_free = async |connection: &mut PgConnection| {
                let free = jobs::lock_free(connection, &table, &step).await?;
                let done = jobs::cancel(connection, &table, &free, None).await?;
                Ok::<_, QueueError>((free, done))
            };
            let (free, mut done) = link.transaction(BEGIN, cancel_free).await?;
            // Whoever waits holds nothing: neither the others for as long, nor what somebody else needs to go on.
            let free: HashSet<JobId> = free.into_iter().collect();
            for locked in step.iter().filter(|job| !free.contains(job)) {
                let cancel =
                    async |connection: &mut PgConnection| jobs::cancel(connection, &table, &[*locked], None).await;
                done.extend(link.run(cancel).await?);
            }
            for job in done {
                *(if job.running { &mut sum.cancelling } else { &mut sum.cancelled }) += 1;
            }
        }
        Ok(sum)
    }

    /// Makes a job run again: one that has finished and is kept goes back into the queue, one that waits is due now.
    ///
    /// # Errors
    /// The queue is missing or the database failed.
    pub async fn retry(&self, queue: &QueueName, job: JobId) -> Result<RetryOutcome, QueueError> {
        let table = self.shared.table(queue);
        let retry = async |connection: &mut PgConnection| {
            if jobs::hasten_one(&mut *connection, &table, job).await? {
                return Ok(RetryOutcome::Hastened);
            }
            if jobs::get(&mut *connection, &table, job).await?.is_some() {
                return Ok(RetryOutcome::Running);
            }
            retry_finished(connection, &table, job, &Edit::default()).await
        };
        self.shared.run_about(&table, retry).await
    }

    /// Makes every waiting job that `filter` means due now, a thousand at a time. Answers how many. Jobs that others have
    /// locked at that moment are left as they are.
    ///
    /// # Errors
    /// The queue is missing or the database failed; what was done before stays done.
    pub async fn retry_all(&self, queue: &QueueName, filter: &JobFilter) -> Result<u64, QueueError> {
        let table = self.shared.table(queue);
        let mut link = self.shared.acquire().await?;
        let mut sum = 0;
        let mut steps = Steps::default();
        while let Some(step) = steps.next(&mut link, &table, filter).await? {
            let hastened = link.run(async |connection| jobs::hasten(connection, &table, &step).await).await?;
            sum += hastened.len() as u64;
        }
        Ok(sum)
    }

    /// Deletes every job that `filter` means and that does not run, without a trace, a thousand at a time. Answers how many.
    /// Jobs that others have locked at that moment are left as they are.
    ///
    /// # Errors
    /// The queue is missing or the database failed; what was deleted before stays so.
    pub async fn purge(&self, queue: &QueueName, filter: &JobFilter) -> Result<u64, QueueError> {
        let table = self.shared.table(queue);
        let mut link = self.shared.acquire().await?;
        let mut sum = 0;
        let mut steps = Steps::default();
        while let Some(step) = steps.next(&mut link, &table, filter).await? {
            let deleted = link.run(async |connection| jobs::delete(connection, &table, &step).await).await?;
            sum += deleted.len() as u64;
        }
        Ok(sum)
    }
}

/// Puts a finished job back, or says why not.
pub(crate) async fn retry_finished(
    connection: &mut PgConnection,
    table: &QueueTable,
    job: JobId,
    edit: &Edit,
) -> Result<RetryOutcome, QueueError> {
    if !history::retry(&mut *connection, table, &[job], edit).await?.is_empty() {
        return Ok(RetryOutcome::Retried);
    }
    let past = history::get(connection, table.schema(), job).await?;
    let is_here = past.is_some_and(|past| past.queue == table.queue().as_str());
    Ok(if is_here { RetryOutcome::KeyTaken } else { RetryOutcome::NotFound })
}

/// A walk over many jobs by their ids, so that each is met once, whatever is done to it. It ends where the queue ends, and does
/// not run after those who enqueue.
#[derive(Default)]
struct Steps {
    after: Option<JobId>,
    ended: bool,
}

impl Steps {
    async fn next(
        &mut self,
        link: &mut Link,
        table: &QueueTable,
        filter: &JobFilter,
    ) -> Result<Option<Vec<JobId>>, QueueError> {
        if self.ended {
            return Ok(None);
        }
        let after = self.after;
        let find = async |connection: &mut PgConnection| jobs::find(connection, table, filter, after, STEP).await;
        let step = link.run_about(table, find).await?;
        self.after = step.last().copied();
        self.ended = step.len() < STEP as usize;
        Ok((!step.is_empty()).then_some(step))
    }
}
