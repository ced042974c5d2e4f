//! Calls that share a statement: while one is on its way, what arrives is the next one.
//!
//! No timer waits for a batch to fill. A caller who finds nobody sends its call itself, over a connection at hand: to hand it to a
//! task and the answer back would wake two threads. Whoever comes meanwhile starts a task that sends what waits, one statement
//! after the other, for as long as calls come together.

use std::{
    collections::{HashMap, VecDeque},
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use pg_queue_core::{
    DatabaseError,
    cache::{CacheError, CacheTable},
};
use sqlx::{
    PgConnection,
    postgres::{PgDatabaseError, PgSeverity},
};
use tokio::{
    runtime::{self, Handle},
    sync::{Notify, oneshot},
    task::yield_now,
    time::Instant,
};

use crate::{alarm::Alarm, at_hand::Connection, batches::repeated_database, shared::Shared};

/// How many calls one statement takes at most, and how many bytes: what gains nothing by being longer only makes more callers wait.
const MOST_CALLS: usize = 1000;
const MOST_BYTES: usize = 8 << 20;

/// How long the task waits for the next call. To start it anew costs less than a caller feels.
const LINGER: Duration = Duration::from_millis(5);

/// So many statements with a single call, one after the other, and the callers do without the task.
const ALONE: u32 = 32;

/// How long a statement may take before others go past it: a row may be locked, or its connection half-open.
const STALLED: Duration = Duration::from_secs(1);

/// So many calls in a row that fail by themselves mean that all of them do.
const MOST_REFUSALS: usize = 16;

/// A call that can share a statement with others of its kind.
pub(super) trait Call: Sized + Send + Sync + 'static {
    type Answer: Send + 'static;

    /// About how long it makes the statement.
    fn bytes(&self) -> usize;

    /// Sends them, and answers position by position.
    fn send(
        calls: &[Self],
        connection: &mut PgConnection,
        table: &CacheTable,
    ) -> impl Future<Output = Result<Vec<Self::Answer>, DatabaseError>> + Send;
}

type Answer<C> = oneshot::Sender<Result<<C as Call>::Answer, DatabaseError>>;

/// The calls of one kind about one table.
pub(super) struct Lane<C: Call> {
    shared: Arc<Shared>,
    table: CacheTable,
    /// By runtime, because a task ends with its runtime, and must not take along what the callers of another one wait for.
    lines: Mutex<HashMap<runtime::Id, Line<C>>>,
}

struct Line<C: Call> {
    waiting: VecDeque<(C, Answer<C>)>,
    /// Wakes the task, if there is one.
    runner: Option<Arc<Notify>>,
    /// Whether a caller sends its own call at the moment.
    lent: bool,
}

/// What a caller does with its call.
enum Joined<C: Call> {
    Send(C),
    Start(Arc<Notify>, oneshot::Receiver<Result<C::Answer, DatabaseError>>),
    Wait(oneshot::Receiver<Result<C::Answer, DatabaseError>>),
}

impl<C: Call> Lane<C> {
    pub(super) fn new(shared: &Arc<Shared>, table: &CacheTable) -> Arc<Self> {
        Arc::new(Self { shared: Arc::clone(shared), table: table.clone(), lines: Mutex::default() })
    }

