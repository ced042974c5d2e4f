//! The calls of a process that wait, and what is to be done about those that do not any more.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use pg_queue_core::{
    JobId, QueueName, RequestId,
    jobs::PushError,
    replies::{Reply, Status},
};
use tokio::{
    sync::{Notify, oneshot},
    time::Instant,
};

/// What a call waits for.
#[derive(Debug)]
pub(super) enum Answer {
    Reply(Status, String),
    NoResponder,
    NotPushed(PushError),
}

/// A request's place in the database.
pub(super) type Place = (QueueName, JobId);

/// Whom a call needs, and from when on it is not waited for.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) queue: QueueName,
    pub(super) kind: &'static str,
    pub(super) patient_until: Instant,
}

/// A call that waits.
#[derive(Debug)]
pub(super) struct Open {
    answer: oneshot::Sender<Answer>,
    pub(super) since: Instant,
    /// Known as soon as it is pushed.
    pub(super) pushed: Option<Place>,
    pub(super) wanted: Option<Wanted>,
}

/// What is to be done beside waiting.
#[derive(Debug, Default)]
pub(super) struct Chores {
    /// Replies that came with their notifications, and when the first of them did.
    pub(super) received: Vec<RequestId>,
    pub(super) received_since: Option<Instant>,
    /// Requests whose callers have gone away.
    pub(super) abandoned: Vec<Place>,
    /// Notifications may have been lost.
    pub(super) missed: bool,
}

impl Chores {
    /// Answers whether it is the first one.
    fn receive(&mut self, id: RequestId) -> bool {
        let first = self.received.is_empty();
        if first {
            self.received_since = Some(Instant::now());
        }
        self.received.push(id);
        first
    }
}

/// The calls that wait, by correlation id.
#[derive(Debug, Default)]
pub(super) struct Pending {
    state: Mutex<State>,
    /// Rung when there is something to do or to wait for, and there was nothing before.
    pub(super) bell: Notify,
}

#[derive(Debug, Default)]
struct State {
    calls: HashMap<RequestId, Open>,
    chores: Chores,
}

impl Pending {
    /// A call begins.
    pub(super) fn expect(self: &Arc<Self>, id: RequestId, wanted: Option<Wanted>) -> Waiting {
        let (answer, receiver) = oneshot::channel();
        let open = Open { answer, since: Instant::now(), pushed: None, wanted };
        let mut state = self.state();
        let first = state.calls.is_empty();
        state.calls.insert(id, open);
        drop(state);
        if first {
            self.bell.notify_one();
        }
        Waiting { id, answer: receiver, pending: Arc::clone(self) }
    }

    /// A request was pushed. If its caller has gone away in the meantime, it is to be taken back.
    pub(super) fn pushed(&self, id: RequestId, place: Place) {
        let mut state = self.state();
        match state.calls.get_mut(&id) {
            Some(open) => open.pushed = Some(place),
            None => {
                drop(state);
                self.abandon(id, place);
            }
        }
    }

    /// A request is to be taken back, and a reply that it may have already is to be removed.
    fn abandon(&self, id: RequestId, place: Place) {
        self.chores(|chores| {
            chores.abandoned.push(place);
            chores.receive(id);
        });
        self.bell.notify_one();
    }

    /// Answers a call, if it still waits.
    pub(super) fn answer(&self, id: RequestId, answer: Answer) {
        let open = self.state().calls.remove(&id);
        if let Some(open) = open {
            // Who has just gone away does not miss it.
            drop(open.answer.send(answer));
        }
    }

    /// A reply has come with its notification. What is stored of it is to be removed, whether somebody waits or not.
    pub(super) fn came(&self, id: RequestId, status: Status, body: &str) {
        let mut state = self.state();
        let open = state.calls.remove(&id);
        let first = state.chores.receive(id);
        drop(state);
        if first {
            self.bell.notify_one();
        }
        if let Some(open) = open {
            drop(open.answer.send(Answer::Reply(status, body.to_owned())));
        }
    }

    /// Replies that were taken from the table.
    pub(super) fn taken(&self, replies: Vec<Reply>) {
        for Reply { request, status, body } in replies {
            self.answer(request, Answer::Reply(status, body));
        }
    }

    /// Notifications may have been lost.
    pub(super) fn may_have_missed(&self) {
        self.state().chores.missed = true;
        self.bell.notify_one();
    }

    /// Whether nobody waits, and there is nothing to do.
    pub(super) fn is_idle(&self) -> bool {
        let State { calls, chores } = &*self.state();
        calls.is_empty() && chores.received.is_empty() && chores.abandoned.is_empty()
    }

    /// What of all that waits meets a condition.
    pub(super) fn collect<T>(&self, of: impl Fn(RequestId, &Open) -> Option<T>) -> Vec<T> {
        self.state().calls.iter().filter_map(|(id, open)| of(*id, open)).collect()
    }

    /// Somebody has taken the request: it is waited for.
    pub(super) fn is_served(&self, id: RequestId) {
        if let Some(open) = self.state().calls.get_mut(&id) {
            open.wanted = None;
        }
    }

    pub(super) fn chores<T>(&self, of: impl FnOnce(&mut Chores) -> T) -> T {
        of(&mut self.state().chores)
    }

    /// Ends the calls that wait: nobody receives replies any more.
    pub(super) fn end(&self) {
        let calls = std::mem::take(&mut self.state().calls);
        // Not under the lock: this wakes those who wait.
        drop(calls);
    }

    /// Nobody waits for this reply any more. Answers where its request is, if it was pushed and not answered.
    fn leave(&self, id: RequestId) -> Option<Place> {
        self.state().calls.remove(&id)?.pushed
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call that waits. Its request is taken back when this is dropped without an answer.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) id: RequestId,
    answer: oneshot::Receiver<Answer>,
    pending: Arc<Pending>,
}

impl Waiting {
    /// The answer; `None` when the inbox has ended.
    pub(super) async fn answer(&mut self) -> Option<Answer> {
        (&mut self.answer).await.ok()
    }

    /// The answer, if it is here already.
    pub(super) fn answered(&mut self) -> Option<Answer> {
        self.answer.try_recv().ok()
    }

    /// Where the request is, if it is known to be pushed and was not answered.
    pub(super) fn place(&self) -> Option<Place> {
        self.pending.state().calls.get(&self.id)?.pushed.clone()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(place) = self.pending.leave(self.id) {
            self.pending.abandon(self.id, place);
        }
    }
}
