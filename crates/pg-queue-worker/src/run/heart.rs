//! The heartbeat: being seen alive, seeing who is not, and stopping in time when nobody can see us.
//!
//! Times, with an interval of B between beats. Others declare a worker dead when they have seen no new beat for 3 B on
//! their own clocks. They cannot have seen a beat before it was sent, so whoever counts from the sending of his last
//! acknowledged beat and has stopped everything before 3 B has stopped in time, whatever the clocks say.

use std::{
    cell::{Cell, RefCell},
    sync::Arc,
    thread,
    time::Duration,
};

use pg_queue_core::{
    DatabaseError, Schema, WorkerId,
    workers::{self, Observed, Registration},
};
use sqlx::{Connection, PgConnection, PgPool};
use tokio::{
    sync::{oneshot, watch},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    Shared,
    clock::{self, Moment},
    control::Patience,
    generation::{Generations, Reason},
    observer::{Observer, Sign},
};
use crate::{Event, events::Teller};

/// After how many tenths of a beat interval without an acknowledged beat handlers are asked to end, and dropped.
const CANCEL_TENTHS: u32 = 20;
const STOP_TENTHS: u32 = 28;

/// What the heart tells the rest of the worker.
#[derive(Debug, Clone)]
pub(super) struct Life {
    /// The worker's present id. It changes when the worker was declared dead.
    pub(super) id: WorkerId,
    /// Whether the worker is in contact with the database, and may begin jobs.
    pub(super) in_contact: bool,
    /// The workers that were declared dead within the last day.
    pub(super) dead: Arc<[Observed]>,
}

/// The thread that beats. On a thread of its own, with a connection of its own, because handlers may block the runtime
/// and use up the pool.
#[derive(Debug)]
pub(super) struct Heart {
    stop: CancellationToken,
    ended: oneshot::Receiver<()>,
}

impl Heart {
    /// Starts to beat for a worker that was registered at `began`.
    pub(super) fn start<S>(
        shared: &Shared<S>,
        registration: Registration,
        began: Moment,
    ) -> (Self, watch::Receiver<Life>) {
        let life = Life { id: registration.id, in_contact: true, dead: Arc::default() };
        let (sender, receiver) = watch::channel(life);
        let stop = CancellationToken::new();
        let (end, ended) = oneshot::channel();
        let beating = Beating {
            application: shared.queue.pool().clone(),
            schema: shared.queue.schema().clone(),
            interval: registration.beat_interval,
            registration,
            generations: Arc::clone(&shared.generations),
            teller: shared.teller.clone(),
            life: sender,
            acknowledged: Cell::new(began),
            timeline: RefCell::default(),
        };
        let stopped = stop.clone();
        let spawned = thread::Builder::new().name("pg-queue-heart".to_owned()).spawn(move || {
            // Dropped last: whoever waits for it may rely on the rest.
            let _end = end;
            match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => drop(runtime.block_on(stopped.run_until_cancelled(beating.run()))),
                Err(error) => tracing::error!(%error, "the heartbeat has no runtime"),
            }
        });
        if let Err(error) = spawned {
            tracing::error!(%error, "the heartbeat has no thread");
        }
        (Self { stop, ended }, receiver)
    }

    /// Resolves when the heart does not beat any longer, for whatever reason. Not to be called again after that.
    pub(super) async fn ended(&mut self) {
        // It is never sent to; it resolves when the thread ends or was never there.
        drop((&mut self.ended).await);
    }

    /// Stops beating.
    pub(super) async fn stop(mut self) {
        self.stop.cancel();
        drop(timeout(Duration::from_secs(5), self.ended()).await);
    }
}

impl Drop for Heart {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

struct Beating {
    /// Knows how to connect; its connections are not used.
    application: PgPool,
    schema: Schema,
    interval: Duration,
    registration: Registration,
    generations: Arc<Generations>,
    teller: Teller,
    life: watch::Sender<Life>,
    /// When the last acknowledged beat was sent.
    acknowledged: Cell<Moment>,
    /// The timeline of the server's log, if it tells.
    timeline: RefCell<Option<String>>,
}

/// However it ends, by a panic or for want of a thread: nobody stops the handlers in time any more, so they stop now.
impl Drop for Beating {
    fn drop(&mut self) {
        // Told to nobody: it is the end of the worker.
        self.life.send_if_modified(|life| std::mem::replace(&mut life.in_contact, false));
        self.generations.stop(Reason::OutOfContact);
    }
}

impl Beating {
    async fn run(self) {
        tokio::join!(self.beat(), self.fence());
    }

