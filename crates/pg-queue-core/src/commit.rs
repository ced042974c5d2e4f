//! How a transaction that enqueues or publishes is committed.

/// How a transaction that enqueues or publishes is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Commit {
    /// As the connection is set up: in the log on the disk before the answer, unless somebody has set it otherwise.
    #[default]
    AsSet,
    /// Not waiting for the disk: a crash of the server loses jobs that were answered in its last moments, up to three times
    /// its `wal_writer_delay` (0.6 s by default).
    ///
    /// Set inside of the statement and for its transaction only, so not for a connection with an open transaction, which
    /// would be committed in this way as a whole.
    LoseOnCrash,
}
