//! Publishing in natural batches: while one statement is on its way, what arrives is the next one.
//!
//! What is sent to a topic that is bound to queues becomes jobs, and waits for the disk. So it goes a way of its own, and what
//! nobody keeps does not wait with it. Which way a message has to go is found out by the statement that would send it: the quick
//! one sends nothing if a topic is bound.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use pg_queue_core::{
    Commit, DatabaseError,
    topics::{self as statements, Message, PublishError},
};
use sqlx::PgConnection;
use tokio::{
    runtime::{self, Handle},
    sync::{Notify, oneshot},
    task::yield_now,
    time::Instant,
};

use super::{bound::Bound, durable};
use crate::{alarm::Alarm, batches::repeated_database, link::Link, shared::Shared};

/// How many messages one statement takes at most, and how many bytes.
const MOST_MESSAGES: usize = 1000;
const MOST_BYTES: usize = 1 << 20;

/// How long the connection is kept when nothing is sent: taking one from the pool and giving it back costs two round trips more.
const LINGER: Duration = Duration::from_millis(5);

/// The ways on which something is going on, each with a task that sends.
#[derive(Debug, Default)]
pub(crate) struct Publisher {
    ways: Mutex<HashMap<Way, Queue>>,
    bound: Bound,
}

/// By runtime: the task ends with its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Way {
    runtime: runtime::Id,
    /// For topics that are bound to queues.
    durable: bool,
}

#[derive(Debug)]
struct Queue {
    waiting: Vec<Waiting>,
    arrived: Arc<Notify>,
}

/// A message, and who waits for it to be sent.
type Waiting = (Message, Answer);

pub(super) type Answer = oneshot::Sender<Result<(), PublishError>>;

/// The connection was lost, or may not be used any more.
#[derive(Debug)]
pub(super) struct Lost;

/// Sends a message together with what else is on its way. A caller that goes away leaves it sent or not.
pub(super) async fn publish(shared: &Arc<Shared>, message: Message) -> Result<(), PublishError> {
    let (answer, answered) = oneshot::channel();
    let way = Way { runtime: Handle::current().id(), durable: shared.publisher.bound.has(&message.topic) };
    join(shared, way, vec![(message, answer)]);
    answered.await.unwrap_or(Err(PublishError::Interrupted))
}

/// Puts messages behind those that wait, and sees to it that somebody sends them.
fn join(shared: &Arc<Shared>, way: Way, messages: Vec<Waiting>) {
    if let Some(arrived) = shared.publisher.join(way, messages) {
        // Not under the lock: a runtime that shuts down drops it at once, which asks for that.
        let sender = Sender { shared: Arc::clone(shared), way, arrived, in_charge: true };
        tokio::spawn(sender.run());
    }
}

impl Publisher {
    fn ways(&self) -> MutexGuard<'_, HashMap<Way, Queue>> {
        self.ways.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers with what to start a sender, if there is none.
    fn join(&self, way: Way, mut messages: Vec<Waiting>) -> Option<Arc<Notify>> {
        let mut ways = self.ways();
        if let Some(queue) = ways.get_mut(&way) {
            if queue.waiting.is_empty() {
                queue.arrived.notify_one();
            }
            queue.waiting.append(&mut messages);
            return None;
        }
        let arrived = Arc::<Notify>::default();
        ways.insert(way, Queue { waiting: messages, arrived: Arc::clone(&arrived) });
        Some(arrived)
    }

    /// What goes into the next statement. The message of a caller that has gone away is left out.
    fn take(&self, way: Way) -> (Vec<Message>, Vec<Answer>) {
        let mut ways = self.ways();
        let Some(queue) = ways.get_mut(&way) else { return (Vec::new(), Vec::new()) };
        let mut bytes = 0;
        let mut fits = |(message, _): &Waiting| {
            let first = bytes == 0;
            bytes += message.body.len() + 1;
            first || bytes <= MOST_BYTES
        };
        let count = queue.waiting.iter().take(MOST_MESSAGES).take_while(|waiting| fits(waiting)).count();
        queue.waiting.drain(..count).filter(|(_, answer)| !answer.is_closed()).unzip()
    }

    /// Puts what was taken and not sent in front of what waits.
    fn put_back(&self, way: Way, messages: Vec<Waiting>) {
        if let Some(queue) = self.ways().get_mut(&way) {
            queue.waiting.splice(..0, messages);
        }
    }

