//! Ending jobs that were taken by hand.

use std::time::Duration;

use pg_queue_core::{
    Backoff, DatabaseError, LeaseLost, LeasedJobId, QueueError, QueueName, QueueTable,
    jobs::{self, Acknowledged, EndedAttempt, Ending, Kept, LeaseError},
    queues,
};
use sqlx::{Connection as _, PgConnection};

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
        let mut connection = Connection::acquire(&self.shared).await.map_err(QueueError::Database)?;
        let completed = jobs::complete_one(&mut *connection, &table, job, None).await;
        explained(&mut connection, &table, completed).await?;
        connection.put_back();
        Ok(())
    }

    /// Completes popped jobs, in the same way. Answers those whose lease was lost, for which nothing was changed.
    ///
    /// # Errors
    /// The queue is missing or the database failed.
    pub async fn complete_many(&self, queue: &QueueName, jobs: &[LeasedJobId]) -> Result<Vec<LeaseLost>, QueueError> {
        let table = self.shared.table(queue);
        let mut connection = Connection::acquire(&self.shared).await?;
        // Nearly all queues keep nothing of their jobs, and nearly all jobs are where they were claimed.
        let done = match jobs::complete_at(&mut *connection, &table, jobs, true).await {
            // Undone: somebody has locked one of them at the last moment. The way that skips it is still open.
            Err(QueueError::Database(error)) if is_about_locks(&error) => Acknowledged::default(),
            done => explained(&mut connection, &table, done).await?,
        };
        let mut missed: Vec<LeasedJobId> = jobs.iter().copied().filter(|job| !done.contains(*job)).collect();
        if missed.is_empty() {
            connection.put_back();
            return Ok(Vec::new());
        }
        let settings = queues::settings(&mut *connection, &self.shared.schema, std::slice::from_ref(queue)).await?;
        let keep = settings.first().and_then(|(_, settings)| settings.keep_completed);
        let done = complete(&mut connection, &table, &missed, keep).await?;
        missed.retain(|job| !done.contains(*job));
        if missed.is_empty() {
            connection.put_back();
            return Ok(Vec::new());
        }
        let failed = |error| QueueError::Database(DatabaseError::new(error, &self.shared.schema));
        // Lost, or locked by another transaction at that moment: wait for it and try those again.
        let mut waiting = connection.begin().await.map_err(failed)?;
        jobs::lock(&mut waiting, &table, &missed).await?;
        let done = complete(&mut waiting, &table, &missed, keep).await?;
        waiting.commit().await.map_err(failed)?;
        connection.put_back();
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
        let mut connection = self.shared.acquire().await?;
        let ended = jobs::end(&mut *connection, &table, &attempts).await;
        let ended = explained(&mut connection, &table, ended).await?;
        let missed = missed(attempts, &ended);
        if missed.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<LeasedJobId> = missed.iter().map(|attempt| attempt.id).collect();
        let failed = |error| QueueError::Database(DatabaseError::new(error, &self.shared.schema));
        // Lost, or locked by another transaction at that moment: wait for it and try those again.
        let mut waiting = connection.begin().await.map_err(failed)?;
        jobs::lock(&mut waiting, &table, &ids).await?;
        let ended = jobs::end(&mut *waiting, &table, &missed).await?;
        waiting.commit().await.map_err(failed)?;
        Ok(ids.into_iter().filter(|id| !ended.contains(*id)).map(LeaseLost).collect())
    }

    /// Makes the lease on a popped job stand for `lease` from now.
    ///
    /// # Errors
    /// The lease is lost. Or the database failed.
    pub async fn extend(&self, queue: &QueueName, job: LeasedJobId, lease: Duration) -> Result<(), LeaseError> {
        let table = self.shared.table(queue);
        let mut connection = self.shared.acquire().await.map_err(QueueError::Database)?;
        let extended = jobs::extend(&mut *connection, &table, job, lease).await;
        explained(&mut connection, &table, extended).await
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
