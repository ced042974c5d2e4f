//! Taking jobs by hand.

use std::time::{Duration, SystemTime};

use pg_queue_core::{
    BEGIN_PINNED, DecodeError, JobId, LeaseToken, LeasedJobId, Priority, QueueError, QueueName, QueueTable, RequestId,
    from_json,
    jobs::{self, Claimant, ClaimedJob, EndedAttempt, Ending},
};
use serde::de::DeserializeOwned;
use sqlx::PgConnection;

use super::{DEFAULT_LEASE, Queue};
use crate::{at_hand::Connection, missing::explained};

/// How long a job that did not decode waits before the next consumer meets it. It may be meant for another one, so it is
/// not discarded; but at the head of the queue it would be popped again and again.
const UNDECODABLE_DELAY: Duration = Duration::from_secs(60);

/// How many jobs whose lease has run out one pop looks after, at most.
const EXPIRED_AT_ONCE: u32 = 1000;

/// A job that was taken by hand.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PoppedJob<T> {
    /// What to complete or fail: the id together with the lease. Displays as the number.
    pub id: LeasedJobId,
    /// The payload.
    pub payload: T,
    /// What type of job it is: `raw` unless it was enqueued under another kind.
    pub kind: String,
    /// The request that the job is, if a caller waits for a reply.
    pub request_id: Option<RequestId>,
    /// How many attempts it has in all. Which one this is says `id.attempt()`.
    pub max_attempts: u16,
    /// Which jobs it ran before.
    pub priority: Priority,
    /// Since when it has been due.
    pub run_at: SystemTime,
    /// When it was enqueued.
    pub created_at: SystemTime,
}

impl Queue {
    /// Takes the next due job, of any kind, under a lease of 5 minutes. `None` when none is due.
    ///
    /// # Errors
    /// The payload is not a `T`: the job goes back with the error noted, is not counted as tried, and comes again after a
    /// minute. Or the queue is missing, or the database failed.
    pub async fn pop<T: DeserializeOwned>(&self, queue: &QueueName) -> Result<Option<PoppedJob<T>>, PopError> {
        self.pop_for(queue, DEFAULT_LEASE).await
    }

    /// Takes the next due job under a lease of the given length.
    ///
    /// # Errors
    /// Those of [`pop`](Self::pop).
    pub async fn pop_for<T: DeserializeOwned>(
        &self,
        queue: &QueueName,
        lease: Duration,
    ) -> Result<Option<PoppedJob<T>>, PopError> {
        let job = self.pop_many_for(queue, 1, lease).await?.pop();
        Ok(job.transpose()?)
    }

    /// Takes up to `limit` due jobs in the order in which they should run, each under a lease of 5 minutes. A job that
    /// does not decode is an error in its place and goes back; the others are not affected.
    ///
    /// # Errors
    /// The queue is missing or the database failed.
    pub async fn pop_many<T: DeserializeOwned>(
        &self,
        queue: &QueueName,
        limit: u32,
    ) -> Result<Vec<Result<PoppedJob<T>, UndecodableJob>>, PopError> {
        self.pop_many_for(queue, limit, DEFAULT_LEASE).await
    }

    /// Takes up to `limit` due jobs under a lease of the given length.
    ///
    /// # Errors
    /// Those of [`pop_many`](Self::pop_many).
    pub async fn pop_many_for<T: DeserializeOwned>(
        &self,
        queue: &QueueName,
        limit: u32,
        lease: Duration,
    ) -> Result<Vec<Result<PoppedJob<T>, UndecodableJob>>, PopError> {
        let claimed = self.claim(queue, limit, lease).await?;
        let mut back = Vec::new();
        let popped = claimed
            .into_iter()
            .map(|job| {
                decode(job).inspect_err(|error| {
                    back.push(EndedAttempt {
                        id: error.job,
                        ending: Ending::Release(Some(UNDECODABLE_DELAY)),
                        error: Some(error.source.to_string()),
                        took: None,
                    });
                })
            })
            .collect();
        if !back.is_empty() {
            self.give_back(queue, &back).await;
        }
        Ok(popped)
    }

    async fn claim(&self, queue: &QueueName, limit: u32, lease: Duration) -> Result<Vec<ClaimedJob>, QueueError> {
        let table = self.shared.table(queue);
        let mut link = Connection::acquire(&self.shared).await?;
        link.close_if_abandoned();
        // In a transaction of its own with its plan pinned. An error rolls it back; as does a caller who goes away, to whom the
        // jobs would be of no use.
        let claim = async |pinned: &mut PgConnection| claim_on(pinned, &table, limit, lease).await;
        let claimed = link.transaction(BEGIN_PINNED, claim).await;
        let claimed = explained(&mut link, &table, claimed).await?;
        link.put_back();
        Ok(claimed)
    }

    /// A failure is no reason to keep the other jobs from their consumer: what is not given back comes back when its
    /// lease runs out, as do rows that somebody has locked.
    async fn give_back(&self, queue: &QueueName, undecodable: &[EndedAttempt]) {
        let table = self.shared.table(queue);
        let released = self.shared.run(async |connection| jobs::end(connection, &table, undecodable).await).await;
        if let Err(error) = released {
            tracing::warn!(%queue, %error, "undecodable jobs stay leased: they could not be given back");
        }
    }
}

async fn claim_on(
    pinned: &mut PgConnection,
    table: &QueueTable,
    limit: u32,
    lease: Duration,
) -> Result<Vec<ClaimedJob>, QueueError> {
    let claimant = Claimant::HandDriven(lease);
    let mut claimed = jobs::claim(&mut *pinned, table, claimant, LeaseToken::random(), None, limit).await?;
    if claimed.is_empty() {
        // Nobody else looks after jobs whose consumer let the last attempt's lease run out.
        jobs::discard_expired(&mut *pinned, table, EXPIRED_AT_ONCE).await?;
        // Nor do workers know that somebody takes jobs by hand, whatever their kind.
        if jobs::unpark(&mut *pinned, table, None, limit).await? > 0 {
            claimed = jobs::claim(&mut *pinned, table, claimant, LeaseToken::random(), None, limit).await?;
        }
    }
    Ok(claimed)
}

fn decode<T: DeserializeOwned>(job: ClaimedJob) -> Result<PoppedJob<T>, UndecodableJob> {
    let payload = from_json(job.payload.as_bytes()).map_err(|source| UndecodableJob {
        job: job.id,
        kind: job.kind.clone(),
        source,
    })?;
    Ok(PoppedJob {
        id: job.id,
        payload,
        kind: job.kind,
        request_id: job.request_id,
        max_attempts: job.max_attempts,
        priority: job.priority,
        run_at: job.run_at,
        created_at: job.created_at,
    })
}

/// A job whose payload is not what its consumer expects. It went back, with this error noted.
#[derive(Debug, thiserror::Error)]
#[error("job {job} of kind {kind:?} does not decode and went back: {source}")]
pub struct UndecodableJob {
    job: LeasedJobId,
    kind: String,
    source: DecodeError,
}

impl UndecodableJob {
    /// Which job.
    #[must_use]
    pub fn job_id(&self) -> JobId {
        self.job.job_id()
    }
}

/// Why no job was taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PopError {
    /// The job's payload is not what the consumer expects.
    #[error(transparent)]
    Undecodable(#[from] UndecodableJob),
    /// The queue is missing or the database failed.
    #[error(transparent)]
    Queue(#[from] QueueError),
}
