//! Publishing in natural batches: while one statement is on its way, what arrives is the next one.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use pg_queue_core::{
    Commit,
    topics::{self as statements, Message, PublishError},
};
use sqlx::PgConnection;
use tokio::{
    runtime::{self, Handle},
    sync::{Notify, oneshot},
    task::yield_now,
    time::Instant,
};

use crate::{alarm::Alarm, batches::repeated_database, link::Link, shared::Shared};

/// How many messages one statement takes at most, and how many bytes.
const MOST_MESSAGES: usize = 1000;
const MOST_BYTES: usize = 1 << 20;

/// How long the connection is kept when nothing is sent: taking one from the pool and giving it back costs two round trips more.
const LINGER: Duration = Duration::from_millis(5);

/// The queues of messages in which something is going on, each with a task that sends. By runtime: the task ends with its own.
#[derive(Debug, Default)]
pub(crate) struct Publisher(Mutex<HashMap<runtime::Id, Queue>>);

#[derive(Debug)]
struct Queue {
    waiting: Vec<(Message, Answer)>,
    arrived: Arc<Notify>,
}

type Answer = oneshot::Sender<Result<(), PublishError>>;

/// Sends a message together with what else is on its way. A caller that goes away leaves it sent or not.
pub(super) async fn publish(shared: &Arc<Shared>, message: Message) -> Result<(), PublishError> {
    let runtime = Handle::current();
    let (answer, answered) = oneshot::channel();
    if let Some(arrived) = shared.publisher.join(runtime.id(), message, answer) {
        // Not under the lock: a runtime that shuts down drops it at once, which asks for that.
        let sender = Sender { shared: Arc::clone(shared), runtime: runtime.id(), arrived, in_charge: true };
        runtime.spawn(sender.run());
    }
    answered.await.unwrap_or(Err(PublishError::Interrupted))
}

impl Publisher {
    fn queues(&self) -> MutexGuard<'_, HashMap<runtime::Id, Queue>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers with what to start a sender, if there is none.
    fn join(&self, runtime: runtime::Id, message: Message, answer: Answer) -> Option<Arc<Notify>> {
        let mut queues = self.queues();
        if let Some(queue) = queues.get_mut(&runtime) {
            if queue.waiting.is_empty() {
                queue.arrived.notify_one();
            }
            queue.waiting.push((message, answer));
            return None;
        }
        let arrived = Arc::<Notify>::default();
        queues.insert(runtime, Queue { waiting: vec![(message, answer)], arrived: Arc::clone(&arrived) });
        Some(arrived)
    }

    /// What goes into the next statement. The message of a caller that has gone away is left out.
    fn take(&self, runtime: runtime::Id) -> (Vec<Message>, Vec<Answer>) {
        let mut queues = self.queues();
        let Some(queue) = queues.get_mut(&runtime) else { return (Vec::new(), Vec::new()) };
        let mut bytes = 0;
        let mut fits = |(message, _): &(Message, Answer)| {
            let first = bytes == 0;
            bytes += message.body.len() + 1;
            first || bytes <= MOST_BYTES
        };
        let count = queue.waiting.iter().take(MOST_MESSAGES).take_while(|waiting| fits(waiting)).count();
        queue.waiting.drain(..count).filter(|(_, answer)| !answer.is_closed()).unzip()
    }

    /// Whether the sender may leave: not when a message has arrived.
    fn leave(&self, runtime: runtime::Id) -> bool {
        let mut queues = self.queues();
        let leaves = queues.get(&runtime).is_none_or(|queue| queue.waiting.is_empty());
        if leaves {
            queues.remove(&runtime);
        }
        leaves
    }
}

/// A task that sends what waits, one statement after the other, until nothing does.
struct Sender {
    shared: Arc<Shared>,
    runtime: runtime::Id,
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
                self.in_charge = stays || !self.shared.publisher.leave(self.runtime);
                continue;
            }
            let mut connection = match kept.take() {
                Some(connection) => connection,
                None => match self.shared.acquire().await {
                    Ok(connection) => connection,
                    Err(error) => {
                        let (_, answers) = self.shared.publisher.take(self.runtime);
                        refuse(answers, error);
                        continue;
                    }
                },
            };
            let (messages, answers) = self.shared.publisher.take(self.runtime);
            if messages.is_empty() {
                kept = Some(connection);
                continue;
            }
            // Nobody keeps these messages, so that nothing is gained by waiting for the disk.
            let (schema, messages) = (&self.shared.schema, &messages);
            let send = async |connection: &mut PgConnection| {
                statements::publish(connection, schema, messages, Commit::LoseOnCrash).await
            };
            match connection.run(send).await {
                Ok(()) => {
                    let several = answers.len() > 1;
                    for answer in answers {
                        // A caller that has gone away wants no answer.
                        drop(answer.send(Ok(())));
                    }
                    // Whoever was just answered may have the next message at once: those go together.
                    if several {
                        yield_now().await;
                    }
                    if self.shared.has_spare_connection() {
                        kept = Some(connection);
                    }
                }
                Err(error) => {
                    connection.close_on_drop();
                    refuse(answers, error);
                }
            }
        }
    }

    fn waits(&self) -> bool {
        self.shared.publisher.queues().get(&self.runtime).is_some_and(|queue| !queue.waiting.is_empty())
    }
}

/// The end of the runtime, or of a panic: whoever waits is told.
impl Drop for Sender {
    fn drop(&mut self) {
        if !self.in_charge {
            return;
        }
        let lost = self.shared.publisher.queues().remove(&self.runtime);
        // Not under the lock: this wakes those who wait.
        drop(lost);
    }
}

fn refuse(answers: Vec<Answer>, error: pg_queue_core::DatabaseError) {
    let errors = repeated_database(error, answers.len());
    for (answer, error) in answers.into_iter().zip(errors) {
        drop(answer.send(Err(error.into())));
    }
}
