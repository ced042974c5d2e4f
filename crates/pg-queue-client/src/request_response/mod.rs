//! Asking through a queue and waiting for the answer.

mod inbox;

use std::{sync::Arc, time::Duration};

use pg_queue_core::{
    JobId, PushOptions, QueueError, QueueName, RequestId,
    jobs::{self, NewJob, PushError, RAW_KIND},
    replies::{self, StoreReplyError},
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::{sync::OnceCell, time::timeout};

use self::inbox::{InboxTask, Waiting};
use crate::{on, shared::Shared};

/// How long a reply waits for its caller to fetch it. The caller is waiting already, so this only has to outlast a
/// reconnect.
const KEEP_REPLY: Duration = Duration::from_secs(300);

/// Requests through a queue, answered by whoever pops them.
///
/// All calls of a process share one inbox on its one listener connection. A lost notification is made good by a look at
/// the table every half second while a call waits.
#[derive(Debug, Clone)]
pub struct RequestResponse {
    shared: Arc<Shared>,
    inbox: Arc<OnceCell<InboxTask>>,
}

impl RequestResponse {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, inbox: Arc::default() }
    }

    /// Pushes `request` to `queue` and waits for the response. The request is tried once. When this future is dropped, a
    /// request that nobody has taken yet is taken back.
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
        let inbox = self.inbox.get_or_init(|| async { InboxTask::start(Arc::clone(&self.shared)) }).await;
        let mut waiting = inbox.expect_reply();
        let id = waiting.id;
        let mut job = NewJob::new(RAW_KIND, request)?;
        job.options = PushOptions::default().max_attempts(1);
        job.request_id = Some(id);
        let mut request = Request { shared: &self.shared, queue, job: None };
        let call = async {
            request.job = Some(on::push(&self.shared, queue, &job).await?.id());
            waiting.reply().await.ok_or(CallError::InboxClosed)
        };
        let body = match timeout(timeout_after, call).await {
            Ok(body) => body?,
            Err(_) => self.last_look(id, &mut request, &mut waiting).await?,
        };
        request.job = None;
        serde_json::from_str(&body).map_err(|source| CallError::Decode { request: id, source })
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
        let mut connection = self.shared.acquire().await?;
        let schema = &self.shared.schema;
        // Bounded and by index: whoever answers also clears away what nobody fetched.
        replies::prune(&mut *connection, schema).await?;
        replies::store(&mut *connection, schema, *request_id, response, KEEP_REPLY).await
    }

    /// The time is up: perhaps the reply is there and only its notification was lost.
    async fn last_look(
        &self,
        id: RequestId,
        request: &mut Request<'_>,
        waiting: &mut Waiting,
    ) -> Result<String, CallError> {
        if let Some(body) = waiting.delivered() {
            return Ok(body);
        }
        let mut connection = self.shared.acquire().await.map_err(QueueError::Database)?;
        let came = replies::take(&mut *connection, &self.shared.schema, &[id]).await.map_err(QueueError::Database)?;
        if let Some((_, body)) = came.into_iter().next() {
            return Ok(body);
        }
        let Some(job) = request.job.take() else {
            return Err(CallError::TimedOut);
        };
        let table = self.shared.table(request.queue);
        if jobs::withdraw(&mut *connection, &table, job).await? {
            Err(CallError::NotTaken { queue: request.queue.clone() })
        } else {
            Err(CallError::TimedOut)
        }
    }
}

/// A request that was pushed. Taken back when its caller goes away before the end.
struct Request<'a> {
    shared: &'a Arc<Shared>,
    queue: &'a QueueName,
    job: Option<JobId>,
}

impl Drop for Request<'_> {
    fn drop(&mut self) {
        let (Some(job), Ok(runtime)) = (self.job, tokio::runtime::Handle::try_current()) else {
            return;
        };
        let (shared, table) = (Arc::clone(self.shared), self.shared.table(self.queue));
        runtime.spawn(async move {
            let withdrawn = async {
                let mut connection = shared.acquire().await?;
                jobs::withdraw(&mut *connection, &table, job).await
            };
            if let Err(error) = withdrawn.await {
                tracing::warn!(%job, queue = %table.queue(), %error, "an abandoned request could not be taken back");
            }
        });
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
    /// Somebody took the request and has not answered in time.
    #[error("the request was taken, but not answered in time")]
    TimedOut,
    /// The response is not what the caller expects.
    #[error("the response to request {request} does not decode: {source}")]
    Decode {
        /// The request.
        request: RequestId,
        /// What did not fit.
        source: serde_json::Error,
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
