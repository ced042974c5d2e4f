//! Hearing what other processes change.

use std::{
    sync::{Arc, Weak, atomic::Ordering::AcqRel, atomic::Ordering::Release},
    time::Duration,
};

use pg_queue_core::cache::{self, Changed, channel, read_changed};
use tokio::{
    runtime::Handle,
    time::{Instant, timeout},
};

use super::{Inner, tier::News};
use crate::{Listener, RecvError};

/// How often the process says that it wants to be told, and for how long that holds.
const RENEWED: Duration = Duration::from_secs(60);
const HOLDS: Duration = Duration::from_secs(180);

/// How soon it is tried again when that failed.
const AGAIN: Duration = Duration::from_secs(5);

/// Starts to hear, unless somebody does already.
pub(super) fn open(inner: &Arc<Inner>, news: &Arc<News>) {
    if news.heard.load(std::sync::atomic::Ordering::Relaxed) || news.heard.swap(true, AcqRel) {
        return;
    }
    let ears = Ears { inner: Arc::downgrade(inner), news: Arc::clone(news), process: rand::random() };
    Handle::current().spawn(ears.run());
}

/// A task that listens for as long as the handle is there.
struct Ears {
    inner: Weak<Inner>,
    news: Arc<News>,
    process: i64,
}

impl Ears {
    async fn run(self) {
        let Some(mut listener) = self.listener() else { return };
        let mut next = Instant::now();
        loop {
            if Instant::now() >= next {
                let Some(inner) = self.inner.upgrade() else { return };
                next = Instant::now() + self.register(&inner).await;
            }
            match timeout(next.saturating_duration_since(Instant::now()), listener.recv()).await {
                Ok(Ok(notification)) => match read_changed(&notification.payload) {
                    Changed::Slots(slots) => slots.into_iter().for_each(|slot| self.news.changed(slot)),
                    Changed::All => self.news.everything_changed(),
                },
                Ok(Err(RecvError::Gap | RecvError::Lagged(_))) => {
                    self.news.everything_changed();
                    // A crash of the server has emptied the table in which this process says so.
                    next = Instant::now();
                }
                Ok(Err(RecvError::Closed)) => return,
                Err(_) => {}
            }
        }
    }

    fn listener(&self) -> Option<Listener> {
        let inner = self.inner.upgrade()?;
        let channel = channel(&inner.shared.schema);
        inner.shared.hub.attach_in_background(&[&channel]).ok()
    }

    /// Answers when it is to be done again.
    async fn register(&self, inner: &Inner) -> Duration {
        let registered = async {
            let (schema, process) = (&inner.shared.schema, self.process);
            inner.shared.run(async |connection| cache::register_tier(connection, schema, process, HOLDS).await).await
        };
        match registered.await {
            Ok(()) => RENEWED,
            Err(error) => {
                tracing::warn!(%error, "other processes may not tell what they change: values in memory only age");
                AGAIN
            }
        }
    }
}

/// The end of the runtime, or of the handle: whoever needs ears next opens them again.
impl Drop for Ears {
    fn drop(&mut self) {
        self.news.everything_changed();
        self.news.heard.store(false, Release);
    }
}
