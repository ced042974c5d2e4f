//! Asking through a queue and waiting for the answer.

mod inbox;
mod request;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use pg_queue_core::{
    DecodeError, PushOptions, QueueError, QueueName, RequestId, from_json,
    jobs::{NewJob, PushError, RAW_KIND},
    replies::{self, StoreReplyError},
};
use serde::{Serialize, de::DeserializeOwned};
use sqlx::PgConnection;
use tokio::time::timeout;

use self::{
    inbox::{InboxTask, Waiting},
    request::Request,
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
        job.options = PushOptions::default().max_attempts(1);
        let inbox = self.inbox();
        let mut waiting = inbox.expect_reply();
        let id = waiting.id;
        job.request_id = Some(id);
        let mut pushed = None;
        let call = async {
            let request = Request::push(&self.shared, queue, job).await.map_err(|_| CallError::InboxClosed)??;
            pushed = Some(request);
            waiting.reply().await.ok_or(CallError::InboxClosed)
        };
        let body = match timeout(timeout_after, call).await {
            Ok(body) => {
                let body = body?;
                pushed.into_iter().for_each(Request::answered);
                body
            }
            Err(_) => {
                let request = pushed.ok_or_else(|| CallError::NotPushed { queue: queue.clone() })?;
                let look = self.last_look(queue, request, &mut waiting);
                timeout(LAST_LOOK, look).await.unwrap_or(Err(CallError::TimedOut))?
            }
        };
        from_json(body.as_bytes()).map_err(|source| CallError::Decode { request: id, source })
    }

    /// Answers a request. `request_id` comes with the popped job. A second answer to the same request replaces the first
    /// one if that was not fetched yet. Completing the job is a call of its own.
    ///
    /// # Errors
    /// The response does not serialize or is longer than 64 MiB, or the database failed.
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
    async fn last_look(&self, queue: &QueueName, request: Request, waiting: &mut Waiting) -> Result<String, CallError> {
        let (schema, id) = (&self.shared.schema, waiting.id);
        let taken = self.shared.run(async |connection| replies::take(connection, schema, &[id]).await).await;
        let taken = taken.map_err(QueueError::Database)?;
        // Looked at after the table: the inbox may have taken it from there a moment before.
        if let Some(body) = taken.into_iter().next().map(|(_, body)| body).or_else(|| waiting.delivered()) {
            request.answered();
            return Ok(body);
        }
        if request.withdraw().await? {
            Err(CallError::NotTaken { queue: queue.clone() })
        } else {
            Err(CallError::TimedOut)
        }
    }
}

/// Why a call has no response.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// Nobody took the request in time; it was taken back.
    #[error("nobody took the request from queue \"{queue}\" in time: is a responder running?")]
    NotTaken {
        /// The queue that it was pushed to.
        queue: QueueName,
    },
    /// The request could not be pushed in time. If it comes through after all, it is taken back.
    #[error("the request could not be pushed to queue \"{queue}\" in time: the database or its pool is busy")]
    NotPushed {
        /// The queue that it was meant for.
        queue: QueueName,
    },
    /// Somebody took the request and has not answered in time.
    #[error("the request was taken, but not answered in time")]
    TimedOut,
    /// The response is not what the caller expects.
    #[error("the response to request {request} does not decode: {source}")]
    Decode {
        /// The request.
        request: RequestId,
        /// What did not fit.
        source: DecodeError,
    },
    /// The request could not be pushed.
    #[error(transparent)]
    Push(#[from] PushError),
    /// The queue is missing or the database failed.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// The runtime that drives the inbox has ended.
    #[error("the inbox has ended with the runtime that drove it")]
    InboxClosed,
}
