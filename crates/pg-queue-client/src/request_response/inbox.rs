//! The one inbox of a process: where replies come, and whom they go to.

use std::sync::Arc;

use pg_queue_core::{Inbox, QueueName, RequestId, jobs::NewJob};
use tokio::task::JoinHandle;

use super::{
    care,
    pending::{Answer, Pending, Waiting, Wanted},
    receive,
};
use crate::{on, shared::Shared};

/// Receives the replies of a process while it lives.
#[derive(Debug)]
pub(super) struct InboxTask {
    shared: Arc<Shared>,
    inbox: Inbox,
    pending: Arc<Pending>,
    tasks: [JoinHandle<()>; 2],
}

impl InboxTask {
    pub(super) fn start(shared: Arc<Shared>) -> Self {
        let inbox = Inbox::random();
        let pending = Arc::<Pending>::default();
        let ends = EndCalls(Arc::clone(&pending));
        let receive = receive::run(Arc::clone(&shared), inbox, Arc::clone(&pending));
        let receive = tokio::spawn(async move {
            let _ends = ends;
            receive.await;
        });
        let care = tokio::spawn(care::run(Arc::clone(&shared), inbox, Arc::clone(&pending)));
        Self { shared, inbox, pending, tasks: [receive, care] }
    }

    /// Whether nobody receives replies any more: the runtime that did has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.tasks.iter().any(JoinHandle::is_finished)
    }

    /// Sends a request. Its call is entered before, so that no reply can come too early.
    ///
    /// It is pushed in a task of its own, which a caller that goes away does not interrupt: half-way nobody would know whether
    /// there is something to take back.
    pub(super) fn send(&self, queue: &QueueName, mut job: NewJob, wanted: Option<Wanted>) -> Waiting {
        let id = RequestId::random(self.inbox);
        job.request_id = Some(id);
        let waiting = self.pending.expect(id, wanted);
        let (shared, pending, queue) = (Arc::clone(&self.shared), Arc::clone(&self.pending), queue.clone());
        tokio::spawn(async move {
            match on::push_request(&shared, &queue, job).await {
                Ok(outcome) => pending.pushed(id, (queue, outcome.id())),
                Err(error) => pending.answer(id, Answer::NotPushed(error)),
            }
        });
        waiting
    }
}

impl Drop for InboxTask {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Ends the calls that wait when the task ends, whatever ends it.
struct EndCalls(Arc<Pending>);

impl Drop for EndCalls {
    fn drop(&mut self) {
        self.0.end();
    }
}
