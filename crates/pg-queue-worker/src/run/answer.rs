//! What a responder's end means: a reply to the caller, and the request's end.

use pg_queue_core::{
    jobs::{ClaimedJob, Ending, TimeLimit},
    replies::{Reply, Status},
};
use tokio::time::Instant;

use super::{
    ack::Verdict,
    execute::{self, Ended},
    generation::{Membership, Reason},
};
use crate::{Failure, Outcome, Panicked, handler::Undecodable, job_info::Attempt, registry::Entry};

/// Until when the caller of a request that was just claimed waits, on this process's clock. The database has said how old the
/// request is by its own, so that no two clocks are compared.
pub(super) fn deadline(job: &ClaimedJob) -> Option<Instant> {
    match (job.request_id, job.timeout) {
        (Some(_), Some(TimeLimit::After(limit))) => Instant::now().checked_add(limit.saturating_sub(job.request_age)),
        _ => None,
    }
}

/// Whether it is a request that has not begun and for which nobody waits any longer: its deadline has passed, or its caller has
/// gone away.
pub(super) fn is_unwanted(attempt: &Attempt, membership: &Membership) -> bool {
    attempt.deadline.is_some_and(|deadline| {
        deadline <= Instant::now() || membership.is_over() && membership.reason() == Reason::Cancelled
    })
}

/// What becomes of a request, and what its caller is told. It ends with its reply, whatever that is: whoever has an answer does
/// not want it tried again. Nothing is kept of it.
pub(super) fn judge<S>(entry: &Entry<S>, attempt: &Attempt, ended: Ended) -> (Verdict, Option<Box<Reply>>) {
    if attempt.request_id.is_none() {
        let error = "this kind has a responder, and the job is no request: nobody waits for an answer";
        return (Verdict::failed(Ending::Discard, error), None);
    }
    let again = attempt.id.attempt() < attempt.max_attempts;
    match asked(ended) {
        Ended::ByItself(ended) => answered(attempt, ended),
        Ended::PanickedInDrop(message) => answer(attempt, Status::Panicked, &message),
        // Nobody waits any longer.
        Ended::TimedOut(_) | Ended::Interrupted(Reason::Cancelled) => (Verdict::Complete(None), None),
        interrupted if again => (execute::judge(entry, attempt.id, interrupted), None),
        Ended::Interrupted(reason) => answer(attempt, Status::Interrupted, reason.text()),
        Ended::Heeded(_, own) => answer(attempt, Status::Interrupted, &own),
    }
}

/// Of a responder that was asked to end and has ended with an error: what it was asked for.
fn asked(ended: Ended) -> Ended {
    match ended {
        Ended::Heeded(asked, _) => *asked,
        ended => ended,
    }
}

fn answered(attempt: &Attempt, ended: Result<Outcome, Failure>) -> (Verdict, Option<Box<Reply>>) {
    let left = attempt.left().answer.take();
    match (ended, left) {
        (Ok(Outcome::Complete), Some((status, body))) => (Verdict::Complete(None), attempt.reply(status, body)),
        (Ok(_), _) => answer(attempt, Status::Interrupted, "a middleware has ended the attempt without an answer"),
        (Err(failure), _) => {
            let error = failure.error();
            let (status, message) = match (error.downcast_ref::<Panicked>(), error.downcast_ref::<Undecodable>()) {
                (Some(panicked), _) => (Status::Panicked, panicked.message().to_owned()),
                (_, Some(Undecodable(error))) => (Status::Undecodable, error.to_string()),
                _ => (Status::Interrupted, failure.message()),
            };
            answer(attempt, status, &message)
        }
    }
}

fn answer(attempt: &Attempt, status: Status, message: &str) -> (Verdict, Option<Box<Reply>>) {
    let body = serde_json::Value::from(message).to_string();
    (Verdict::Complete(None), attempt.reply(status, body))
}
