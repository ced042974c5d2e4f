//! Telling the database how far jobs have come: the last word of each, and not more often than anybody can look.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use pg_queue_core::{
    LeasedJobId,
    jobs::{self, Progress},
};
use tokio::{sync::Notify, time::sleep};

use super::Shared;

/// How often it is told at most.
const PAUSE: Duration = Duration::from_secs(1);

/// What the handlers have said and the database was not told yet.
#[derive(Debug, Default)]
pub(crate) struct ProgressBoard {
    said: Mutex<HashMap<(usize, LeasedJobId), Progress>>,
    /// Rung when there is something.
    rung: Notify,
    /// All that was said, for tests that ask for it.
    #[cfg(feature = "testing")]
    heard: Option<Mutex<Vec<Progress>>>,
}

impl ProgressBoard {
    /// A handler says how far its job has come. Only its last word counts.
    pub(crate) fn note(&self, lane: usize, id: LeasedJobId, progress: Progress) {
        #[cfg(feature = "testing")]
        self.hear(&progress);
        self.said.lock().unwrap_or_else(PoisonError::into_inner).insert((lane, id), progress);
        self.rung.notify_one();
    }

    /// One that remembers all that is said.
    #[cfg(feature = "testing")]
    pub(super) fn remembering() -> Self {
        Self { heard: Some(Mutex::default()), ..Self::default() }
    }

    #[cfg(feature = "testing")]
    fn hear(&self, progress: &Progress) {
        if let Some(heard) = &self.heard {
            heard.lock().unwrap_or_else(PoisonError::into_inner).push(progress.clone());
        }
    }

    /// All that was said since the last time.
    #[cfg(feature = "testing")]
    pub(super) fn heard(&self) -> Vec<Progress> {
        let heard = self.heard.as_ref();
        heard
            .map(|heard| std::mem::take(&mut *heard.lock().unwrap_or_else(PoisonError::into_inner)))
            .unwrap_or_default()
    }

    fn take(&self) -> HashMap<(usize, LeasedJobId), Progress> {
        std::mem::take(&mut *self.said.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Tells until it is aborted. What fails is left out: the next word comes soon.
pub(super) async fn run<S>(shared: Arc<Shared<S>>) {
    loop {
        shared.board.rung.notified().await;
        tell(&shared).await;
        sleep(PAUSE).await;
    }
}

/// Tells what was said since the last time.
pub(super) async fn tell<S>(shared: &Shared<S>) {
    let mut by_lane: HashMap<usize, Vec<(LeasedJobId, Progress)>> = HashMap::new();
    for ((lane, id), progress) in shared.board.take() {
        by_lane.entry(lane).or_default().push((id, progress));
    }
    for (lane, said) in by_lane {
        let table = &shared.lanes[lane].table;
        let told = shared.control.run(async |connection| jobs::progress(connection, table, &said).await);
        if let Err(error) = told.await {
            tracing::debug!(queue = %table.queue(), %error, "the progress of jobs was not told");
        }
    }
}