    /// Carries out a call, with whatever else is on its way. A caller that goes away leaves it carried out or not.
    pub(super) async fn call(self: &Arc<Self>, call: C) -> Result<C::Answer, CacheError> {
        let runtime = Handle::current();
        let answered = match self.join(runtime.id(), call) {
            Joined::Send(call) => return Ok(self.send_alone(runtime.id(), call).await?),
            Joined::Start(arrived, answered) => {
                // Not under the lock: a runtime that shuts down drops the task at once, which asks for that.
                runtime.spawn(Runner { lane: Arc::clone(self), runtime: runtime.id(), arrived, in_charge: true }.run());
                answered
            }
            Joined::Wait(answered) => answered,
        };
        match answered.await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(CacheError::Interrupted),
        }
    }

    fn join(&self, runtime: runtime::Id, call: C) -> Joined<C> {
        let mut lines = self.lines();
        let line = lines.entry(runtime).or_insert_with(|| Line { waiting: VecDeque::new(), runner: None, lent: false });
        if line.runner.is_none() && !line.lent {
            line.lent = true;
            return Joined::Send(call);
        }
        let (answer, answered) = oneshot::channel();
        line.waiting.push_back((call, answer));
        match &line.runner {
            Some(arrived) => {
                if line.waiting.len() == 1 {
                    arrived.notify_one();
                }
                Joined::Wait(answered)
            }
            None => {
                let arrived = Arc::<Notify>::default();
                line.runner = Some(Arc::clone(&arrived));
                Joined::Start(arrived, answered)
            }
        }
    }

    async fn send_alone(&self, runtime: runtime::Id, call: C) -> Result<C::Answer, DatabaseError> {
        let _lent = Lent { lane: self, runtime };
        let mut connection = Connection::acquire(&self.shared).await?;
        let (calls, table) = ([call], &self.table);
        let answers = connection.run(async |connection| C::send(&calls, connection, table).await).await?;
        connection.put_back();
        answers.into_iter().next().ok_or_else(unanswered)
    }

    fn lines(&self) -> MutexGuard<'_, HashMap<runtime::Id, Line<C>>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What goes into the next statement. The call of a caller that has gone away is left out.
    fn take(&self, runtime: runtime::Id) -> (Vec<C>, Vec<Answer<C>>) {
        let mut lines = self.lines();
        let Some(line) = lines.get_mut(&runtime) else { return (Vec::new(), Vec::new()) };
        let mut bytes = 0;
        let mut fits = |call: &C| {
            let first = bytes == 0;
            bytes += call.bytes() + 1;
            first || bytes <= MOST_BYTES
        };
        let count = line.waiting.iter().take(MOST_CALLS).take_while(|(call, _)| fits(call)).count();
        line.waiting.drain(..count).filter(|(_, answer)| !answer.is_closed()).unzip()
    }

    fn waits(&self, runtime: runtime::Id) -> bool {
        self.lines().get(&runtime).is_some_and(|line| !line.waiting.is_empty())
    }

    /// Whether the task may leave: not when a call has arrived.
    fn leave(&self, runtime: runtime::Id) -> bool {
        let mut lines = self.lines();
        let Some(line) = lines.get_mut(&runtime) else { return true };
        if !line.waiting.is_empty() {
            return false;
        }
        line.runner = None;
        if !line.lent {
            lines.remove(&runtime);
        }
        true
    }
}

/// A caller sends its own call.
struct Lent<'l, C: Call> {
    lane: &'l Lane<C>,
    runtime: runtime::Id,
}

impl<C: Call> Drop for Lent<'_, C> {
    fn drop(&mut self) {
        let mut lines = self.lane.lines();
        if let Some(line) = lines.get_mut(&self.runtime) {
            line.lent = false;
            if line.runner.is_none() {
                lines.remove(&self.runtime);
            }
        }
    }
}

/// The task that sends what waits.
struct Runner<C: Call> {
    lane: Arc<Lane<C>>,
    runtime: runtime::Id,
    arrived: Arc<Notify>,
    /// Whether its line is still its own.
    in_charge: bool,
}

impl<C: Call> Runner<C> {
    async fn run(mut self) {
        let lane = Arc::clone(&self.lane);
        let (mut lingered, mut stalled) = (Alarm::new(LINGER), Alarm::new(STALLED));
        let mut alone = 0;
        while self.in_charge {
            if !lane.waits(self.runtime) {
                let stays = alone < ALONE
                    && tokio::select! {
                        biased;
                        () = self.arrived.notified() => true,
                        () = lingered.rings(Instant::now(), LINGER) => false,
                    };
                self.in_charge = stays || !lane.leave(self.runtime);
                continue;
            }
            let connection = Connection::acquire(&lane.shared).await;
            // Only now, so that what has arrived while there was no connection goes along.
            let (calls, answers) = lane.take(self.runtime);
            let mut connection = match connection {
                Ok(connection) => connection,
                Err(error) => {
                    refuse(answers, error);
                    continue;
                }
            };
            if calls.is_empty() {
                connection.put_back();
                continue;
            }
            let several = calls.len() > 1;
            alone = if several { 0 } else { alone + 1 };
            let answered = {
                let mut sending = pin!(send(&calls, answers, &mut connection, &lane.table));
                tokio::select! {
                    biased;
                    answered = &mut sending => answered,
                    () = stalled.rings(Instant::now(), STALLED) => {
                        self.step_aside();
                        sending.await
                    }
                }
            };
            if answered {
                connection.put_back();
            } else {
                connection.close_if_abandoned();
            }
            // Whoever was just answered may have the next call at once. Those go together, and not the quickest one alone.
            if several {
                yield_now().await;
            }
        }
    }

