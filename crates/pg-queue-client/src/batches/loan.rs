//! A job that finds its lane empty is sent by its caller, over the lane's connection.
//!
//! Handing it to the runner and the answer back wakes two tasks, as a rule on two threads: with a server on the same machine
//! that takes as long as a third of the statement.

use std::sync::Arc;

use pg_queue_core::jobs::{self, NewJob, PushError, PushOutcome};
use sqlx::{Postgres, pool::PoolConnection};
use tokio::time::Instant;

use super::{
    error::{Blame, blame},
    lanes::Key,
};
use crate::{missing::explained, shared::Shared};

/// The connection of a lane, for one statement.
pub(super) struct Loan<'s> {
    shared: &'s Arc<Shared>,
    key: &'s Key,
    since: Instant,
    connection: Option<PoolConnection<Postgres>>,
}

impl<'s> Loan<'s> {
    /// Has one if nobody else is about to enqueue into the same queue, and somebody did a moment ago.
    pub(super) fn take(shared: &'s Arc<Shared>, key: &'s Key) -> Option<Self> {
        let (connection, since) = shared.batches.borrow(key)?;
        Some(Self { shared, key, since, connection: Some(connection) })
    }

    /// Enqueues one job. A caller that goes away meanwhile leaves a connection that is of no use to the lane.
    pub(super) async fn push(mut self, job: &NewJob) -> Result<PushOutcome, PushError> {
        let table = self.shared.table(&self.key.queue);
        let mut connection = self.connection.take().expect("it is taken once");
        let pushed = jobs::push_and_commit(&mut connection, &table, job, self.shared.commit).await;
        let pushed = explained(&mut connection, &table, pushed).await;
        if pushed.as_ref().is_err_and(|error| blame(error) == Blame::Connection) {
            connection.close_on_drop();
        } else if self.shared.has_spare_connection() {
            self.connection = Some(connection);
        }
        pushed
    }
}

impl Drop for Loan<'_> {
    fn drop(&mut self) {
        self.shared.batches.give_back(self.key, self.since, self.connection.take());
    }
}
