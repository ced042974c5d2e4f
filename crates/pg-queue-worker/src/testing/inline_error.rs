//! What can go wrong around jobs that run in the calling task.

use pg_queue_core::{JobId, QueueError};

use crate::RunError;

/// Why jobs could not be run in the calling task. How a job itself ends is no error here.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InlineError {
    /// Migrations or a queue are missing, or the database cannot be reached.
    #[error(transparent)]
    Start(#[from] RunError),
    /// A queue has gone, or the database failed. The job that ran has gone back, as far as the database could be reached.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// The end of an attempt could not be told.
    #[error(
        "how job {job} ended could not be told within 15 s: another transaction has locked its row, so commit or roll back what \
         the test has open; or the database refuses it, and the log says why"
    )]
    Unsettled {
        /// Which job.
        job: JobId,
    },
    /// A worker beside has not seen a sign of life for a quarter of an hour.
    #[error(
        "another worker has declared this test dead, since its thread was blocked for a quarter of an hour; its job may run there"
    )]
    DeclaredDead,
}
