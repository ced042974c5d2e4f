//! Who in this process wants to know at once that something was enqueued in it, without the server telling them.

use std::sync::{
    Arc, Mutex, PoisonError, Weak,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use tokio::sync::Notify;

#[derive(Debug, Default)]
pub(crate) struct Bells {
    /// Whether there may be any: a process that only enqueues takes no lock.
    any: AtomicBool,
    /// By the name of a queue, or what stands for something else.
    hung: Mutex<Vec<(String, Weak<Notify>)>>,
}

impl Bells {
    pub(crate) fn hang(&self, key: String, bell: &Arc<Notify>) {
        let mut hung = self.hung.lock().unwrap_or_else(PoisonError::into_inner);
        hung.push((key, Arc::downgrade(bell)));
        self.any.store(true, Relaxed);
    }

    /// Something was enqueued there and is committed.
    pub(crate) fn ring(&self, key: &str) {
        if !self.any.load(Relaxed) {
            return;
        }
        let mut hung = self.hung.lock().unwrap_or_else(PoisonError::into_inner);
        hung.retain(|(of, bell)| {
            let Some(bell) = bell.upgrade() else { return false };
            if of == key {
                bell.notify_one();
            }
            true
        });
        self.any.store(!hung.is_empty(), Relaxed);
    }
}
