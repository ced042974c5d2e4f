//! Enqueuing, in all the ways that there are.

use std::{
    convert::Infallible,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use anyhow::Result;
use futures_util::future::join_all;
use pg_queue::{Job, PgQueue, PushOptions};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::{
    jobs::{Plain, Quick, Whole},
    ledger::Ledger,
    orders::{Drawer, Order},
};

/// How many enqueue at once.
const PRODUCERS: u64 = 4;

/// No more jobs are enqueued while so many are unfinished, so that the time of a recovery is not that of a backlog.
const BACKLOG: u64 = 600;

/// The pause of a producer between two calls, and while the backlog is too long, in milliseconds.
const PAUSE: std::ops::Range<u64> = 15..70;

/// How many jobs that take longer than a lease are enqueued in a beat: so that some thirty are at work at any time.
const LONG_PER_BEAT: u32 = 5;

/// All that enqueue.
pub(super) struct Producers {
    producers: Vec<Producer>,
    /// Of jobs that take longer than a lease.
    long: Producer,
    pause: Duration,
}

struct Producer {
    mgr: PgQueue,
    ledger: Arc<Ledger>,
    drawer: Drawer,
}

impl Producers {
    pub(super) fn new(seed: u64, beat: Duration, mgr: &PgQueue, ledger: &Arc<Ledger>) -> Result<Producers> {
        let producer = |number: u64| -> Result<Producer> {
            // Each draws from a stream of its own, and so does whoever else draws from the seed.
            let random = StdRng::seed_from_u64(seed ^ (0x0070_726f_6475_6365 + number));
            Ok(Producer { mgr: mgr.clone(), ledger: Arc::clone(ledger), drawer: Drawer::new(random, beat)? })
        };
        let producers = (0..PRODUCERS).map(producer).collect::<Result<_>>()?;
        Ok(Producers { producers, long: producer(PRODUCERS)?, pause: beat / LONG_PER_BEAT })
    }

    /// Enqueues for as long as it is polled.
    pub(super) async fn run(self) -> Infallible {
        let all = join_all(self.producers.into_iter().map(Producer::run));
        tokio::join!(all, self.long.run_long(self.pause)).1
    }
}

impl Producer {
    async fn run(mut self) -> Infallible {
        loop {
            let pause = self.drawer.random.random_range(PAUSE);
            sleep(Duration::from_millis(pause)).await;
            if self.ledger.backlog.load(Relaxed) > BACKLOG {
                continue;
            }
            let enqueued = match self.drawer.random.random_range(0..100) {
                0..50 => self.one().await,
                50..68 => self.transaction().await,
                68..78 => self.by_hand().await,
                _ => self.many().await,
            };
            // Whoever gets no answer does not know whether it was done: such jobs may exist, and need not.
            drop(enqueued);
        }
    }

    /// Regularly, whatever the backlog is: they are few.
    async fn run_long(mut self, pause: Duration) -> Infallible {
        let mut beat = interval(pause);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            beat.tick().await;
            let order = self.drawer.long(self.ledger.number());
            drop(self.enqueue(order).await);
        }
    }

    async fn one(&mut self) -> Result<()> {
        let order = self.drawer.order(self.ledger.number());
        self.enqueue(order).await
    }

    async fn enqueue(&self, order: Order) -> Result<()> {
        let job = order.enqueue(&self.mgr).await?.id();
        self.ledger.acknowledge([(order.number, job, order.queue)]);
        Ok(())
    }

    /// Many of one type.
    async fn many(&mut self) -> Result<()> {
        let count = self.drawer.random.random_range(10..150);
        let numbers: Vec<i64> = (0..count).map(|_| self.ledger.number()).collect();
        let (queue, priority, mgr) = (self.drawer.queue(), self.drawer.priority(), &self.mgr);
        macro_rules! enqueue_many {
            ($type:ident) => {{
                let jobs: Vec<$type> = numbers.iter().map(|number| $type { number: *number }).collect();
                $type::enqueue_many(&jobs, mgr).queue(&queue).priority(priority).await
            }};
        }
        let outcomes = match self.drawer.random.random_range(0..10) {
            0..6 => enqueue_many!(Quick),
            6..8 => enqueue_many!(Whole),
            _ => enqueue_many!(Plain),
        }?;
        let jobs = numbers.iter().zip(&outcomes).map(|(number, outcome)| (*number, outcome.id(), queue.clone()));
        self.ledger.acknowledge(jobs);
        Ok(())
    }

    /// Some in one transaction, which is committed or not.
    async fn transaction(&mut self) -> Result<()> {
        let count = self.drawer.random.random_range(1..10);
        let orders: Vec<Order> = (0..count).map(|_| self.drawer.order(self.ledger.number())).collect();
        let commits = self.drawer.random.random_bool(0.7);
        if !commits {
            self.ledger.roll_back(orders.iter().map(|order| order.number));
        }
        let mut tx = self.mgr.pool().begin().await?;
        let mut jobs = Vec::new();
        for order in orders {
            let job = order.enqueue(self.mgr.on(&mut tx)).await?.id();
            jobs.push((order.number, job, order.queue));
        }
        if commits {
            tx.commit().await?;
            self.ledger.acknowledge(jobs);
        } else {
            tx.rollback().await?;
        }
        Ok(())
    }

    /// Without the type, as other programs do.
    async fn by_hand(&mut self) -> Result<()> {
        let (number, queue) = (self.ledger.number(), self.drawer.queue());
        let options = PushOptions::default().max_attempts(50).priority(self.drawer.priority());
        let outcome = self.mgr.queue.push_with(&queue, Quick::KIND, &Quick { number }, options).await?;
        self.ledger.acknowledge([(number, outcome.id(), queue)]);
        Ok(())
    }
}
