//! Moving the jobs' time.

use std::time::{Duration, SystemTime};

use pg_queue_core::{DatabaseError, testing};
use sqlx::PgConnection;

use crate::PgQueue;

/// The clock of a test database's jobs, which can be moved: when they are due, for how long unique keys are remembered,
/// leases of popped jobs stand and finished jobs are kept.
///
/// ```no_run
/// # use std::time::Duration;
/// # async fn example(mgr: pg_queue_client::PgQueue) -> Result<(), pg_queue_client::testing::ClockError> {
/// let clock = pg_queue_client::testing::Clock::of(&mgr).await?;
/// clock.advance(Duration::from_secs(3 * 24 * 3600)).await?; // what was scheduled for tomorrow is due
/// # Ok(())
/// # }
/// ```
///
/// **Only for databases of tests.** The clock is the database's, not this process's: whoever works there, in whatever
/// process, sees it move, jobs of others become due, and it stays moved when this value is dropped. All clocks of a database
/// (more exactly: of a schema in it) are one; tests that run at the same time take a database each. Nothing but this type
/// moves it, and nothing but the feature `testing` has this type, which belongs among the `dev-dependencies`.
///
/// The time goes on from where it was set, as fast as ever. Workers that run are woken by each move and look again; what they
/// do by their own watch (looking after the history once an hour, and the like) they do as before.
///
/// Who is alive is not a matter of this clock: heartbeats, and the deaths of workers, go by the server's own, and so do the
/// cache and replies. A job that runs is looked for only among those that are due: if its worker dies while the clock is
/// before its time, it is rescued when that has come again.
#[derive(Debug, Clone)]
pub struct Clock {
    queue: PgQueue,
}

impl Clock {
    /// The clock of the jobs of this handle's database and schema. It shows the server's time, until it is moved; or what
    /// another clock of the same database was moved to. It is put there with the first call, in the place of the function
    /// `pg_queue_now()`.
    ///
    /// # Errors
    /// The migrations are missing, the user does not own the tables, or the database failed.
    pub async fn of(queue: &PgQueue) -> Result<Self, ClockError> {
        let install = async |connection: &mut PgConnection| {
            // In a database that is not migrated, the error of the first question says so better than that of making a table.
            testing::now(&mut *connection, queue.schema()).await?;
            testing::install_clock(&mut *connection, queue.schema()).await
        };
        queue.shared().run(install).await?;
        Ok(Self { queue: queue.clone() })
    }

    /// What it shows.
    ///
    /// # Errors
    /// The database failed.
    pub async fn now(&self) -> Result<SystemTime, ClockError> {
        let schema = self.queue.schema();
        Ok(self.queue.shared().run(async |connection| testing::now(connection, schema).await).await?)
    }

    /// Moves it ahead. Answers what it shows then.
    ///
    /// # Errors
    /// It was [reset](Self::reset), or the database failed.
    pub async fn advance(&self, by: Duration) -> Result<SystemTime, ClockError> {
        let schema = self.queue.schema();
        let advance = async |connection: &mut PgConnection| testing::advance_clock(connection, schema, by).await;
        self.queue.shared().run(advance).await?.ok_or(ClockError::Reset)
    }

    /// Sets it, ahead or back, to a moment between the years 1970 and 9999. Answers what it shows then. What was due may have
    /// to wait again.
    ///
    /// # Errors
    /// It was [reset](Self::reset), or the database failed.
    pub async fn set(&self, to: SystemTime) -> Result<SystemTime, ClockError> {
        let schema = self.queue.schema();
        let set = async |connection: &mut PgConnection| testing::set_clock(connection, schema, to).await;
        self.queue.shared().run(set).await?.ok_or(ClockError::Reset)
    }

    /// Gives the jobs the server's time back, and the function that tells it. All clocks of this database end with that.
    ///
    /// # Errors
    /// The database failed.
    pub async fn reset(self) -> Result<(), ClockError> {
        let schema = self.queue.schema();
        Ok(self.queue.shared().run(async |connection| testing::remove_clock(connection, schema).await).await?)
    }
}

/// Why the clock was not moved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClockError {
    /// Somebody has given the jobs the server's time back.
    #[error("the clock of this database was reset: make another one with `Clock::of`")]
    Reset,
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}
