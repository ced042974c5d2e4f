//! Sending what becomes a job: what was answered is not lost, and what fails does so for itself.

use std::sync::Arc;

use pg_queue_core::{
    Commit, DatabaseError,
    topics::{self as statements, Message, PublishError},
};
use sqlx::PgConnection;

use super::publisher::{self, Answer, Lost, answer};
use crate::{
    batches::{Blame, blame_database},
    link::Link,
    shared::Shared,
};

/// Sends messages to bound topics and answers their callers, after the commit. What is refused for one message's sake, or for that
/// of one queue, is halved and tried again, until only that is refused. When the connection is lost, nobody knows what was done,
/// and nothing is tried again.
pub(super) async fn send(
    shared: &Arc<Shared>,
    link: &mut Link,
    messages: Vec<Message>,
    answers: Vec<Answer>,
) -> Result<(), Lost> {
    let mut parts = vec![(messages, answers)];
    while let Some((mut messages, mut answers)) = parts.pop() {
        // Where no job was made after all, because of a filter or because the binding is gone, nobody keeps anything.
        let (schema, some) = (&shared.schema, &messages);
        let send = async |connection: &mut PgConnection| {
            statements::publish_bound(connection, schema, some, Commit::LoseOnCrash).await
        };
        match link.run(send).await {
            Ok(queues) => {
                queues.iter().for_each(|queue| shared.bells.ring(queue.as_str()));
                answer(answers);
            }
            Err(error) if messages.len() > 1 && is_of_one(&error) => {
                // The first half goes first, so that those of one topic stay in their order.
                let half = messages.len() / 2;
                let later = (messages.split_off(half), answers.split_off(half));
                parts.extend([later, (messages, answers)]);
            }
            // Only the message that it is about is left.
            Err(error) if is_of_one(&error) => {
                if let Some(answer) = answers.pop() {
                    drop(answer.send(Err(error)));
                }
            }
            // It would be the same for the others, or nobody knows what was done.
            Err(error) => {
                answers.extend(parts.drain(..).rev().flat_map(|(_, answers)| answers));
                return refuse(answers, error);
            }
        }
    }
    Ok(())
}

/// Tells everybody the same. The connection is of no more use if it was lost.
fn refuse(answers: Vec<Answer>, error: PublishError) -> Result<(), Lost> {
    let error = match error {
        PublishError::Database(error) => error,
        other => DatabaseError::Other(sqlx::Error::Protocol(other.to_string())),
    };
    let lost = blame_database(&error) == Blame::Connection;
    publisher::refuse(answers, error);
    if lost { Err(Lost) } else { Ok(()) }
}

/// Whether others may fare better without the one that it is about: a message, or a queue that is missing or may not be written.
fn is_of_one(error: &PublishError) -> bool {
    match error {
        PublishError::MissingQueue(_) => true,
        PublishError::Database(DatabaseError::Other(sqlx::Error::Database(error)))
            if error.code().as_deref() == Some(INSUFFICIENT_PRIVILEGE) =>
        {
            true
        }
        PublishError::Database(error) => blame_database(error) == Blame::Job,
        _ => false,
    }
}

/// What the server says to one who may not insert into a table.
const INSUFFICIENT_PRIVILEGE: &str = "42501";
