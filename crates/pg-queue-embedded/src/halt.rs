//! The two ways to end a server whose data is to stay.

/// How [`Server::halt`](crate::Server::halt) ends a private server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Halt {
    /// In order, like `pg_ctl stop -m fast`: connections are ended, what they had not committed is rolled back, and a
    /// checkpoint writes everything to the data directory.
    Fast,

    /// Like a crash, `pg_ctl stop -m immediate`: nothing more is written. The next start recovers what was committed
    /// from the write-ahead log, and empties `UNLOGGED` tables.
    ///
    /// With [`Settings::for_tests`](crate::Settings::for_tests) the last commits may be lost, because a commit does not
    /// wait there until the log has it; they are there with [`Settings::durable`](crate::Settings::durable).
    Immediate,
}
