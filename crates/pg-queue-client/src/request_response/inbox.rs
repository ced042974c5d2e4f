//! The one inbox of a process: receiving replies and handing each to its caller.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use pg_queue_core::{Inbox, RequestId, replies};
use tokio::{
    sync::{Notify, oneshot},
    task::JoinHandle,
    time::sleep,
};

use crate::{Listener, RecvError, shared::Shared};

/// How often the table is looked at while calls wait, in case a notification was lost.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The calls that wait, by correlation id.
#[derive(Debug, Default)]
struct Pending {
    calls: Mutex<HashMap<RequestId, oneshot::Sender<String>>>,
    /// Rung when a call begins: the task sleeps while none waits.
    begun: Notify,
}

impl Pending {
    fn calls(&self) -> std::sync::MutexGuard<'_, HashMap<RequestId, oneshot::Sender<String>>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ids(&self) -> Vec<RequestId> {
        self.calls().keys().copied().collect()
    }
}

/// Receives the replies of a process while it lives.
#[derive(Debug)]
pub(super) struct InboxTask {
    inbox: Inbox,
    pending: Arc<Pending>,
    task: JoinHandle<()>,
}

impl InboxTask {
    pub(super) fn start(shared: Arc<Shared>) -> Self {
        let inbox = Inbox::random();
        let pending = Arc::<Pending>::default();
        let task = tokio::spawn(receive(shared, inbox, Arc::clone(&pending)));
        Self { inbox, pending, task }
    }

    /// Whether nobody receives replies any more: the runtime that did has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.task.is_finished()
    }

    /// A new correlation id, entered before the request is pushed, so that no reply can come too early.
    pub(super) fn expect_reply(&self) -> Waiting {
        let id = RequestId::random(self.inbox);
        let (sender, reply) = oneshot::channel();
        self.pending.calls().insert(id, sender);
        self.pending.begun.notify_one();
        Waiting { id, reply, pending: Arc::clone(&self.pending) }
    }
}

impl Drop for InboxTask {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A call that waits for its reply.
pub(super) struct Waiting {
    pub(super) id: RequestId,
    reply: oneshot::Receiver<String>,
    pending: Arc<Pending>,
}

impl Waiting {
    /// The reply; `None` when the inbox has ended.
    pub(super) async fn reply(&mut self) -> Option<String> {
        (&mut self.reply).await.ok()
    }

    /// The reply, if it is here already.
    pub(super) fn delivered(&mut self) -> Option<String> {
        self.reply.try_recv().ok()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.pending.calls().remove(&self.id);
    }
}

/// Ends the calls that wait when the task ends, whatever ends it.
struct EndCalls(Arc<Pending>);

impl Drop for EndCalls {
    fn drop(&mut self) {
        self.0.calls().clear();
    }
}

async fn receive(shared: Arc<Shared>, inbox: Inbox, pending: Arc<Pending>) {
    let _end_calls = EndCalls(Arc::clone(&pending));
    let channel = inbox.channel();
    let mut listener = None;
    loop {
        if listener.is_none() {
            // Without one it works as well, by looking.
            listener = (shared.hub.attach_in_background(&[&channel]))
                .inspect_err(|error| tracing::warn!(%error, "no listener for replies: polling"))
                .ok();
        }
        let came = tokio::select! {
            came = notified(&mut listener) => came,
            () = sleep(LOOK_EVERY) => Vec::new(),
        };
        let mut waiting = pending.ids();
        if !came.is_empty() {
            waiting.retain(|id| came.contains(id));
        }
        if waiting.is_empty() {
            if came.is_empty() && pending.ids().is_empty() {
                // Nobody waits: no polling until somebody does.
                pending.begun.notified().await;
            }
            continue;
        }
        if let Err(error) = deliver(&shared, &pending, &waiting).await {
            tracing::warn!(%error, "replies could not be fetched: trying again");
            sleep(LOOK_EVERY).await;
        }
    }
}

/// The requests that were answered, all that are here at once. Empty: look at all that are waiting.
async fn notified(listener: &mut Option<Listener>) -> Vec<RequestId> {
    let Some(open) = listener else {
        return std::future::pending().await;
    };
    let mut came = Vec::new();
    let mut next = open.recv().await;
    loop {
        match next {
            Ok(notification) => came.extend(notification.payload.parse().map(RequestId::from_uuid)),
            Err(RecvError::Closed) => {
                *listener = None;
                // Not at once again: whatever ended it may end the next one as well.
                sleep(LOOK_EVERY).await;
                return Vec::new();
            }
            Err(_) => return Vec::new(),
        }
        match open.try_recv() {
            Ok(Some(notification)) => next = Ok(notification),
            Ok(None) => return came,
            Err(error) => next = Err(error),
        }
    }
}

async fn deliver(
    shared: &Shared,
    pending: &Pending,
    waiting: &[RequestId],
) -> Result<(), pg_queue_core::DatabaseError> {
    let schema = &shared.schema;
    for (id, body) in shared.run(async |connection| replies::take(connection, schema, waiting).await).await? {
        if let Some(call) = pending.calls().remove(&id) {
            // A caller that has just gone away does not miss it.
            drop(call.send(body));
        }
    }
    Ok(())
}