    /// Whether the sender may leave: not when a message has arrived.
    fn leave(&self, way: Way) -> bool {
        let mut ways = self.ways();
        let leaves = ways.get(&way).is_none_or(|queue| queue.waiting.is_empty());
        if leaves {
            ways.remove(&way);
        }
        leaves
    }
}

/// A task that sends what waits, one statement after the other, until nothing does.
struct Sender {
    shared: Arc<Shared>,
    way: Way,
    arrived: Arc<Notify>,
    /// Whether its queue is still its own.
    in_charge: bool,
}

impl Sender {
    async fn run(mut self) {
        let mut kept: Option<Link> = None;
        let mut lingered = Alarm::new(LINGER);
        while self.in_charge {
            if !self.waits() {
                let stays = kept.is_some()
                    && tokio::select! {
                        biased;
                        () = self.arrived.notified() => true,
                        () = lingered.rings(Instant::now(), LINGER) => false,
                    };
                self.in_charge = stays || !self.shared.publisher.leave(self.way);
                continue;
            }
            let mut connection = match kept.take() {
                Some(connection) => connection,
                None => match self.shared.acquire().await {
                    Ok(connection) => connection,
                    Err(error) => {
                        let (_, answers) = self.shared.publisher.take(self.way);
                        refuse(answers, error);
                        continue;
                    }
                },
            };
            let (messages, answers) = self.shared.publisher.take(self.way);
            if messages.is_empty() {
                kept = Some(connection);
                continue;
            }
            let several = answers.len() > 1;
            let sent = if self.way.durable {
                durable::send(&self.shared, &mut connection, messages, answers).await
            } else {
                self.send(&mut connection, messages, answers).await
            };
            if sent.is_err() {
                connection.close_on_drop();
                continue;
            }
            // Whoever was just answered may have the next message at once: those go together.
            if several {
                yield_now().await;
            }
            if self.shared.has_spare_connection() {
                kept = Some(connection);
            }
        }
    }

    /// Sends what nobody keeps. What is sent to a bound topic goes the other way, and the rest is tried again.
    async fn send(&self, link: &mut Link, messages: Vec<Message>, answers: Vec<Answer>) -> Result<(), Lost> {
        let schema = &self.shared.schema;
        // Nobody keeps these messages, so that nothing is gained by waiting for the disk.
        let send = async |connection: &mut PgConnection| {
            statements::publish_unbound(connection, schema, &messages, Commit::LoseOnCrash).await
        };
        let sent = link.run(send).await;
        let bound = match sent {
            Ok(true) => {
                answer(answers);
                return Ok(());
            }
            Ok(false) => link.run(async |connection| statements::bound(connection, schema, &messages).await).await,
            Err(error) => Err(error),
        };
        let bound = match bound {
            Ok(bound) => bound,
            Err(error) => {
                refuse(answers, error);
                return Err(Lost);
            }
        };
        self.shared.publisher.bound.remember(&bound);
        let waiting = messages.into_iter().zip(answers);
        let (durable, rest): (Vec<_>, _) = waiting.partition(|(message, _)| bound.contains(&message.topic));
        self.shared.publisher.put_back(self.way, rest);
        // None, if a binding was ended meanwhile.
        if !durable.is_empty() {
            join(&self.shared, Way { durable: true, ..self.way }, durable);
        }
        Ok(())
    }

    fn waits(&self) -> bool {
        self.shared.publisher.ways().get(&self.way).is_some_and(|queue| !queue.waiting.is_empty())
    }
}

/// The end of the runtime, or of a panic: whoever waits is told.
impl Drop for Sender {
    fn drop(&mut self) {
        if !self.in_charge {
            return;
        }
        let lost = self.shared.publisher.ways().remove(&self.way);
        // Not under the lock: this wakes those who wait.
        drop(lost);
    }
}

/// It is sent.
pub(super) fn answer(answers: Vec<Answer>) {
    for answer in answers {
        // A caller that has gone away wants no answer.
        drop(answer.send(Ok(())));
    }
}

/// Tells everybody the same.
pub(super) fn refuse(answers: Vec<Answer>, error: DatabaseError) {
    let errors = repeated_database(error, answers.len());
    for (answer, error) in answers.into_iter().zip(errors) {
        drop(answer.send(Err(error.into())));
    }
}
