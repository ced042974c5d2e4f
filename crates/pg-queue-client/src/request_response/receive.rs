//! Hearing the process's inbox, and handing each reply to its caller.

use std::{sync::Arc, time::Duration};

use pg_queue_core::{
    Inbox, RequestId,
    replies::{self, Came},
};
use tokio::time::sleep;

use super::pending::Pending;
use crate::{Listener, RecvError, shared::Shared};

/// How long to wait before listening again when the listener has ended: whatever ended it may end the next one as well.
const AGAIN: Duration = Duration::from_millis(500);

/// Hears the inbox until it is aborted. Without a listener calls work as well, by looking.
pub(super) async fn run(shared: Arc<Shared>, inbox: Inbox, pending: Arc<Pending>) {
    let channel = inbox.channel();
    loop {
        match shared.hub.attach_in_background(&[&channel]) {
            Ok(listener) => hear(&shared, inbox, &pending, listener).await,
            Err(error) => tracing::warn!(%error, "no listener for replies: polling"),
        }
        sleep(AGAIN).await;
    }
}

/// Ends with the listener.
async fn hear(shared: &Arc<Shared>, inbox: Inbox, pending: &Arc<Pending>, mut listener: Listener) {
    let mut stored = Vec::new();
    loop {
        match listener.recv().await {
            Ok(notification) => hand_out(inbox, pending, &notification.payload, &mut stored),
            Err(RecvError::Closed) => return,
            // Also when the connection was opened: what was sent before is not heard.
            Err(_) => pending.may_have_missed(),
        }
        while let Ok(Some(notification)) = listener.try_recv() {
            hand_out(inbox, pending, &notification.payload, &mut stored);
        }
        if !stored.is_empty() {
            fetch(shared, pending, std::mem::take(&mut stored));
        }
    }
}

fn hand_out(inbox: Inbox, pending: &Pending, payload: &str, stored: &mut Vec<RequestId>) {
    for came in replies::unpack(inbox, payload) {
        match came {
            Some((id, Came::Inline(status, body))) => pending.came(id, status, body),
            Some((id, Came::Stored)) => stored.push(id),
            None => {
                tracing::warn!(
                    "a notification to the inbox could not be read: another version of pg-queue has sent it, or somebody else"
                );
                pending.may_have_missed();
            }
        }
    }
}

/// Fetches long replies, beside what else arrives. What fails is found by the next look.
fn fetch(shared: &Arc<Shared>, pending: &Arc<Pending>, stored: Vec<RequestId>) {
    let (shared, pending) = (Arc::clone(shared), Arc::clone(pending));
    tokio::spawn(async move {
        let schema = &shared.schema;
        match shared.run(async |connection| replies::take(connection, schema, &stored).await).await {
            Ok(replies) => pending.taken(replies),
            Err(error) => tracing::warn!(%error, "replies could not be fetched: looking again soon"),
        }
    });
}
