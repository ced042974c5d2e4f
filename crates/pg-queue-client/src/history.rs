//! Finished jobs that are kept.

use std::sync::Arc;

use pg_queue_core::{
    DatabaseError, JobId, QueueError, QueueName,
    history::{self, Edit, FinishedJob, HistoryFilter},
};
use sqlx::PgConnection;

use crate::{RetryOutcome, queue::retry_finished, shared::Shared};

/// How many jobs one step takes.
const STEP: u32 = 1000;

/// Finished jobs that are kept: discarded and cancelled ones for 7 days unless their queue says otherwise, completed ones for
/// as long as their type or queue asks. In SQL: the table `pg_queue_history`.
#[derive(Debug, Clone)]
pub struct History {
    shared: Arc<Shared>,
}

/// What became of many finished jobs that were to be run again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retried {
    /// How many are back in their queues.
    pub retried: u64,
    /// How many stay in the history, because another job holds their unique key or their queue is gone.
    pub left: u64,
}

impl History {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// A finished job; `None` when it is not kept, or has not finished.
    ///
    /// # Errors
    /// The database failed.
    pub async fn get(&self, job: JobId) -> Result<Option<FinishedJob>, DatabaseError> {
        self.shared.run(async |connection| history::get(connection, &self.shared.schema, job).await).await
    }

    /// The finished jobs that `filter` means, by id, up to `limit`; the next page comes with the last one's id as `after`.
    ///
    /// # Errors
    /// The database failed.
    pub async fn jobs(
        &self,
        filter: &HistoryFilter,
        after: Option<JobId>,
        limit: u32,
    ) -> Result<Vec<FinishedJob>, DatabaseError> {
        self.shared
            .run(async |connection| history::list(connection, &self.shared.schema, filter, after, limit).await)
            .await
    }

    /// Puts a finished job back into its queue, due now, with all of its attempts before it. It keeps its id and its errors.
    ///
    /// # Errors
    /// Its queue is gone, or the database failed.
    pub async fn retry(&self, job: JobId) -> Result<RetryOutcome, QueueError> {
        self.retry_with(job, &Edit::default()).await
    }

    /// The same with another payload or policy: `history.retry_with(id, &Edit::default().payload(&repaired)?)`.
    ///
    /// # Errors
    /// Those of [`retry`](Self::retry).
    pub async fn retry_with(&self, job: JobId, edit: &Edit) -> Result<RetryOutcome, QueueError> {
        let schema = &self.shared.schema;
        let mut link = self.shared.acquire().await?;
        let past = link.run(async |connection| history::get(connection, schema, job).await).await?;
        let Some(queue) = past.and_then(|past| QueueName::new(past.queue).ok()) else {
            return Ok(RetryOutcome::NotFound);
        };
        let table = self.shared.table(&queue);
        link.run_about(&table, async |connection| retry_finished(connection, &table, job, edit).await).await
    }

    /// Puts every finished job that `filter` means back into its queue, a thousand at a time. Answers how many. What was put
    /// back before an error stays so.
    ///
    /// # Errors
    /// The database failed.
    pub async fn retry_all(&self, filter: &HistoryFilter) -> Result<Retried, QueueError> {
        let schema = &self.shared.schema;
        let mut link = self.shared.acquire().await?;
        let mut sum = Retried::default();
        let mut after = None;
        loop {
            let find =
                async |connection: &mut PgConnection| history::find(connection, schema, filter, after, STEP).await;
            let found = link.run(find).await?;
            let Some((last, _)) = found.last() else { return Ok(sum) };
            after = Some(*last);
            sum.left += found.len() as u64;
            let mut queues: Vec<&str> = found.iter().map(|(_, queue)| queue.as_str()).collect();
            queues.sort_unstable();
            queues.dedup();
            for queue in queues.into_iter().filter_map(|queue| QueueName::new(queue).ok()) {
                let of_queue = found.iter().filter(|(_, of)| of == queue.as_str());
                let ids: Vec<JobId> = of_queue.map(|(id, _)| *id).collect();
                let table = self.shared.table(&queue);
                let retry = async |connection: &mut PgConnection| {
                    history::retry(connection, &table, &ids, &Edit::default()).await
                };
                match link.run(retry).await {
                    Ok(back) => {
                        sum.retried += back.len() as u64;
                        sum.left -= back.len() as u64;
                    }
                    // Its jobs cannot go back, the others can.
                    Err(QueueError::Missing(_)) => {}
                    Err(error) => return Err(error),
                }
            }
            if found.len() < STEP as usize {
                return Ok(sum);
            }
        }
    }

    /// Forgets a finished job. Answers whether it was there.
    ///
    /// # Errors
    /// The database failed.
    pub async fn delete(&self, job: JobId) -> Result<bool, DatabaseError> {
        let schema = &self.shared.schema;
        let deleted = self.shared.run(async |connection| history::delete(connection, schema, &[job]).await).await?;
        Ok(!deleted.is_empty())
    }

    /// Forgets every finished job that `filter` means, a thousand at a time. Answers how many.
    ///
    /// # Errors
    /// The database failed; what was forgotten before stays so.
    pub async fn delete_all(&self, filter: &HistoryFilter) -> Result<u64, DatabaseError> {
        let schema = &self.shared.schema;
        let mut link = self.shared.acquire().await?;
        let mut sum = 0;
        let mut after = None;
        loop {
            let find =
                async |connection: &mut PgConnection| history::find(connection, schema, filter, after, STEP).await;
            let found = link.run(find).await?;
            let Some((last, _)) = found.last() else { return Ok(sum) };
            after = Some(*last);
            let ids: Vec<JobId> = found.iter().map(|(id, _)| *id).collect();
            let deleted = link.run(async |connection| history::delete(connection, schema, &ids).await).await?;
            sum += deleted.len() as u64;
            if found.len() < STEP as usize {
                return Ok(sum);
            }
        }
    }
}
