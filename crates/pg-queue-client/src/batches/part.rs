//! The jobs of one statement, and who waits for them.

use pg_queue_core::{
    QueueTable,
    jobs::{self, Commit, NewJob, PushError, PushOutcome},
};
use sqlx::PgConnection;

use super::{
    Answer,
    error::{Blame, blame, repeated},
};
use crate::link::Link;

/// When a batch is refused, it is halved again and again to find out which of it is refused. So many refusals in a row mean
/// that all of it is.
const MOST_REFUSALS: usize = 64;

/// The jobs of one statement, and who waits for them.
#[derive(Debug, Default)]
pub(super) struct Part {
    jobs: Vec<NewJob>,
    answers: Vec<Answer>,
}

/// The connection was lost.
#[derive(Debug)]
pub(super) struct Lost;

impl Part {
    pub(super) fn push(&mut self, job: NewJob, answer: Answer) {
        self.jobs.push(job);
        self.answers.push(answer);
    }

    pub(super) fn len(&self) -> usize {
        self.jobs.len()
    }

    /// Enqueues the jobs and answers their callers, after the commit. What the server refuses for one job's sake is tried
    /// again without that one. When the connection is lost, nobody knows what was done, and nothing is tried again.
    pub(super) async fn send(self, link: &mut Link, table: &QueueTable, commit: Commit) -> Result<(), Lost> {
        let mut parts = vec![self];
        let mut refusals = 0;
        while let Some(mut part) = parts.pop() {
            let error = match part.write(link, table, commit).await {
                Ok(outcomes) => {
                    refusals = 0;
                    part.answer(outcomes);
                    continue;
                }
                Err(error) => error,
            };
            match blame(&error) {
                Blame::Job if part.len() > 1 && refusals < MOST_REFUSALS => {
                    refusals += 1;
                    // The first half goes first: the order of ids is that of arrival, as far as it can be.
                    let half = part.split_off(part.len() / 2);
                    parts.extend([half, part]);
                }
                Blame::Job => {
                    refusals += 1;
                    fail(part.answers, error);
                }
                Blame::Queue => fail(part.answers.into_iter().chain(answers(parts.drain(..))), error),
                Blame::Connection => {
                    fail(part.answers.into_iter().chain(answers(parts.drain(..))), error);
                    return Err(Lost);
                }
            }
        }
        Ok(())
    }

    async fn write(&self, link: &mut Link, table: &QueueTable, commit: Commit) -> Result<Vec<PushOutcome>, PushError> {
        let write = async |connection: &mut PgConnection| match &*self.jobs {
            // Not by arrays, which would take a tenth more of the server's time.
            [job] => Ok(vec![jobs::push_and_commit(connection, table, job, commit).await?]),
            jobs => jobs::push_many_and_commit(connection, table, jobs, commit).await,
        };
        link.run_about(table, write).await
    }

    fn answer(self, outcomes: Vec<PushOutcome>) {
        for (answer, outcome) in self.answers.into_iter().zip(outcomes) {
            // A caller that has gone away wants no answer.
            drop(answer.send(Ok(outcome)));
        }
    }

    fn split_off(&mut self, at: usize) -> Self {
        Self { jobs: self.jobs.split_off(at), answers: self.answers.split_off(at) }
    }
}

fn answers(parts: impl Iterator<Item = Part>) -> impl Iterator<Item = Answer> {
    // The last one is the next one.
    parts.collect::<Vec<_>>().into_iter().rev().flat_map(|part| part.answers)
}

/// Tells everybody the same.
pub(super) fn fail(answers: impl IntoIterator<Item = Answer>, error: impl Into<PushError>) {
    let answers: Vec<Answer> = answers.into_iter().collect();
    let errors = repeated(error.into(), answers.len());
    for (answer, error) in answers.into_iter().zip(errors) {
        drop(answer.send(Err(error)));
    }
}
