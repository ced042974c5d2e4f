//! Ending jobs that were taken by hand.

use std::time::Duration;

use pg_queue_core::{
    BEGIN, Backoff, DatabaseError, LeaseLost, LeasedJobId, QueueError, QueueName, QueueTable,
    jobs::{self, Acknowledged, EndedAttempt, Ending, Kept, LeaseError},
    queues,
};
use sqlx::PgConnection;

use super::Queue;
use crate::{at_hand::Connection, missing::explained};

/// What is kept as the error of a job that was failed without one.
const NO_ERROR_GIVEN: &str = "failed by its consumer, without an error";

impl Queue {
    /// Completes a popped job: it is removed, into the history if the queue [keeps](Self::keep) completed jobs.
    ///
    /// # Errors
    /// The lease is lost; nothing was changed. Or the database failed.
    pub async fn complete(&self, queue: &QueueName, job: LeasedJobId) -> Result<(), LeaseError> {
        let table = self.shared.table(queue);
        let mut link = Connection::acquire(&self.shared).await?;
        link.run_about(&table, async |connection| jobs::complete_one(connection, &table, job, None).await).await?;
        link.put_back();
        Ok(())
    }

    /// Completes popped jobs, in the same way. Answers those whose lease was lost, for which nothing was changed.
    ///
    /// # Errors
    /// The queue is missing or the database failed.
    pub async fn complete_many(&self, queue: &QueueName, jobs: &[LeasedJobId]) -> Result<Vec<LeaseLost>, QueueError> {
        let table = self.shared.table(queue);
        let schema = &self.shared.schema;
        let mut link = Connection::acquire(&self.shared).await?;
        let in_place = async |connection: &mut PgConnection| jobs::complete_at(connection, &table, jobs, true).await;
        // Nearly all queues keep nothing of their jobs, and nearly all jobs are where they were claimed.
        let done = match link.run(in_place).await {
            // Undone: somebody has locked one of them at the last moment. The way that skips it is still open.
            Err(QueueError::Database(error)) if is_about_locks(&error) => Acknowledged::default(),
            done => explained(&mut link, &table, done).await?,
        };
        let mut missed: Vec<LeasedJobId> = jobs.iter().copied().filter(|job| !done.contains(*job)).collect();
        if missed.is_empty() {
            link.put_back();
            return Ok(Vec::new());
        }
        let of_queue = std::slice::from_ref(queue);
        let settings = link.run(async |connection| queues::settings(connection, schema, of_queue).await).await?;
        let keep = settings.first().and_then(|(_, settings)| settings.keep_completed);
        let done = link.run(async |connection| complete(connection, &table, &missed, keep).await).await?;
        missed.retain(|job| !done.contains(*job));
        if missed.is_empty() {
            link.put_back();
            return Ok(Vec::new());
        }
        // Lost, or locked by another transaction at that moment: wait for it and try those again.
        let wait = async |connection: &mut PgConnection| {
            jobs::lock(connection, &table, &missed).await?;
            complete(connection, &table, &missed, keep).await
        };
        let done = link.transaction(BEGIN, wait).await?;
        link.put_back();
        missed.retain(|job| !done.contains(*job));
        Ok(missed.into_iter().map(LeaseLost).collect())
    }

    /// Ends this attempt at a popped job as failed. The job is tried again after a delay that grows with its attempts
    /// (1 s, doubled up to an hour, a tenth of jitter), or discarded into the history after its last one.
    ///
    /// # Errors
    /// The lease is lost; nothing was changed. Or the database failed.
    pub async fn fail(&self, queue: &QueueName, job: LeasedJobId) -> Result<(), LeaseError> {
        self.fail_with(queue, job, NO_ERROR_GIVEN).await
    }

    /// The same, with what went wrong, which is kept with the job (its first 4096 bytes).
    ///
    /// # Errors
    /// Those of [`fail`](Self::fail).
    pub async fn fail_with(
        &self,
        queue: &QueueName,
        job: LeasedJobId,
        error: impl std::fmt::Display,
    ) -> Result<(), LeaseError> {
        let failed = self.fail_many(queue, &[(job, error.to_string())]).await?;
        failed.into_iter().next().map_or(Ok(()), |lost| Err(LeaseError::Lost(lost)))
    }

    /// Ends attempts at popped jobs as failed, each with its error. Answers those whose lease was lost, for which
    /// nothing was changed.
    ///
    /// # Errors
    /// The queue is missing or the database failed.
    pub async fn fail_many(
        &self,
        queue: &QueueName,
        jobs: &[(LeasedJobId, String)],
    ) -> Result<Vec<LeaseLost>, QueueError> {
        let attempts: Vec<EndedAttempt> = jobs
            .iter()
            .map(|(id, error)| EndedAttempt {
                id: *id,
                ending: Ending::Retry(Backoff::DEFAULT.jittered(id.attempt())),
                error: Some(error.clone()),
                took: None,
            })
            .collect();
        let table = self.shared.table(queue);
        let mut link = self.shared.acquire().await?;
        let end = async |connection: &mut PgConnection| jobs::end(connection, &table, &attempts).await;
        let ended = link.run_about(&table, end).await?;
        let missed = missed(attempts, &ended);
        if missed.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<LeasedJobId> = missed.iter().map(|attempt| attempt.id).collect();
        // Lost, or locked by another transaction at that moment: wait for it and try those again.
        let wait = async |connection: &mut PgConnection| {
            jobs::lock(connection, &table, &ids).await?;
            jobs::end(connection, &table, &missed).await
        };
        let ended = link.transaction(BEGIN, wait).await?;
        Ok(ids.into_iter().filter(|id| !ended.contains(*id)).map(LeaseLost).collect())
    }

    /// Makes the lease on a popped job stand for `lease` from now.
    ///
    /// # Errors
    /// The lease is lost. Or the database failed.
    pub async fn extend(&self, queue: &QueueName, job: LeasedJobId, lease: Duration) -> Result<(), LeaseError> {
        let table = self.shared.table(queue);
        self.shared.run_about(&table, async |connection| jobs::extend(connection, &table, job, lease).await).await
    }
}

/// A deadlock, or a lock that was not free in time.
fn is_about_locks(error: &DatabaseError) -> bool {
    let DatabaseError::Other(sqlx::Error::Database(error)) = error else { return false };
    matches!(error.code().as_deref(), Some("40P01" | "55P03"))
}

async fn complete(
    connection: &mut PgConnection,
    table: &QueueTable,
    jobs: &[LeasedJobId],
    keep: Option<Duration>,
) -> Result<Acknowledged, QueueError> {
    match keep {
        None => jobs::complete(connection, table, jobs).await,
        Some(time) => {
            let kept: Vec<_> = jobs.iter().map(|id| (*id, Kept { time, output: None })).collect();
            jobs::complete_kept(connection, table, &kept).await
        }
    }
}

fn missed(mut attempts: Vec<EndedAttempt>, ended: &Acknowledged) -> Vec<EndedAttempt> {
    attempts.retain(|attempt| !ended.contains(attempt.id));
    attempts
}
