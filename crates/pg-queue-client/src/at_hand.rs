//! Connections of the pool at hand: those that were used a moment ago, for who has the same to do again.
//!
//! The pool looks at a connection that it gives out and at one that it gets back, and gives out the one that was idle for longest:
//! whoever calls again and again goes around all of them, each of which prepares the statements and maps the server's pages anew.

use std::{
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use pg_queue_core::DatabaseError;
use tokio::{
    runtime::{self, Handle},
    time::{Instant, sleep},
};

use crate::{link::Link, shared::Shared};

/// How long a connection stays at hand without being used.
const LINGER: Duration = Duration::from_millis(50);

/// How often it is looked at meanwhile whether the pool has others still. If not, somebody may wait for this one.
const LOOK: Duration = Duration::from_millis(5);

/// How long a connection stays at hand in all. The pool replaces those that are old.
pub(crate) const LIFE: Duration = Duration::from_secs(300);

/// The connections at hand, each with a task that gives it back in the end. By runtime: the task ends with its own.
#[derive(Debug, Default)]
pub(crate) struct AtHand(Mutex<Vec<Arc<Slot>>>);

#[derive(Debug)]
struct Slot {
    runtime: runtime::Id,
    since: Instant,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    link: Option<Link>,
    used: Instant,
}

/// A connection of the pool's. To be [put back](Self::put_back) after statements that were answered.
#[derive(Debug)]
pub(crate) struct Connection {
    shared: Arc<Shared>,
    runtime: Handle,
    slot: Option<Arc<Slot>>,
    link: Option<Link>,
    closes: bool,
}

impl Connection {
    pub(crate) async fn acquire(shared: &Arc<Shared>) -> Result<Self, DatabaseError> {
        let (shared, runtime) = (Arc::clone(shared), Handle::current());
        // A pool that is being closed waits for what is at hand.
        if !shared.pool.is_closed()
            && let Some((slot, link)) = shared.at_hand.take(runtime.id())
        {
            return Ok(Self { shared, runtime, slot: Some(slot), link: Some(link), closes: false });
        }
        let link = shared.acquire().await?;
        Ok(Self { shared, runtime, slot: None, link: Some(link), closes: false })
    }

    /// From now on it is closed if it is not put back: a transaction that was about to begin may be open.
    pub(crate) fn close_if_abandoned(&mut self) {
        self.closes = true;
    }

    /// Keeps it at hand for a moment, if the pool has others.
    pub(crate) fn put_back(mut self) {
        self.closes = false;
        if self.shared.has_spare_connection()
            && let Some(link) = self.link.take()
        {
            self.shared.at_hand.put(&self.shared, self.slot.take(), link);
        }
    }
}

impl Deref for Connection {
    type Target = Link;

    fn deref(&self) -> &Link {
        self.link.as_ref().expect("it is taken with the value itself")
    }
}

impl DerefMut for Connection {
    fn deref_mut(&mut self) -> &mut Link {
        self.link.as_mut().expect("it is taken with the value itself")
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(mut link) = self.link.take() {
            if self.closes {
                link.close_on_drop();
            }
            // A future may be dropped anywhere, and the pool takes a connection back by a task.
            let _entered = self.runtime.enter();
            drop(link);
        }
    }
}

impl AtHand {
    fn take(&self, runtime: runtime::Id) -> Option<(Arc<Slot>, Link)> {
        let slots = self.slots();
        let mut own = slots.iter().filter(|slot| slot.runtime == runtime);
        own.find_map(|slot| Some((Arc::clone(slot), slot.state().link.take()?)))
    }

    fn put(&self, shared: &Arc<Shared>, slot: Option<Arc<Slot>>, link: Link) {
        let mut slots = self.slots();
        if let Some(slot) = slot.filter(|slot| slots.iter().any(|kept| Arc::ptr_eq(kept, slot))) {
            *slot.state() = State { link: Some(link), used: Instant::now() };
            return;
        }
        let now = Instant::now();
        let state = Mutex::new(State { link: Some(link), used: now });
        let slot = Arc::new(Slot { runtime: Handle::current().id(), since: now, state });
        slots.push(Arc::clone(&slot));
        drop(slots);
        tokio::spawn(Keeper { shared: Arc::clone(shared), slot }.run());
    }

    /// Takes the slot off the list, and what is in it.
    fn remove(&self, slot: &Arc<Slot>) -> Option<Link> {
        let mut slots = self.slots();
        slots.retain(|kept| !Arc::ptr_eq(kept, slot));
        slot.state().link.take()
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

/// Looks after one slot, until it has not been used for a while, or for long enough.
struct Keeper {
    shared: Arc<Shared>,
    slot: Arc<Slot>,
}

impl Keeper {
    async fn run(self) {
        loop {
            sleep(LOOK).await;
            let idle = self.slot.state().used.elapsed() >= LINGER;
            if idle || self.slot.since.elapsed() >= LIFE || !self.shared.has_spare_connection() {
                return;
            }
        }
    }
}

/// The end of its time, or that of its runtime.
impl Drop for Keeper {
    fn drop(&mut self) {
        // To the pool.
        drop(self.shared.at_hand.remove(&self.slot));
    }
}
