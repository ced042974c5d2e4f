//! A job that finds its lane empty is sent by its caller, over the lane's connection.
//!
//! Handing it to the runner and the answer back wakes two tasks, as a rule on two threads: with a server on the same machine
//! that takes as long as a third of the statement.

use std::sync::Arc;

use pg_queue_core::jobs::{self, NewJob, PushError, PushOutcome};
use sqlx::PgConnection;
use tokio::{runtime::Handle, time::Instant};

use super::{
    error::{Blame, blame},
    lanes::Key,
};
use crate::{link::Link, shared::Shared};

/// The connection of a lane, for one statement.
pub(super) struct Loan<'s> {
    shared: &'s Arc<Shared>,
    key: &'s Key,
    since: Instant,
    runtime: Handle,
    connection: Option<Link>,
    /// Whether the connection is good for the next one.
    answered: bool,
}

impl<'s> Loan<'s> {
    /// Has one if nobody else is about to enqueue into the same queue, and somebody did a moment ago.
    pub(super) fn take(shared: &'s Arc<Shared>, key: &'s Key) -> Option<Self> {
        // A pool that is being closed waits for what lanes keep.
        if shared.pool.is_closed() {
            return None;
        }
        let (connection, since) = shared.batches.borrow(key)?;
        Some(Self { shared, key, since, runtime: Handle::current(), connection: Some(connection), answered: false })
    }

    /// Enqueues one job. A caller that goes away meanwhile leaves a connection that is of no use to the lane.
    pub(super) async fn push(mut self, job: &NewJob) -> Result<PushOutcome, PushError> {
        let table = self.shared.table(&self.key.queue);
        let connection = self.connection.as_mut().expect("it is there until the end");
        let commit = self.key.commit;
        let push = async |connection: &mut PgConnection| jobs::push_and_commit(connection, &table, job, commit).await;
        let pushed = connection.run_about(&table, push).await;
        if pushed.as_ref().is_err_and(|error| blame(error) == Blame::Connection) {
            connection.close_on_drop();
        } else {
            self.answered = self.shared.has_spare_connection();
        }
        pushed
    }
}

impl Drop for Loan<'_> {
    fn drop(&mut self) {
        // A future may be dropped anywhere, and the pool takes a connection back by a task.
        let _entered = self.runtime.enter();
        let connection = self.connection.take();
        let (kept, dropped) = if self.answered { (connection, None) } else { (None, connection) };
        drop(dropped);
        self.shared.batches.give_back(self.key, self.since, kept);
    }
}