    /// Lets another task, on another connection, have what waits.
    fn step_aside(&mut self) {
        tracing::warn!("a statement of the cache takes long: a row is locked, or its connection is half-open");
        self.in_charge = false;
        let lane = Arc::clone(&self.lane);
        if !lane.leave(self.runtime) {
            let next = Self { lane, runtime: self.runtime, arrived: Arc::clone(&self.arrived), in_charge: true };
            tokio::spawn(next.run());
        }
    }
}

/// The end of the runtime, or of a panic: whoever waits is told.
impl<C: Call> Drop for Runner<C> {
    fn drop(&mut self) {
        if !self.in_charge {
            return;
        }
        let lost = self.lane.lines().remove(&self.runtime);
        // Not under the lock: this wakes those who wait.
        drop(lost);
    }
}

/// Carries calls out and answers them. What the server refuses for one call's sake is tried again one by one. Answers whether
/// the connection still serves.
async fn send<C: Call>(calls: &[C], answers: Vec<Answer<C>>, connection: &mut Connection, table: &CacheTable) -> bool {
    let error = match connection.run(async |connection| C::send(calls, connection, table).await).await {
        Ok(given) => {
            for (answer, given) in answers.into_iter().zip(given) {
                // A caller that has gone away wants no answer.
                drop(answer.send(Ok(given)));
            }
            return true;
        }
        Err(error) => error,
    };
    if calls.len() == 1 || !blames_a_call(&error) {
        refuse(answers, error);
        return false;
    }
    let (mut answers, mut refusals) = (answers.into_iter(), 0);
    for call in calls {
        let one = std::slice::from_ref(call);
        let sent = connection.run(async |connection| C::send(one, connection, table).await).await;
        let Some(answer) = answers.next() else { break };
        match sent {
            Ok(given) => {
                refusals = 0;
                drop(answer.send(given.into_iter().next().ok_or_else(unanswered)));
            }
            Err(error) if blames_a_call(&error) && refusals < MOST_REFUSALS => {
                refusals += 1;
                drop(answer.send(Err(error)));
            }
            Err(error) => {
                refuse(std::iter::once(answer).chain(answers).collect(), error);
                return false;
            }
        }
    }
    true
}

/// Whether the statement was undone for sure, and perhaps because of a single call: not for a lost connection, nor for what would
/// be the same for each of them (rights, read-only servers, resources, operators).
fn blames_a_call(error: &DatabaseError) -> bool {
    let DatabaseError::Other(sqlx::Error::Database(error)) = error else { return false };
    let severity = error.try_downcast_ref::<PgDatabaseError>().map(PgDatabaseError::severity);
    let code = error.code().unwrap_or_default();
    severity == Some(PgSeverity::Error)
        && !["08", "25", "28", "42", "53", "55", "57", "58"].contains(&code.get(..2).unwrap_or_default())
}

fn refuse<A>(answers: Vec<oneshot::Sender<Result<A, DatabaseError>>>, error: DatabaseError) {
    let errors = repeated_database(error, answers.len());
    for (answer, error) in answers.into_iter().zip(errors) {
        drop(answer.send(Err(error)));
    }
}

fn unanswered() -> DatabaseError {
    DatabaseError::Other(sqlx::Error::Protocol("a statement of the cache answered less than it was asked".to_owned()))
}
