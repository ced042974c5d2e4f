//! Connections with pinned plans, for jobs that are driven by hand.
//!
//! A claim needs its plan pinned. To do that in a transaction costs two round trips more for each, and a pool looks at a connection
//! that it gives out and at one that it gets back: a consumer that takes and completes batch after batch spent a tenth of its
//! time on that. So the connection that it has used stays pinned and at hand for a moment.

use std::{
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use pg_queue_core::{DatabaseError, PIN_PLANS, UNPIN_PLANS};
use sqlx::{Executor, PgConnection, Postgres, pool::PoolConnection};
use tokio::{
    runtime::{self, Handle},
    time::{Instant, sleep},
};

use crate::shared::Shared;

/// How long a connection stays at hand without being used.
const LINGER: Duration = Duration::from_millis(50);

/// How often it is looked at meanwhile whether the pool has others still. If not, somebody may wait for this one.
const LOOK: Duration = Duration::from_millis(5);

/// The connections that are pinned, each with a task that unpins it in the end. By runtime: the task ends with its own.
#[derive(Debug, Default)]
pub(crate) struct Pinned(Mutex<Vec<Arc<Slot>>>);

#[derive(Debug)]
struct Slot {
    runtime: runtime::Id,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    connection: Option<PoolConnection<Postgres>>,
    used: Instant,
}

/// A connection on which plans are pinned. To be [put back](Self::put_back) after statements that were answered.
#[derive(Debug)]
pub(crate) struct PinnedConnection {
    shared: Arc<Shared>,
    slot: Option<Arc<Slot>>,
    connection: Option<PoolConnection<Postgres>>,
}

impl PinnedConnection {
    pub(crate) async fn acquire(shared: &Arc<Shared>) -> Result<Self, DatabaseError> {
        if let Some((slot, connection)) = shared.pinned.take(Handle::current().id()) {
            return Ok(Self { shared: Arc::clone(shared), slot: Some(slot), connection: Some(connection) });
        }
        let connection = shared.acquire().await?;
        // From here on it is unpinned whatever happens.
        let mut pinned = Self { shared: Arc::clone(shared), slot: None, connection: Some(connection) };
        pinned.execute(PIN_PLANS).await.map_err(|error| DatabaseError::new(error, &shared.schema))?;
        Ok(pinned)
    }

    /// Keeps it at hand for a moment, if the pool has others.
    pub(crate) fn put_back(mut self) {
        if self.shared.has_spare_connection()
            && let Some(connection) = self.connection.take()
        {
            self.shared.pinned.put(&self.shared, self.slot.take(), connection);
        }
    }
}

impl Deref for PinnedConnection {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        self.connection.as_ref().expect("it is taken with the value itself")
    }
}

impl DerefMut for PinnedConnection {
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.connection.as_mut().expect("it is taken with the value itself")
    }
}

/// Also when the caller has gone away in the midst of a statement: what is sent next waits for its end.
impl Drop for PinnedConnection {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            unpin(connection);
        }
    }
}

impl Pinned {
    fn take(&self, runtime: runtime::Id) -> Option<(Arc<Slot>, PoolConnection<Postgres>)> {
        let slots = self.slots();
        let mut own = slots.iter().filter(|slot| slot.runtime == runtime);
        own.find_map(|slot| Some((Arc::clone(slot), slot.state().connection.take()?)))
    }

    fn put(&self, shared: &Arc<Shared>, slot: Option<Arc<Slot>>, connection: PoolConnection<Postgres>) {
        let mut slots = self.slots();
        if let Some(slot) = slot.filter(|slot| slots.iter().any(|kept| Arc::ptr_eq(kept, slot))) {
            *slot.state() = State { connection: Some(connection), used: Instant::now() };
            return;
        }
        let state = Mutex::new(State { connection: Some(connection), used: Instant::now() });
        let slot = Arc::new(Slot { runtime: Handle::current().id(), state });
        slots.push(Arc::clone(&slot));
        drop(slots);
        tokio::spawn(Keeper { shared: Arc::clone(shared), slot }.run());
    }

    /// Takes the slot off the list, and what is in it.
    fn remove(&self, slot: &Arc<Slot>) -> Option<PoolConnection<Postgres>> {
        let mut slots = self.slots();
        slots.retain(|kept| !Arc::ptr_eq(kept, slot));
        slot.state().connection.take()
    }

    fn slots(&self) -> MutexGuard<'_, Vec<Arc<Slot>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks after one slot, until it has not been used for a while.
struct Keeper {
    shared: Arc<Shared>,
    slot: Arc<Slot>,
}

impl Keeper {
    async fn run(self) {
        loop {
            sleep(LOOK).await;
            let idle = self.slot.state().used.elapsed() >= LINGER;
            if idle || !self.shared.has_spare_connection() {
                return;
            }
        }
    }
}

/// The end of its time, or that of its runtime.
impl Drop for Keeper {
    fn drop(&mut self) {
        if let Some(connection) = self.shared.pinned.remove(&self.slot) {
            unpin(connection);
        }
    }
}

/// Gives a connection back to the pool as it was. One of which that cannot be said is closed.
fn unpin(mut connection: PoolConnection<Postgres>) {
    let unpin = async move {
        if let Err(error) = connection.execute(UNPIN_PLANS).await {
            tracing::debug!(%error, "a connection is closed: its settings could not be reset");
            connection.close_on_drop();
        }
    };
    // Without a runtime there is no way to talk to the server, nor for the pool.
    if let Ok(runtime) = Handle::try_current() {
        runtime.spawn(unpin);
    }
}