    async fn beat(&self) {
        let mut connection = None;
        let mut observer = Observer::new(self.interval, clock::now());
        let mut registration = self.registration.clone();
        let mut registered = true;
        let mut failures: u32 = 0;
        loop {
            if !registered {
                // A new one each time: of the last one nobody knows whether it was entered.
                registration.id = WorkerId::random();
            }
            let sent = clock::now();
            // A beat that takes longer than an interval is as good as none.
            let beaten = timeout(self.interval, async {
                let connection = self.connected(&mut connection, &mut observer).await?;
                let beat = async |connection: &mut PgConnection| {
                    if registered {
                        workers::beat(connection, &self.schema, registration.id).await
                    } else {
                        workers::register(connection, &self.schema, &registration).await.map(|()| true)
                    }
                };
                self.patience().run(connection, &self.schema, beat).await
            })
            .await;
            match beaten {
                Ok(Ok(true)) => {
                    (registered, failures) = (true, 0);
                    self.acknowledged.set(sent);
                    let dead = self.observe(&mut connection, &mut observer, registration.id).await;
                    if dead.iter().any(|worker| worker.id == registration.id) {
                        // Between the beat and this look.
                        self.declared_dead(registration.id);
                        registered = false;
                        continue;
                    }
                    self.generations.begin_anew();
                    let life = Life { id: registration.id, in_contact: true, dead };
                    if !self.life.send_replace(life).in_contact {
                        self.teller.tell(|| Event::InContact);
                    }
                    sleep(self.interval.saturating_sub(sent.elapsed())).await;
                }
                Ok(Ok(false)) => {
                    self.declared_dead(registration.id);
                    registered = false;
                }
                Ok(Err(error)) => {
                    // Once per interval: it is tried ten times as often.
                    if failures.is_multiple_of(10) {
                        tracing::warn!(%error, failures, "heartbeat failed");
                    }
                    failures = failures.wrapping_add(1);
                    connection = None;
                    sleep(self.interval / 10).await;
                }
                Err(_) => {
                    tracing::warn!("heartbeat had no answer within its interval");
                    connection = None;
                }
            }
        }
    }

    async fn connected<'c>(
        &self,
        open: &'c mut Option<PgConnection>,
        observer: &mut Observer,
    ) -> Result<&'c mut PgConnection, DatabaseError> {
        let connection = match open.take() {
            Some(connection) => connection,
            None => self.connect(observer).await?,
        };
        Ok(open.insert(connection))
    }

    /// What waits for a lock must not pile up on the server, beat after beat.
    fn patience(&self) -> Patience {
        Patience { statement: self.interval, lock: self.interval }
    }

    async fn connect(&self, observer: &mut Observer) -> Result<PgConnection, DatabaseError> {
        let failed = |error| DatabaseError::new(error, &self.schema);
        let mut connection = PgConnection::connect_with(&self.application.connect_options()).await.map_err(failed)?;
        if !self.schema.is_pooled() {
            self.patience().set(&mut connection, false).await.map_err(failed)?;
        }
        // A server that was only restarted still has every beat that it has answered. One that took the place of another
        // may not: then nobody's beats mean what they meant.
        let ask = async |connection: &mut PgConnection| workers::timeline(connection, &self.schema).await;
        let timeline = self.patience().run(&mut connection, &self.schema, ask).await.ok();
        if timeline.is_none() || timeline != *self.timeline.borrow() {
            observer.begin_anew();
        }
        self.timeline.replace(timeline);
        Ok(connection)
    }

    /// Looks who is alive, and answers who is dead. What fails is done again after the next beat.
    async fn observe(&self, open: &mut Option<PgConnection>, observer: &mut Observer, me: WorkerId) -> Arc<[Observed]> {
        let Some(connection) = open.as_mut() else { return Arc::default() };
        // Looking at the others must not make one's own beats late.
        let observed = timeout(self.interval / 2, async {
            let look = async |connection: &mut PgConnection| workers::observe(connection, &self.schema).await;
            let seen = self.patience().run(connection, &self.schema, look).await?;
            let others = seen.iter().filter(|worker| worker.dead_for.is_none() && worker.id != me);
            let signs =
                others.map(|worker| Sign { worker: worker.id, beat: worker.beat, interval: worker.beat_interval });
            for (id, beat) in observer.silent(clock::now(), signs) {
                let declare = async |connection: &mut PgConnection| {
                    workers::declare_dead(connection, &self.schema, id, beat).await
                };
                if self.patience().run(connection, &self.schema, declare).await? {
                    tracing::warn!(worker = %id, "a worker has stopped beating: declared dead");
                }
            }
            self.patience().run(connection, &self.schema, look).await
        })
        .await;
        match observed {
            Ok(Ok(seen)) => seen.into_iter().filter(|worker| worker.dead_for.is_some()).collect(),
            Ok(Err(error)) => {
                tracing::warn!(%error, "the other workers could not be looked at");
                *open = None;
                self.life.borrow().dead.clone()
            }
            Err(_) => {
                *open = None;
                self.life.borrow().dead.clone()
            }
        }
    }

    /// Ends the handlers before others may run their jobs.
    async fn fence(&self) {
        #[cfg(pg_queue_sabotage)]
        if pg_queue_core::sabotage::is_out(pg_queue_core::sabotage::Safeguard::SelfFence) {
            return;
        }
        let mut cancelled = false;
        loop {
            sleep((self.interval / 50).min(Duration::from_millis(100))).await;
            let silent = self.acknowledged.get().elapsed();
            if silent >= self.interval * STOP_TENTHS / 10 {
                self.out_of_contact();
                self.generations.stop(Reason::OutOfContact);
            } else if silent >= self.interval * CANCEL_TENTHS / 10 {
                self.out_of_contact();
                self.generations.cancel(Reason::OutOfContact);
                if !cancelled {
                    tracing::error!(?silent, "out of contact with the database: the handlers are cancelled");
                }
                cancelled = true;
            } else {
                cancelled = false;
            }
        }
    }

    fn declared_dead(&self, me: WorkerId) {
        self.out_of_contact();
        self.generations.stop(Reason::DeclaredDead);
        self.teller.tell(|| Event::DeclaredDead);
        tracing::error!(worker = %me, "this worker was declared dead: its handlers are stopped");
    }

    fn out_of_contact(&self) {
        if self.life.send_if_modified(|life| std::mem::replace(&mut life.in_contact, false)) {
            self.teller.tell(|| Event::OutOfContact);
        }
    }
}
