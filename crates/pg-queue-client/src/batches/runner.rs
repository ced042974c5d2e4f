//! A task that sends the statements of one queue, one after the other.

use std::{pin::pin, sync::Arc, time::Duration};

use pg_queue_core::{QueueError, QueueTable};
use tokio::{sync::Notify, task::yield_now, time::Instant};

use super::{
    lanes::{Key, LOOK, Next, STALLED},
    part::{Lost, Part, fail},
};
use crate::{alarm::Alarm, link::Link, shared::Shared};

/// Sends what waits in one lane until nothing does.
pub(super) struct Runner {
    shared: Arc<Shared>,
    key: Key,
    table: QueueTable,
    arrived: Arc<Notify>,
    /// Whether it is the one of its lane.
    in_charge: bool,
    rested: Alarm,
    stalled: Alarm,
}

impl Runner {
    /// The runner of a lane that is there already.
    pub(super) fn new(shared: Arc<Shared>, key: Key, arrived: Arc<Notify>) -> Self {
        let table = shared.table(&key.queue);
        Self {
            shared,
            key,
            table,
            arrived,
            in_charge: true,
            rested: Alarm::new(Duration::ZERO),
            stalled: Alarm::new(STALLED),
        }
    }

    pub(super) async fn run(mut self) {
        let mut kept: Option<Link> = None;
        while self.in_charge {
            let resting = match self.shared.batches.next(&self.key, kept.take(), self.shared.has_spare_connection()) {
                Next::Send(resting) => resting,
                Next::Rest => {
                    tokio::select! {
                        biased;
                        () = self.arrived.notified() => {}
                        () = self.rested.rings(Instant::now(), LOOK) => {}
                    }
                    continue;
                }
                Next::Leave => {
                    self.in_charge = false;
                    return;
                }
            };
            let asked = Instant::now();
            let mut connection = match resting {
                Some(connection) => connection,
                None => match self.shared.acquire().await {
                    Ok(connection) => {
                        self.shared.batches.renew(&self.key);
                        connection
                    }
                    Err(error) => {
                        let answers = self.shared.batches.take_before(&self.key, asked);
                        fail(answers, QueueError::Database(error));
                        continue;
                    }
                },
            };
            // Only now, so that what has arrived while there was no connection goes along.
            let part = self.shared.batches.take(&self.key);
            let several = part.len() > 1;
            if part.len() > 0 && self.send(&mut connection, part).await.is_err() {
                connection.close_on_drop();
                continue;
            }
            // Whoever was just answered may have the next job at once. Those go together, and not the quickest one alone. One
            // who is alone does without: another thread might take up this task meanwhile.
            if several || self.shared.batches.waits(&self.key) {
                yield_now().await;
            }
            // Others who wait for the pool have their turn.
            if self.shared.has_spare_connection() && self.shared.batches.keeps(&self.key) {
                kept = Some(connection);
            }
        }
    }

    async fn send(&mut self, connection: &mut Link, part: Part) -> Result<(), Lost> {
        let (table, commit) = (self.table.clone(), self.key.commit);
        let mut sending = pin!(part.send(connection, &table, commit));
        tokio::select! {
            biased;
            sent = &mut sending => return sent,
            () = self.stalled.rings(Instant::now(), STALLED) => {}
        }
        self.step_aside();
        sending.await
    }

    /// Lets another runner, on another connection, have what waits.
    fn step_aside(&mut self) {
        tracing::warn!(queue = %self.key.queue, "enqueuing takes long: the queue is locked, or its connection is half-open");
        self.in_charge = false;
        if let Some(arrived) = self.shared.batches.step_aside(&self.key) {
            tokio::spawn(Self::new(Arc::clone(&self.shared), self.key.clone(), arrived).run());
        }
    }
}

/// The end of the runtime, or of a panic.
impl Drop for Runner {
    fn drop(&mut self) {
        if self.in_charge {
            self.shared.batches.lose(&self.key);
        }
    }
}
