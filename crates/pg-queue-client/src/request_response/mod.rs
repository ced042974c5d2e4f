//! Asking through a queue and waiting for the answer.

mod call;
mod care;
mod error;
mod inbox;
mod pending;
mod receive;
mod silence;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use pg_queue_core::{
    PushOptions, QueueError, QueueName, Request, RequestId,
    jobs::{NewJob, RAW_KIND},
    replies::{self, StoreReplyError},
    requests,
};
use serde::{Serialize, de::DeserializeOwned};
use sqlx::PgConnection;
use tokio::time::timeout;

use self::{
    call::read,
    inbox::InboxTask,
    pending::{Answer, Waiting},
};
pub use self::{
    call::{Call, CallFuture},
    error::CallError,
};
use crate::shared::Shared;

/// How long a reply waits for its caller to fetch it. The caller is waiting already, so this only has to outlast a
/// reconnect.
const KEEP_REPLY: Duration = Duration::from_secs(300);

/// How much longer than its time a call may take, to look for a reply and take the request back.
const LAST_LOOK: Duration = Duration::from_secs(2);

/// Requests through a queue, answered by whoever pops them.
///
/// All calls of a process share one inbox on its one listener connection. A lost notification is made good by a look at
/// the table every half second while a call waits.
#[derive(Debug, Clone)]
pub struct RequestResponse {
    shared: Arc<Shared>,
    /// Started with the first call, and again when the runtime that drove it has ended.
    inbox: Arc<Mutex<Option<Arc<InboxTask>>>>,
}

impl RequestResponse {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, inbox: Arc::default() }
    }

    /// Pushes `request` to `queue` and waits for the response. The request is tried once. When this future is dropped, or
    /// the time is up, a request that nobody has taken yet is taken back.
    ///
    /// # Errors
    /// Nobody took the request in time, or somebody did and has not answered in time; the response is not a `Resp`; the
    /// request could not be pushed; or the database failed.
    pub async fn push_and_wait<Req, Resp>(
        &self,
        queue: &QueueName,
        request: &Req,
        timeout_after: Duration,
    ) -> Result<Resp, CallError>
    where
        Req: Serialize,
        Resp: DeserializeOwned,
    {
        let mut job = NewJob::new(RAW_KIND, request)?;
        // The column counts whole milliseconds.
        let limit = timeout_after.max(Duration::from_millis(1));
        job.options = PushOptions::default().max_attempts(1).timeout(limit);
        let mut waiting = self.inbox().send(queue, job, None);
        let answer = match timeout(timeout_after, waiting.answer()).await {
            Ok(answer) => answer.ok_or(CallError::InboxClosed)?,
            Err(_) => {
                let look = self.last_look(queue, &mut waiting);
                timeout(LAST_LOOK, look).await.unwrap_or(Err(CallError::TimedOut))?
            }
        };
        match answer {
            Answer::Reply(status, body) => read(waiting.id, status, &body),
            Answer::NotPushed(error) => Err(error.into()),
            Answer::NoResponder => Err(CallError::NotTaken { queue: queue.clone() }),
        }
    }

    /// Sends a request to whoever responds to its type, and waits for the response: see [`Call`].
    pub fn call<R: Request>(&self, request: &R) -> Call<R> {
        Call::new(self.clone(), request)
    }

    /// Answers a request. `request_id` comes with the popped job. A second answer to the same request replaces the first
    /// one if that was not fetched yet. Completing the job is a call of its own.
    ///
    /// # Errors
    /// The response does not serialize or is longer than 16 MiB, or the database failed.
    pub async fn store_response(
        &self,
        request_id: &RequestId,
        response: &impl Serialize,
    ) -> Result<(), StoreReplyError> {
        let mut link = self.shared.acquire().await?;
        let schema = &self.shared.schema;
        let store = async |connection: &mut PgConnection| {
            replies::store(connection, schema, *request_id, response, KEEP_REPLY).await
        };
        link.run(store).await?;
        // Bounded and by index: whoever answers also clears away what nobody fetched.
        if let Err(error) = link.run(async |connection| replies::prune(connection, schema).await).await {
            tracing::warn!(%error, "replies that nobody fetched could not be cleared away");
        }
        Ok(())
    }

    fn inbox(&self) -> Arc<InboxTask> {
        let mut running = self.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(inbox) = running.as_ref().filter(|inbox| !inbox.has_ended()) {
            return Arc::clone(inbox);
        }
        let inbox = Arc::new(InboxTask::start(Arc::clone(&self.shared)));
        *running = Some(Arc::clone(&inbox));
        inbox
    }

    /// The time is up: perhaps the reply is there and only its notification was lost.
    async fn last_look(&self, queue: &QueueName, waiting: &mut Waiting) -> Result<Answer, CallError> {
        let Some((_, job)) = waiting.place() else {
            return waiting.answered().ok_or_else(|| CallError::NotPushed { queue: queue.clone() });
        };
        let (schema, id) = (&self.shared.schema, waiting.id);
        let taken = self.shared.run(async |connection| replies::take(connection, schema, &[id]).await).await;
        let taken = taken.map_err(QueueError::Database)?.into_iter().next();
        let taken = taken.map(|reply| Answer::Reply(reply.status, reply.body));
        // Looked at after the table: the inbox may have taken it from there a moment before.
        if let Some(answer) = waiting.answered().or(taken) {
            return Ok(answer);
        }
        let table = self.shared.table(queue);
        let withdraw = async |connection: &mut PgConnection| requests::withdraw(connection, &table, &[job]).await;
        if self.shared.run(withdraw).await?.is_empty() {
            Err(CallError::TimedOut)
        } else {
            Err(CallError::NotTaken { queue: queue.clone() })
        }
    }
}
