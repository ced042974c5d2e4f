//! What answers a request.

use std::future::Future;

use pg_queue_core::Request;

use crate::Context;

/// Answers the requests of a type: registered by [`respond`](crate::WorkerBuilder::respond) in the same worker as handlers, with
/// their state, concurrency and shutdown.
///
/// ```
/// use pg_queue_core::{Failed, Request};
/// use pg_queue_worker::{Context, Responder};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize, Request)]
/// #[request(crate = "pg_queue_core", queue = "sums", response = i64)]
/// struct Add(i64, i64);
///
/// struct App;
///
/// impl Responder<App> for Add {
///     async fn respond(self, _ctx: Context<App>) -> Result<i64, Failed> {
///         Ok(self.0.checked_add(self.1).ok_or("the sum is too large")?)
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no responder for the state `{S}`",
    label = "needs `impl Responder<{S}> for {Self}`",
    note = "all handlers and responders of one worker have the same state: the type that is given to `WorkerBuilder::build`"
)]
pub trait Responder<S>: Request {
    /// Answers one request. Its caller gets the response, or the error as it is. A panic reaches it as an error of its own.
    ///
    /// When [`Context::cancelled`] resolves, nobody waits any longer (the deadline has passed, or the caller has gone away), or
    /// the worker shuts down: the attempt should end soon. Some seconds later it is dropped where it awaits.
    fn respond(self, ctx: Context<S>) -> impl Future<Output = Result<Self::Response, Self::Error>> + Send;
}
