//! Publishing in natural batches: while one statement is on its way, what arrives is the next one.

use std::{
    collections::HashMap,
    fmt::Debug,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use pg_queue_core::DatabaseError;
use tokio::{
    runtime::{self, Handle},
    sync::{Notify, oneshot},
    task::yield_now,
    time::Instant,
};

use crate::{alarm::Alarm, link::Link, shared::Shared};

/// How many messages one statement takes at most, and how many bytes.
const MOST_MESSAGES: usize = 1000;
const MOST_BYTES: usize = 1 << 20;

/// How long the connection is kept when nothing is sent: taking one from the pool and giving it back costs two round trips more.
const LINGER: Duration = Duration::from_millis(5);

/// Where messages go that share a statement.
pub(crate) trait Destination: Debug + Clone + Eq + Hash + Send + Sync + 'static {
    type Message: Debug + Send + Sync + 'static;
    type Answer: Debug + Send + 'static;
    type Error: Debug + Send + 'static;

    /// Where those of this kind wait.
    fn publisher(shared: &Shared) -> &Publisher<Self>;

    /// How long a message is.
    fn bytes(message: &Self::Message) -> usize;

    /// Sends messages, all or none, and answers for each of them.
    fn send(
        &self,
        link: &mut Link,
        shared: &Shared,
        messages: &[Self::Message],
    ) -> impl Future<Output = Result<Vec<Self::Answer>, Self::Error>> + Send;

    /// The same error for so many callers.
    fn repeated(error: Self::Error, count: usize) -> Vec<Self::Error>;

    /// There is no connection.
    fn unconnected(error: DatabaseError) -> Self::Error;

    /// The runtime has ended.
    fn interrupted() -> Self::Error;
}

/// The queues of messages in which something is going on, each with a task that sends. By runtime: the task ends with its own.
#[derive(Debug)]
pub(crate) struct Publisher<D: Destination>(Mutex<HashMap<Key<D>, Queue<D>>>);

type Key<D> = (runtime::Id, D);

#[derive(Debug)]
struct Queue<D: Destination> {
    waiting: Vec<Waiting<D>>,
    arrived: Arc<Notify>,
}

type Sent<D> = Result<<D as Destination>::Answer, <D as Destination>::Error>;
type Waiting<D> = (<D as Destination>::Message, oneshot::Sender<Sent<D>>);

impl<D: Destination> Default for Publisher<D> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

/// Sends a message together with what else is on its way there. A caller that goes away leaves it sent or not.
pub(crate) async fn publish<D: Destination>(shared: &Arc<Shared>, to: D, message: D::Message) -> Sent<D> {
    let runtime = Handle::current();
    let key = (runtime.id(), to);
    let (answer, answered) = oneshot::channel();
    if let Some(arrived) = D::publisher(shared).join(&key, (message, answer)) {
        // Not under the lock: a runtime that shuts down drops it at once, which asks for that.
        runtime.spawn(Sender { shared: Arc::clone(shared), key, arrived, in_charge: true }.run());
    }
    answered.await.unwrap_or_else(|_| Err(D::interrupted()))
}

impl<D: Destination> Publisher<D> {
    fn queues(&self) -> MutexGuard<'_, HashMap<Key<D>, Queue<D>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers with what to start a sender, if there is none.
    fn join(&self, key: &Key<D>, waiting: Waiting<D>) -> Option<Arc<Notify>> {
        let mut queues = self.queues();
        if let Some(queue) = queues.get_mut(key) {
            if queue.waiting.is_empty() {
                queue.arrived.notify_one();
            }
            queue.waiting.push(waiting);
            return None;
        }
        let arrived = Arc::<Notify>::default();
        queues.insert(key.clone(), Queue { waiting: vec![waiting], arrived: Arc::clone(&arrived) });
        Some(arrived)
    }

    /// What goes into the next statement. The message of a caller that has gone away is left out.
    fn take(&self, key: &Key<D>) -> (Vec<D::Message>, Vec<oneshot::Sender<Sent<D>>>) {
        let mut queues = self.queues();
        let Some(queue) = queues.get_mut(key) else { return (Vec::new(), Vec::new()) };
        let mut bytes = 0;
        let mut fits = |(message, _): &Waiting<D>| {
            let first = bytes == 0;
            bytes += D::bytes(message) + 1;
            first || bytes <= MOST_BYTES
        };
        let count = queue.waiting.iter().take(MOST_MESSAGES).take_while(|waiting| fits(waiting)).count();
        queue.waiting.drain(..count).filter(|(_, answer)| !answer.is_closed()).unzip()
    }

    fn waits(&self, key: &Key<D>) -> bool {
        self.queues().get(key).is_some_and(|queue| !queue.waiting.is_empty())
    }

    /// Whether the sender may leave: not when a message has arrived.
    fn leave(&self, key: &Key<D>) -> bool {
        let mut queues = self.queues();
        let leaves = queues.get(key).is_none_or(|queue| queue.waiting.is_empty());
        if leaves {
            queues.remove(key);
        }
        leaves
    }
}

/// A task that sends what waits, one statement after the other, until nothing does.
struct Sender<D: Destination> {
    shared: Arc<Shared>,
    key: Key<D>,
    arrived: Arc<Notify>,
    /// Whether its queue is still its own.
    in_charge: bool,
}

impl<D: Destination> Sender<D> {
    async fn run(mut self) {
        let mut kept: Option<Link> = None;
        let mut lingered = Alarm::new(LINGER);
        while self.in_charge {
            if !D::publisher(&self.shared).waits(&self.key) {
                let stays = kept.is_some()
                    && tokio::select! {
                        biased;
                        () = self.arrived.notified() => true,
                        () = lingered.rings(Instant::now(), LINGER) => false,
                    };
                self.in_charge = stays || !D::publisher(&self.shared).leave(&self.key);
                continue;
            }
            let mut connection = match kept.take() {
                Some(connection) => connection,
                None => match self.shared.acquire().await {
                    Ok(connection) => connection,
                    Err(error) => {
                        let (_, answers) = D::publisher(&self.shared).take(&self.key);
                        refuse::<D>(answers, D::unconnected(error));
                        continue;
                    }
                },
            };
            let (messages, answers) = D::publisher(&self.shared).take(&self.key);
            if messages.is_empty() {
                kept = Some(connection);
                continue;
            }
            match self.key.1.send(&mut connection, &self.shared, &messages).await {
                Ok(sent) => {
                    let several = answers.len() > 1;
                    for (answer, sent) in answers.into_iter().zip(sent) {
                        // A caller that has gone away wants no answer.
                        drop(answer.send(Ok(sent)));
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
                    refuse::<D>(answers, error);
                }
            }
        }
    }
}

/// The end of the runtime, or of a panic: whoever waits is told.
impl<D: Destination> Drop for Sender<D> {
    fn drop(&mut self) {
        if !self.in_charge {
            return;
        }
        let lost = D::publisher(&self.shared).queues().remove(&self.key);
        // Not under the lock: this wakes those who wait.
        drop(lost);
    }
}

fn refuse<D: Destination>(answers: Vec<oneshot::Sender<Sent<D>>>, error: D::Error) {
    let errors = D::repeated(error, answers.len());
    for (answer, error) in answers.into_iter().zip(errors) {
        drop(answer.send(Err(error)));
    }
}
