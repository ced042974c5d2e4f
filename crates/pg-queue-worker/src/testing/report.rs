//! What became of the jobs that were run.

use std::{collections::BTreeMap, fmt};

use pg_queue_core::JobId;

use super::{Ended, Ran};

/// What became of the jobs that were run, in their order.
///
/// ```no_run
/// # async fn example<S: Send + Sync + 'static>(worker: pg_queue_worker::Worker<S>) -> Result<(), Box<dyn std::error::Error>> {
/// use pg_queue_worker::testing::drain;
///
/// let report = drain(&worker).await?;
/// report.assert_all_completed();
/// assert_eq!(report.completed(), 3);
/// assert_eq!(report.errors(), []);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    runs: Vec<Ran>,
}

/// What went wrong in an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct JobError {
    /// Which job.
    pub job: JobId,
    /// The kind under which it was stored.
    pub kind: String,
    /// Which attempt; the first is 1.
    pub attempt: u16,
    /// What went wrong, as it is kept with the job.
    pub message: String,
}

impl fmt::Display for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "job {} ({}), attempt {}: {}", self.job, self.kind, self.attempt, self.message)
    }
}

impl Report {
    pub(super) fn add(&mut self, ran: Ran) {
        self.runs.push(ran);
    }

    /// Every run, in order: a job that was tried twice is there twice.
    #[must_use]
    pub fn runs(&self) -> &[Ran] {
        &self.runs
    }

    /// How many jobs were completed.
    #[must_use]
    pub fn completed(&self) -> usize {
        self.count(|ended| matches!(ended, Ended::Completed { .. }))
    }

    /// How many attempts failed, after which their jobs wait for another one.
    #[must_use]
    pub fn retried(&self) -> usize {
        self.count(|ended| matches!(ended, Ended::Retried { .. }))
    }

    /// How many jobs were discarded.
    #[must_use]
    pub fn discarded(&self) -> usize {
        self.count(|ended| matches!(ended, Ended::Discarded { .. }))
    }

    /// How many jobs were cancelled while they ran.
    #[must_use]
    pub fn cancelled(&self) -> usize {
        self.count(|ended| matches!(ended, Ended::Cancelled { .. }))
    }

    /// How many times a job was put off by its handler.
    #[must_use]
    pub fn snoozed(&self) -> usize {
        self.count(|ended| matches!(ended, Ended::Snoozed { .. }))
    }

    fn count(&self, is_meant: impl Fn(&Ended) -> bool) -> usize {
        self.runs.iter().filter(|ran| is_meant(&ran.ended)).count()
    }

    /// What went wrong in every attempt that failed, in order.
    #[must_use]
    pub fn errors(&self) -> Vec<JobError> {
        let error = |ran: &Ran| {
            let message = ran.error()?.to_owned();
            Some(JobError { job: ran.job, kind: ran.kind.clone(), attempt: ran.attempt, message })
        };
        self.runs.iter().filter_map(error).collect()
    }

    /// Asserts that every job that was run was completed in the end. Attempts that failed before do not matter: for those there
    /// is [`errors`](Self::errors).
    ///
    /// # Panics
    /// One was not; the message says which, and what became of it.
    #[track_caller]
    pub fn assert_all_completed(&self) -> &Self {
        let last: BTreeMap<JobId, &Ran> = self.runs.iter().map(|ran| (ran.job, ran)).collect();
        let mut others: Vec<&Ran> = last.into_values().filter(|ran| !ran.is_completed()).collect();
        others.sort_by_key(|ran| self.runs.iter().position(|one| one.job == ran.job));
        assert!(others.is_empty(), "not all jobs were completed: {self}{}", Lines(&others));
        self
    }
}

/// The numbers, in one line.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (completed, retried, discarded) = (self.completed(), self.retried(), self.discarded());
        let (cancelled, snoozed) = (self.cancelled(), self.snoozed());
        write!(
            f,
            "{completed} completed, {retried} retried, {discarded} discarded, {cancelled} cancelled, {snoozed} snoozed"
        )
    }
}

struct Lines<'r>(&'r [&'r Ran]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Ran { job, kind, attempt, ended, .. } in self.0 {
            write!(f, "\n  job {job} ({kind}), attempt {attempt}: {ended:?}")?;
        }
        Ok(())
    }
}
