//! A task that sends the statements of one queue, one after the other.

use std::{
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use pg_queue_core::{QueueError, QueueTable};
use sqlx::{PgConnection, Postgres, pool::PoolConnection};
use tokio::{
    sync::Notify,
    task::yield_now,
    time::{Instant, Sleep, sleep},
};

use super::{
    Key,
    part::{Lost, Part, fail},
};
use crate::shared::Shared;

/// How long a runner keeps its connection when nothing waits. To take one from the pool and to give it back costs two round
/// trips more, about as much as a statement; to keep it for longer than this would be felt by whoever waits for the pool.
const LINGER: Duration = Duration::from_millis(5);

/// How long a statement may take before others go past it: its connection may be half-open, and never answer.
const STALLED: Duration = Duration::from_secs(1);

/// Sends what waits in one lane until nothing does.
pub(super) struct Runner {
    shared: Arc<Shared>,
    key: Key,
    table: QueueTable,
    arrived: Arc<Notify>,
    /// Whether it is the one of its lane.
    in_charge: bool,
    lingered: Alarm,
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
            lingered: Alarm::new(LINGER),
            stalled: Alarm::new(STALLED),
        }
    }

    pub(super) async fn run(mut self) {
        let mut kept: Option<PoolConnection<Postgres>> = None;
        while self.goes_on(kept.is_some()).await {
            let asked = std::time::Instant::now();
            let mut connection = match kept.take() {
                Some(connection) => connection,
                None => match self.shared.acquire().await {
                    Ok(connection) => connection,
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
            if self.shared.has_spare_connection() {
                kept = Some(connection);
            }
        }
    }

    async fn send(&mut self, connection: &mut PgConnection, part: Part) -> Result<(), Lost> {
        let (table, commit) = (self.table.clone(), self.shared.commit);
        let mut sending = pin!(part.send(connection, &table, commit));
        tokio::select! {
            biased;
            sent = &mut sending => return sent,
            () = self.stalled.rings(Instant::now()) => {}
        }
        self.step_aside();
        sending.await
    }

    /// Whether there is something to do. Waits for it a moment, if there is a connection to keep for that.
    async fn goes_on(&mut self, linger: bool) -> bool {
        loop {
            if !self.in_charge {
                return false;
            }
            if self.shared.batches.waits_or_idles(&self.key) {
                return true;
            }
            let stays = linger
                && tokio::select! {
                    biased;
                    () = self.arrived.notified() => true,
                    () = self.lingered.rings(Instant::now()) => false,
                };
            self.in_charge = stays || !self.shared.batches.leave(&self.key);
        }
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

/// Rings when so much time has passed since a moment that moves on with every statement.
///
/// To set a timer for each statement would cost more than anything else that is done for it here: a timer that is the next one
/// to end wakes the thread that waits for it. This one is set anew only when it has rung too early.
struct Alarm {
    after: Duration,
    sleep: Pin<Box<Sleep>>,
}

impl Alarm {
    fn new(after: Duration) -> Self {
        Self { after, sleep: Box::pin(sleep(after)) }
    }

    async fn rings(&mut self, since: Instant) {
        loop {
            self.sleep.as_mut().await;
            if since.elapsed() >= self.after {
                return;
            }
            self.sleep.as_mut().reset(since + self.after);
        }
    }
}
