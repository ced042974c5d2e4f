//! Why a call has no response.

use pg_queue_core::{DecodeError, Failed, QueueError, QueueName, RequestId, jobs::PushError};

/// Why a call has no response. `E` is the error that the request's type names; without one, a message.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError<E = Failed> {
    /// The responder answered with an error of its own.
    #[error("{0}")]
    App(E),
    /// No live worker responds to requests of this type. The request was taken back.
    #[error("nobody responds to {kind:?} in queue \"{queue}\": no worker that has it registered is running")]
    NoResponder {
        /// The queue that it was pushed to.
        queue: QueueName,
        /// The type of request.
        kind: String,
    },
    /// The responder panicked.
    #[error("the responder panicked: {message}")]
    Panicked {
        /// What the panic said.
        message: String,
    },
    /// The responder could not read the request: it was built with another version of the type.
    #[error("the responder could not read the request: {message}")]
    Undecodable {
        /// What did not fit.
        message: String,
    },
    /// The responder has ended without an answer: it was shut down, or its answer cannot be sent.
    #[error("the responder gave no answer: {message}")]
    Interrupted {
        /// Why.
        message: String,
    },
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
    /// The request was not answered in time.
    #[error("the request was not answered in time")]
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
