//! How workers are to treat a queue, set while they run.

use std::time::Duration;

use pg_queue_core::{
    QueueError, QueueName,
    queues::{self, QueueSettings},
};
use sqlx::PgConnection;

use super::Queue;

/// The most that a worker may be told to run at once.
const MAX_CONCURRENCY: u32 = 1_000_000;

impl Queue {
    /// Stops claims from the queue, in every process, with the commit of this call. What runs goes on; what is enqueued
    /// waits. Pausing a paused queue does nothing.
    ///
    /// # Errors
    /// The queue is missing or the database failed.
    pub async fn pause(&self, queue: &QueueName) -> Result<(), QueueError> {
        self.set_paused(queue, true).await
    }

    /// Lets claims from the queue go on: workers are told at once, and look by themselves once a second.
    ///
    /// # Errors
    /// The queue is missing or the database failed.
    pub async fn resume(&self, queue: &QueueName) -> Result<(), QueueError> {
        self.set_paused(queue, false).await
    }

    async fn set_paused(&self, queue: &QueueName, paused: bool) -> Result<(), QueueError> {
        let table = self.shared.table(queue);
        self.shared.run_about(&table, async |connection| queues::pause(connection, &table, paused).await).await
    }

    /// Sets how many jobs of the queue each worker runs at once; `None` is what each worker was built with. Workers are told
    /// at once. Jobs beyond the number that run already go on.
    ///
    /// # Errors
    /// The number is not 1 to 1,000,000 (to run none, [`pause`](Self::pause)), the queue is missing, or the database failed.
    pub async fn set_concurrency(&self, queue: &QueueName, jobs: Option<u32>) -> Result<(), SettingError> {
        if let Some(jobs) = jobs.filter(|jobs| !(1..=MAX_CONCURRENCY).contains(jobs)) {
            return Err(SettingError::Concurrency(jobs));
        }
        let table = self.shared.table(queue);
        let set = async |connection: &mut PgConnection| queues::limit(connection, &table, jobs).await;
        Ok(self.shared.run_about(&table, set).await?)
    }

    /// Sets for how long the queue's finished jobs are kept in the history, from now on: completed ones (`None` is not at all,
    /// unless their type asks for it), and discarded and cancelled ones. Default: none, and 7 days. They go with all of the
    /// day on which their time ends.
    ///
    /// # Errors
    /// The queue is missing or the database failed.
    pub async fn keep(
        &self,
        queue: &QueueName,
        completed: Option<Duration>,
        discarded: Duration,
    ) -> Result<(), QueueError> {
        let table = self.shared.table(queue);
        let completed = completed.filter(|time| time.as_micros() > 0);
        let keep = async |connection: &mut PgConnection| queues::keep(connection, &table, completed, discarded).await;
        self.shared.run_about(&table, keep).await
    }

    /// How workers are to treat the queue.
    ///
    /// # Errors
    /// The queue is missing or the database failed.
    pub async fn settings(&self, queue: &QueueName) -> Result<QueueSettings, QueueError> {
        let (schema, of_queue) = (&self.shared.schema, std::slice::from_ref(queue));
        let settings = self.shared.run(async |connection| queues::settings(connection, schema, of_queue).await).await?;
        settings.into_iter().next().map(|(_, settings)| settings).ok_or_else(|| QueueError::Missing(queue.clone()))
    }
}

/// Why a queue's setting was not set.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettingError {
    /// No jobs, or too many, at once.
    #[error("concurrency {0} is out of range: 1 to 1000000; to run none, pause the queue")]
    Concurrency(u32),
    /// The queue is missing or the database failed.
    #[error(transparent)]
    Queue(#[from] QueueError),
}
