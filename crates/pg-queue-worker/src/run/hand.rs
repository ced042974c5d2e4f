//! Connections at hand: those that were used a moment ago, for who has the same to do again.
//!
//! A connection that goes back to the pool is looked at by a round trip, in a task of its own, and the next statement meanwhile
//! takes another one: a busy worker sent as many looks as statements, and each of its connections had to prepare all statements
//! and to map all of the server's pages.

use std::sync::{Mutex, MutexGuard, PoisonError};

use sqlx::{PgPool, Postgres, pool::PoolConnection};
use tokio::time::{Duration, Instant};

/// How long a connection stays at hand without being used. The pool closes those that are idle for long.
const IDLE: Duration = Duration::from_secs(30);

/// How long a connection stays at hand in all. The pool replaces those that are old.
const LIFE: Duration = Duration::from_secs(300);

const ROLES: usize = 4;

/// What a connection is kept for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Claims,
    Acknowledgements,
    Replies,
    /// Everything else.
    Care,
}

/// At most one for each role.
#[derive(Debug, Default)]
pub(super) struct Hand(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    kept: Vec<Kept>,
    /// Since when what is kept for a role has not been in the pool.
    since: [Option<Instant>; ROLES],
    /// How many wait for the pool. As long as somebody does, what is put back goes there.
    waiting: usize,
    closed: bool,
}

#[derive(Debug)]
struct Kept {
    role: Role,
    connection: PoolConnection<Postgres>,
    used: Instant,
}

impl Hand {
    /// Takes the connection of this role, or one from the pool, or another one that is not in use.
    pub(super) async fn take(&self, pool: &PgPool, role: Role) -> Result<PoolConnection<Postgres>, sqlx::Error> {
        let spare = pool.num_idle() > 0 || pool.size() < pool.options().get_max_connections();
        let (taken, idle) = self.state().take(role, spare, Instant::now());
        // These go back to the pool. Not under the lock.
        drop(idle);
        let waiting = match taken {
            Ok(connection) => return Ok(connection),
            Err(Waits) => Waiting(self),
        };
        let acquired = pool.acquire().await;
        drop(waiting);
        acquired
    }

    /// Puts back a connection with which nothing is wrong.
    pub(super) fn put(&self, role: Role, connection: PoolConnection<Postgres>) {
        let mut state = self.state();
        let now = Instant::now();
        let since = *state.since[role as usize].get_or_insert(now);
        if state.kept.iter().any(|kept| kept.role == role) {
            drop(state);
            drop(connection);
        } else if state.closed || state.waiting > 0 || now - since > LIFE {
            state.since[role as usize] = None;
            drop(state);
            drop(connection);
        } else {
            state.kept.push(Kept { role, connection, used: now });
        }
    }

    /// Gives all back to the pool, and whatever is put back from now on.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        let kept = std::mem::take(&mut state.kept);
        drop(state);
        drop(kept);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Nothing is at hand; whoever asked is counted as waiting.
struct Waits;

impl State {
    /// A connection for this role, and those that have been idle for too long.
    fn take(&mut self, role: Role, spare: bool, now: Instant) -> (Result<PoolConnection<Postgres>, Waits>, Vec<Kept>) {
        let idle = self.kept.extract_if(.., |kept| now - kept.used > IDLE).collect();
        let own = self.kept.iter().position(|kept| kept.role == role);
        let other = if spare { None } else { self.kept.len().checked_sub(1) };
        let taken = match own.or(other) {
            Some(place) => Ok(self.kept.remove(place).connection),
            // Under the same lock as the look, so that whoever puts one back sees it.
            None => {
                self.waiting += 1;
                Err(Waits)
            }
        };
        (taken, idle)
    }
}

/// Somebody who waits for the pool, until it is dropped.
struct Waiting<'h>(&'h Hand);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.state().waiting -= 1;
    }
}
