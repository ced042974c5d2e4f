//! What is done beside a handler that takes its time, in the same task.

use std::{convert::Infallible, time::Duration};

use pg_queue_core::{DatabaseError, QueueError, WorkerId, workers};
use sqlx::PgConnection;
use tokio::time::{Instant, sleep};

use super::{
    super::{Shared, generation::Reason, maintain, progress},
    Inline,
};
use crate::testing::InlineError;

/// How often a beat is sent: many are lost before it is noticed.
const BEAT: Duration = Duration::from_secs(60);

/// How often it is looked while a handler runs whether its job is to be cancelled, or its lease is lost. No test of a quick
/// handler pays for that.
const LOOK: Duration = Duration::from_millis(100);

impl<S> Inline<S> {
    /// Beats if it is time to.
    pub(super) async fn beat(&mut self) -> Result<(), InlineError> {
        if beat(&self.shared, self.registration.id, &mut self.beaten).await.map_err(QueueError::Database)? {
            Ok(())
        } else {
            Err(InlineError::DeclaredDead)
        }
    }
}

/// Beats, looks whether the job is still the handler's own and wanted, tells how far it has come.
pub(super) async fn beside<S>(shared: &Shared<S>, id: WorkerId, beaten: &mut Option<Instant>) -> Infallible {
    loop {
        tokio::select! {
            () = sleep(LOOK) => {}
            () = shared.hurry.cancelled(), if !shared.generations.current().is_over() => {
                shared.generations.stop(Reason::Shutdown);
                continue;
            }
        }
        match beat(shared, id, beaten).await {
            Ok(true) => {}
            Ok(false) => shared.generations.stop(Reason::DeclaredDead),
            Err(error) => tracing::warn!(%error, "a beat failed while a job ran in the calling task"),
        }
        maintain::verify(shared).await;
        progress::tell(shared).await;
    }
}

/// Beats if it is time to. Answers whether the worker lives.
async fn beat<S>(shared: &Shared<S>, id: WorkerId, beaten: &mut Option<Instant>) -> Result<bool, DatabaseError> {
    if beaten.is_some_and(|beaten| beaten.elapsed() < BEAT) {
        return Ok(true);
    }
    let sent = Instant::now();
    let beat = async |connection: &mut PgConnection| workers::beat(connection, shared.queue.schema(), id).await;
    let alive = shared.control.run(beat).await?;
    if alive {
        *beaten = Some(sent);
    }
    Ok(alive)
}
