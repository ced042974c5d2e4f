//! What others tell this worker: that a job is to be cancelled, that a queue is to be treated differently, that a schedule was
//! changed.
//!
//! Losing all of it only costs time: after every beat the worker looks for itself.

use std::sync::Arc;

use pg_queue_client::{Listener, RecvError};
use pg_queue_core::queues;

use super::{Shared, maintain, trouble::Fails};

/// Listens until it is aborted, or nothing can be heard at all.
pub(super) async fn run<S>(shared: Arc<Shared<S>>) {
    let channel = shared.queue.schema().channel();
    let mut listener = match shared.queue.background_listener(&[&channel]) {
        Ok(listener) => listener,
        Err(error) => {
            return tracing::warn!(%error, "nobody can tell this worker to cancel a job: it looks after every beat");
        }
    };
    while heed(&shared, &mut listener).await {}
}

/// Waits for a signal and does what it says. Answers whether there can be more.
async fn heed<S>(shared: &Shared<S>, listener: &mut Listener) -> bool {
    match listener.recv().await {
        Ok(notification) if notification.payload == "cron" => shared.schedules.notify_one(),
        Ok(notification) => match notification.payload.split_once(':') {
            Some(("cancel", job)) => cancel(shared, job).await,
            Some(("queue", name)) if shared.lanes.iter().any(|lane| lane.queue().as_str() == name) => {
                refresh(shared).await;
            }
            _ => {}
        },
        Err(RecvError::Closed) => return false,
        // Something may have been missed.
        Err(_) => {
            refresh(shared).await;
            shared.verify.notify_one();
            shared.schedules.notify_one();
        }
    }
    true
}

/// `queue:id`, as `cancel.sql` says it. Only a reason to look: whoever can connect can notify, and what comes late may be about
/// an attempt that has ended, or a job that was retried since. What fails is done again after the next beat.
async fn cancel<S>(shared: &Shared<S>, job: &str) {
    let Some((queue, Ok(id))) = job.split_once(':').map(|(queue, id)| (queue, id.parse())) else { return };
    let Some(lane) = shared.lanes.iter().position(|lane| lane.queue().as_str() == queue) else { return };
    let running = shared.leases.running_job(lane, id);
    if !running.is_empty() {
        maintain::verify_some(shared, lane, &running).await;
    }
}

/// Looks how the queues are to be treated. What fails is done again after the next beat.
pub(super) async fn refresh<S>(shared: &Shared<S>) {
    let names: Vec<_> = shared.lanes.iter().map(|lane| lane.queue().clone()).collect();
    let schema = shared.queue.schema();
    let read = shared.control.run(async |connection| queues::settings(connection, schema, &names).await).await;
    match read {
        Ok(settings) => {
            for (queue, settings) in settings {
                let Some(lane) = shared.lanes.iter().find(|lane| *lane.queue() == queue) else { continue };
                if lane.apply(settings) {
                    tracing::info!(%queue, ?settings, "the queue is treated so from now on");
                }
            }
        }
        Err(error) => {
            tracing::warn!(%error, trouble = ?error.trouble(), "how the queues are to be treated could not be read");
        }
    }
}
