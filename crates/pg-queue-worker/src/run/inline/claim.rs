//! Claiming jobs one by one, for the task that is going to run them.

use std::sync::Arc;

use pg_queue_core::{
    DatabaseError, Enqueuer, LeaseToken, PushOutcome, QueueError, QueueName,
    jobs::{self, Claimant, ClaimedJob, NewJob},
    testing,
};
use sqlx::{Connection, PgConnection};

use super::{
    super::{
        execute,
        hand::Role,
        maintain,
        trouble::{Fails, Trouble},
    },
    Inline,
};
use crate::{
    job_info::Attempt,
    testing::{InlineError, TakeError},
};

/// A job that was claimed and has not begun to run.
pub(crate) struct Begun(pub(super) execute::Start);

impl Begun {
    pub(crate) fn attempt(&self) -> &Arc<Attempt> {
        &self.0.attempt
    }
}

impl<S: Send + Sync + 'static> Inline<S> {
    /// Claims the next due job: that which a worker with one slot would run next.
    pub(crate) async fn claim(&mut self) -> Result<Option<Begun>, InlineError> {
        loop {
            self.beat().await?;
            let lanes: Vec<usize> = (0..self.shared.lanes.len()).collect();
            for (lane, _) in self.shares.divide(1, &lanes) {
                if let Some(job) = self.claim_from(lane).await? {
                    self.shares.gave(lane, 1);
                    return Ok(Some(self.begun(lane, job)));
                }
            }
            let mut back = 0;
            for lane in &self.shared.lanes {
                back += maintain::unpark(&self.shared, &lane.table).await?;
            }
            if back == 0 {
                return Ok(None);
            }
        }
    }

    async fn claim_from(&mut self, lane: usize) -> Result<Option<ClaimedJob>, QueueError> {
        let (shared, table, token) = (&self.shared, &self.shared.lanes[lane].table, LeaseToken::random());
        self.uncertain = true;
        let claim = async |connection: &mut PgConnection| {
            jobs::claim(connection, table, Claimant::Worker(self.id()), token, Some(&shared.kinds), 1).await
        };
        let claimed = shared.control.run(claim).await;
        self.uncertain = claimed.as_ref().is_err_and(|error| error.trouble() == Trouble::Away);
        Ok(claimed?.pop())
    }

    /// Takes the job that is due next, before its time.
    pub(crate) async fn claim_scheduled(&mut self) -> Result<Option<Begun>, InlineError> {
        loop {
            self.beat().await?;
            let shared = &self.shared;
            let queues: Vec<&QueueName> = shared.lanes.iter().map(|lane| lane.queue()).collect();
            let look = async |connection: &mut PgConnection| {
                testing::next_scheduled(connection, shared.queue.schema(), &queues, &shared.kinds).await
            };
            let Some((queue, job)) = shared.control.run(look).await.map_err(QueueError::Database)? else {
                return Ok(None);
            };
            let Some(lane) = shared.lanes.iter().position(|lane| lane.queue() == queue) else { return Ok(None) };
            let (table, token) = (&shared.lanes[lane].table, LeaseToken::random());
            self.uncertain = true;
            let take = async |connection: &mut PgConnection| {
                testing::take(connection, table, self.id(), token, job, None).await
            };
            let taken = shared.control.run(take).await;
            self.uncertain = taken.as_ref().is_err_and(|error| error.trouble() == Trouble::Away);
            // Otherwise somebody was quicker, and the next look finds another one.
            if let Some(job) = taken? {
                return Ok(Some(self.begun(lane, job)));
            }
        }
    }

    /// Enqueues a job into the first queue and takes it, in one transaction: nobody else ever sees it wait.
    pub(crate) async fn enqueue(&mut self, job: NewJob, attempt: Option<u16>) -> Result<Begun, TakeError> {
        let (queue, table) = (&self.shared.queue, &self.shared.lanes[0].table);
        let failed = |error| QueueError::Database(DatabaseError::new(error, table.schema()));
        let mut connection = self.shared.control.acquire(Role::Care).await.map_err(QueueError::Database)?;
        let mut transaction = connection.begin().await.map_err(failed)?;
        let pushed = queue.on(&mut transaction).push_job(table.queue().clone(), job).await?;
        let PushOutcome::Enqueued(id) = pushed else { return Err(TakeError::NotNew { job: pushed.id() }) };
        let token = LeaseToken::random();
        let taken = testing::take(&mut *transaction, table, self.id(), token, id, attempt).await?;
        let taken = taken.ok_or(TakeError::Gone { job: id })?;
        self.uncertain = true;
        transaction.commit().await.map_err(failed)?;
        self.uncertain = false;
        Ok(self.begun(0, taken))
    }

    fn begun(&self, lane: usize, job: ClaimedJob) -> Begun {
        let membership = self.shared.generations.current().join();
        let (attempt, given) = self.shared.attempt(lane, job, membership.clone());
        let start = execute::Start { attempt, given, membership };
        self.shared.leases.add([&start]);
        Begun(start)
    }
}
