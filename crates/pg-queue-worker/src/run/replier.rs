//! Sending replies to callers, in natural batches: while one statement is on its way, what arrives is the next one.
//!
//! A request is acknowledged after its reply was sent, so that one whose worker dies in between can still be tried again where
//! its caller wants that.

use std::{sync::Arc, time::Duration};

use pg_queue_core::{
    Backoff, DatabaseError,
    replies::{self, Reply},
};
use sqlx::PgConnection;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};

use super::{
    Shared,
    ack::Ack,
    hand::Role,
    trouble::{Fails, Trouble},
};

/// How many replies one statement sends at most, and how many bytes, unless a single one is longer.
const BATCH: usize = 1000;
const BATCH_BYTES: usize = 4 << 20;

/// How long a reply waits for its caller. That one is waiting already, so this only has to outlast a lost notification.
const KEEP: Duration = Duration::from_secs(45);

/// The pauses while the database does not take replies. They are tried for as long as somebody waits for one of them.
const AWAY: Backoff = Backoff::Exponential { base: Duration::from_millis(50), max: Duration::from_secs(1) };

/// Sends replies until all senders are gone, and hands each acknowledgement on to `acks` afterwards.
pub(super) async fn run<S>(
    shared: Arc<Shared<S>>,
    mut ended: mpsc::UnboundedReceiver<Ack>,
    acks: mpsc::UnboundedSender<Ack>,
) {
    let mut batch: Vec<Ack> = Vec::with_capacity(BATCH);
    while ended.recv_many(&mut batch, BATCH).await > 0 {
        let mut rest = batch.as_mut_slice();
        while !rest.is_empty() {
            let (part, later) = rest.split_at_mut(fitting(rest));
            send(&shared, part).await;
            rest = later;
        }
        for ack in batch.drain(..) {
            // The acknowledger ends after all senders.
            drop(acks.send(ack));
        }
    }
}

/// How many of these, from the first on, one statement takes.
fn fitting(acks: &[Ack]) -> usize {
    let mut bytes = 0;
    let fits = |ack: &&Ack| {
        bytes += ack.reply.as_ref().map_or(0, |reply| reply.body.len());
        bytes <= BATCH_BYTES
    };
    acks.iter().take_while(fits).count().max(1)
}

/// Sends the replies of these, again and again while the database is away and somebody waits.
async fn send<S>(shared: &Shared<S>, acks: &mut [Ack]) {
    let mut failures: u16 = 0;
    loop {
        let waited_for = acks.iter().any(|ack| ack.attempt.deadline.is_none_or(|deadline| deadline > Instant::now()));
        if failures > 0 && !waited_for {
            return tracing::warn!(replies = acks.len(), "replies were not sent: nobody waits for them any longer");
        }
        let replies: Vec<Reply> = acks.iter_mut().filter_map(|ack| ack.reply.take()).map(|reply| *reply).collect();
        let Err(error) = send_once(shared, &replies).await else { return };
        if error.trouble() != Trouble::Away {
            return one_by_one(shared, &replies, &error).await;
        }
        failures = failures.saturating_add(1);
        tracing::warn!(%error, failures, "replies were not sent: trying again");
        for (ack, reply) in acks.iter_mut().zip(replies) {
            ack.reply = Some(Box::new(reply));
        }
        sleep(AWAY.jittered(failures)).await;
    }
}

/// What the database refuses must not keep the others from their callers.
async fn one_by_one<S>(shared: &Shared<S>, replies: &[Reply], error: &DatabaseError) {
    tracing::warn!(%error, replies = replies.len(), "replies were refused: trying each by itself");
    for reply in replies {
        if let Err(error) = send_once(shared, std::slice::from_ref(reply)).await {
            tracing::error!(%error, request = %reply.request, "a reply was not sent");
        }
    }
}

pub(super) async fn send_once<S>(shared: &Shared<S>, replies: &[Reply]) -> Result<(), DatabaseError> {
    let schema = shared.queue.schema();
    let send = async |connection: &mut PgConnection| replies::send(connection, schema, replies, KEEP).await;
    shared.control.run_as(Role::Replies, send).await
}
