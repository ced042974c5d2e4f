//! One worker, which is given all the jobs that there are.

use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::{MissedTickBehavior, interval};

use crate::{
    Contestant, Params,
    driver::{apart, open},
    ledger::{self, Ledger},
    orders::{self, Order, Orders},
    usage,
    waiting::{State, Watch},
};

/// How often it is looked whether all is done.
const LOOK: Duration = Duration::from_millis(2);

/// The scenario.
pub(crate) async fn run<C: Contestant>(url: String, params: Params) -> Result<()> {
    let ledger = open_ledger(&params)?;
    let patience = params.seconds("patience", 10.0)?;
    let processes = params.get("processes", 1)?;
    let mut orders = Orders::listen();
    let queue: C = open(&url, 1, &params).await?;
    // Connects, and is what asking costs for the first time.
    queue.unfinished().await?;
    orders.ready().await?;
    let beginning = Beginning::now();
    let mut worker = std::pin::pin!(apart(move || async move { C::work(&url, &params).await }));
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut watch: Option<(Watch, usize)> = None;
    loop {
        tokio::select! {
            ended = &mut worker => match ended {
                Ok(()) => bail!("the worker has ended"),
                Err(error) => return Err(error.context("the worker has ended")),
            },
            order = orders.next() => match order? {
                Some(Order::Sample) => orders::say(&beginning.sample(ledger))?,
                Some(Order::Expect { jobs, skip }) => watch = Some((Watch::new(jobs, processes, patience), skip)),
                Some(Order::Go) => {}
                None => return Ok(()),
            },
            // An idle worker is not to be woken by us.
            _ = looks.tick(), if watch.is_some() => {
                let Some((watch, skip)) = &mut watch else { continue };
                let (end, unfinished) = match watch.look(ledger, &queue).await? {
                    State::Working => continue,
                    State::Done { since } => (since, 0),
                    State::Stalled { unfinished } => (usage::now(), unfinished),
                };
                orders::say(&beginning.outcome(ledger, end, unfinished, *skip))?;
                return orders.end().await;
            }
        }
    }
}

/// The ledger that a worker's parameters ask for.
pub(crate) fn open_ledger(params: &Params) -> Result<&'static Ledger> {
    let pause = Duration::from_micros(params.get("handler_us", 0)?);
    Ok(ledger::open(params.get("slots", 100_000)?, pause))
}

/// Where a worker began.
#[derive(Debug)]
pub(crate) struct Beginning {
    start: u64,
    cpu: u64,
    wake_ups: u64,
}

impl Beginning {
    pub(crate) fn now() -> Self {
        Self { start: usage::now(), cpu: usage::cpu(), wake_ups: usage::wake_ups() }
    }

    pub(crate) fn sample(&self, ledger: &Ledger) -> serde_json::Value {
        serde_json::json!({
            "handled": ledger.handled(),
            "cpu_us": usage::cpu() - self.cpu,
            "wake_ups": usage::wake_ups().saturating_sub(self.wake_ups),
        })
    }

    pub(crate) fn outcome(&self, ledger: &Ledger, end: u64, unfinished: u64, skip: usize) -> serde_json::Value {
        serde_json::json!({
            "handled": ledger.handled(),
            "doubled": ledger.doubled(),
            // As text: not every program reads numbers of 64 bits.
            "checksum": ledger.checksum().to_string(),
            "unfinished": unfinished,
            "began_us": self.start,
            "ended_us": end,
            "cpu_us": usage::cpu() - self.cpu,
            "peak_kb": usage::peak_memory(),
            "latency": ledger.latencies(skip),
        })
    }
}
