//! A request on its way, and the way back when its caller goes away.

use std::sync::Arc;

use pg_queue_core::{
    JobId, QueueName,
    jobs::{self, NewJob, PushError},
};
use tokio::sync::oneshot;

use crate::{on, shared::Shared};

/// A request that was pushed. Taken back when it is dropped before it was answered.
pub(super) struct Request {
    shared: Arc<Shared>,
    queue: QueueName,
    job: Option<JobId>,
}

impl Request {
    /// Pushes in a task of its own, which a caller that goes away does not interrupt: half-way nobody would know whether
    /// there is something to take back.
    pub(super) fn push(shared: &Arc<Shared>, queue: &QueueName, job: NewJob) -> Pushing {
        let (answer, pushing) = oneshot::channel();
        let (shared, queue) = (Arc::clone(shared), queue.clone());
        tokio::spawn(async move {
            let pushed = on::push(&shared, &queue, job).await;
            // When the caller has gone away, the request is dropped here or with the channel.
            drop(answer.send(pushed.map(|outcome| Self { shared, queue, job: Some(outcome.id()) })));
        });
        pushing
    }

    /// Nothing is to be taken back any more.
    pub(super) fn answered(mut self) {
        self.job = None;
    }

    /// Takes the request back. Answers whether nobody had taken it.
    pub(super) async fn withdraw(mut self) -> Result<bool, pg_queue_core::QueueError> {
        let Some(job) = self.job else { return Ok(false) };
        let table = self.shared.table(&self.queue);
        let withdrawn = self.shared.run(async |connection| jobs::withdraw(connection, &table, job).await).await?;
        self.job = None;
        Ok(withdrawn)
    }
}

/// Answers the request when it has been pushed.
pub(super) type Pushing = oneshot::Receiver<Result<Request, PushError>>;

impl Drop for Request {
    fn drop(&mut self) {
        let (Some(job), Ok(runtime)) = (self.job, tokio::runtime::Handle::try_current()) else {
            return;
        };
        let (shared, table) = (Arc::clone(&self.shared), self.shared.table(&self.queue));
        runtime.spawn(async move {
            let withdrawn = shared.run(async |connection| jobs::withdraw(connection, &table, job).await).await;
            if let Err(error) = withdrawn {
                tracing::warn!(%job, queue = %table.queue(), %error, "an abandoned request could not be taken back");
            }
        });
    }
}
