//! Subscribers, each a task with a topic of its own, all in one process: they note what they receive and what they are told they
//! have lost.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::{Result, bail};
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

use super::{Messenger, Received, names};
use crate::{
    Params,
    ledger::Ledger,
    orders::{self, Order, Orders},
    usage,
    work::{Beginning, open_ledger},
};

/// How often it is looked whether all is there, once it is known how much that is.
const LOOK: Duration = Duration::from_millis(2);

/// The scenario.
pub(super) async fn run<M: Messenger>(url: &str, params: &Params) -> Result<()> {
    let ledger = open_ledger(params)?;
    let patience = u64::try_from(params.seconds("patience", 10.0)?.as_micros())?;
    let mut orders = Orders::listen();
    let messenger = M::open(url, 0, params).await?;
    let told = Arc::<Told>::default();
    let mut subscribers = JoinSet::new();
    for topic in names(params)? {
        let subscription = messenger.subscribe(&topic).await?;
        subscribers.spawn(receive::<M>(subscription, ledger, Arc::clone(&told)));
    }
    orders.ready().await?;
    let beginning = Beginning::now();
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut expected: Option<(u64, usize, u64)> = None;
    loop {
        tokio::select! {
            ended = subscribers.join_next() => match ended {
                Some(ended) => return Err(ended?.context("a subscriber has ended")),
                None => bail!("there are no subscribers"),
            },
            order = orders.next() => match order? {
                Some(Order::Sample) => orders::say(&beginning.sample(ledger))?,
                Some(Order::Expect { jobs, skip }) => expected = Some((jobs, skip, usage::now())),
                Some(Order::Go) => {}
                None => return Ok(()),
            },
            _ = looks.tick(), if expected.is_some() => {
                let Some((messages, skip, since)) = expected else { continue };
                let accounted = ledger.handled() + told.lost.load(Relaxed);
                let latest = told.latest.load(Relaxed);
                // What is missing may be on its way still.
                let still = usage::now().saturating_sub(latest.max(since));
                if accounted < messages && still < patience {
                    continue;
                }
                let mut outcome = beginning.outcome(ledger, latest, 0, skip);
                outcome["told_lost"] = told.lost.load(Relaxed).into();
                outcome["told_gaps"] = told.gaps.load(Relaxed).into();
                orders::say(&outcome)?;
                return orders.end().await;
            }
        }
    }
}

/// What all subscribers together have to tell beside the ledger.
#[derive(Debug, Default)]
struct Told {
    lost: AtomicU64,
    gaps: AtomicU64,
    /// When the last message came.
    latest: AtomicU64,
}

/// One subscriber. Only ends with an error.
async fn receive<M: Messenger>(mut subscription: M::Subscription, ledger: &Ledger, told: Arc<Told>) -> anyhow::Error {
    loop {
        match M::next(&mut subscription).await {
            Ok(Received::Message(message)) => drop(told.latest.fetch_max(ledger.note(&message), Relaxed)),
            Ok(Received::Lost(count)) => drop(told.lost.fetch_add(count, Relaxed)),
            Ok(Received::Gap) => drop(told.gaps.fetch_add(1, Relaxed)),
            Err(error) => return error,
        }
    }
}
