//! Ending a worker from elsewhere.

use tokio_util::sync::CancellationToken;

/// Ends a worker from elsewhere. Cheap to clone; dropping it ends nothing.
///
/// ```no_run
/// # async fn example<S: Send + Sync + 'static>(worker: pg_queue_worker::Worker<S>) -> Result<(), pg_queue_worker::RunError> {
/// let handle = worker.handle();
/// let running = tokio::spawn(worker.run_until(std::future::pending::<()>()));
/// handle.shut_down(); // and `handle.hurry()` if it takes too long
/// # drop(running.await);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct WorkerHandle {
    /// Cancelled when the worker stops claiming.
    pub(crate) closing: CancellationToken,
    /// Cancelled when nobody waits for the worker's end: no patience with handlers.
    pub(crate) hurry: CancellationToken,
}

impl WorkerHandle {
    /// Shuts the worker down in order: it claims no more, waits for its handlers (at most for the shutdown timeout), and
    /// tells the database how they ended.
    pub fn shut_down(&self) {
        self.closing.cancel();
    }

    /// Shuts the worker down without waiting for its handlers: they are dropped, and their jobs go back at once.
    pub fn hurry(&self) {
        self.closing.cancel();
        self.hurry.cancel();
    }
}
