//! Waiting for messages.

use std::{sync::Arc, time::Duration};

use pg_queue_core::{
    WorkerId,
    logs::{self as statements, LogName},
    workers,
};
use tokio::{
    sync::Notify,
    time::{Instant, sleep, sleep_until},
};

use super::batch::Member;
use crate::{Listener, RecvError, shared::Shared};

/// A group that has just had messages looks again every few milliseconds, for a while: nobody has to notify it meanwhile.
const LINGER: Duration = Duration::from_millis(20);
const LOOK: Duration = Duration::from_millis(2);

/// For how long it asks to be notified.
const WISH: Duration = Duration::from_secs(60);

/// How soon it looks all the same, and how seldom in the end. Who publishes may have looked for the wish before it was there, and
/// commit after the look that follows it; a notification may get lost; and without LISTEN there is none.
const FIRST_POLL: Duration = Duration::from_millis(10);
const POLL: Duration = Duration::from_secs(1);

/// How a member waits: it looks a few times, then asks to be notified, looks once more, and sleeps.
#[derive(Debug)]
pub(super) struct Waiting {
    id: WorkerId,
    bell: Arc<Notify>,
    listener: Option<Listener>,
    wake: String,
    /// Since when it has found nothing.
    since: Option<Instant>,
    /// Until when its wish stands.
    wish: Option<Instant>,
    /// When it looks next, unless it is woken.
    pause: Duration,
}

impl Waiting {
    pub(super) fn new(shared: &Arc<Shared>, log: &LogName) -> Self {
        let bell = Arc::<Notify>::default();
        shared.bells.hang(log.wake_key(), &bell);
        let listener = shared.hub.attach_in_background(&[&shared.schema.channel()]);
        let listener = listener.inspect_err(|error| tracing::warn!(%error, %log, "a group polls")).ok();
        let wake = format!("wake:{}", log.wake_key());
        Self { id: WorkerId::random(), bell, listener, wake, since: None, wish: None, pause: FIRST_POLL }
    }

    /// There were messages: nobody needs to notify it for a while.
    pub(super) async fn found(&mut self, member: &Member) {
        (self.since, self.pause) = (None, FIRST_POLL);
        if self.wish.take().is_none() {
            return;
        }
        let schema = &member.shared.schema;
        let unwished = member.shared.run(async |connection| workers::unwait(connection, schema, self.id).await);
        if let Err(error) = unwished.await {
            // It runs out by itself.
            tracing::debug!(%error, log = %member.table.log(), "the wish to be woken was not taken back");
        }
    }

    /// There were none: waits until another look is worth it.
    pub(super) async fn wait(&mut self, member: &Member) {
        let now = Instant::now();
        if now - *self.since.get_or_insert(now) < LINGER {
            tokio::select! {
                () = self.bell.notified() => {}
                () = sleep(LOOK) => {}
            }
            return;
        }
        if self.wish.is_none_or(|until| until <= now) {
            self.wish = self.wish(member).await;
            // Something may have come before the wish was seen: look once more, now.
            if self.wish.is_some() {
                return;
            }
        }
        let due = self.next_due(member).await.map_or(self.pause, |due| due.clamp(LOOK, self.pause));
        self.pause = (self.pause * 2).min(POLL);
        let until = now + due;
        tokio::select! {
            () = self.bell.notified() => {}
            () = woken(&mut self.listener, &self.wake, &mut self.wish) => {}
            () = sleep_until(until) => {}
        }
    }

    async fn wish(&mut self, member: &Member) -> Option<Instant> {
        // What was announced until now, the next look will see.
        if let Some(listener) = &mut self.listener {
            while matches!(listener.try_recv(), Ok(Some(_)) | Err(RecvError::Gap | RecvError::Lagged(_))) {}
        }
        let now = Instant::now();
        let key = member.table.log().wake_key();
        let schema = &member.shared.schema;
        let wished =
            member.shared.run(async |connection| workers::wait_for(connection, schema, &[&key], self.id, WISH).await);
        match wished.await {
            Ok(()) => Some(now + WISH / 2),
            Err(error) => {
                tracing::warn!(%error, log = %member.table.log(), "the wish to be woken was not heard: this group polls");
                None
            }
        }
    }

    async fn next_due(&self, member: &Member) -> Option<Duration> {
        let (table, group) = (&member.table, &member.group);
        let due = member.shared.run(async |connection| statements::next_due(connection, table, group).await);
        // An error here is met again by the next look, which reports it.
        due.await.ok().flatten()
    }
}

/// Resolves when messages may have come.
async fn woken(listener: &mut Option<Listener>, wake: &str, wish: &mut Option<Instant>) {
    let Some(open) = listener else { return std::future::pending().await };
    loop {
        match open.recv().await {
            Ok(notification) if notification.payload == wake => return,
            Ok(_) => {}
            Err(RecvError::Closed) => {
                *listener = None;
                return;
            }
            Err(_) => {
                // The server may have lost the wish as well: the table of wishes is unlogged.
                *wish = None;
                return;
            }
        }
    }
}
