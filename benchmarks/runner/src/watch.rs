//! Looking on while a worker works for long, or has nothing to do.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};

use crate::{driver::Driver, measure::Meter, outcome::Outcome, server::Prepared};

/// How often it is looked.
const BEAT: Duration = Duration::from_secs(1);

/// The parts that are compared, at most: the first minute and the last one.
const LONGEST_WINDOW: Duration = Duration::from_secs(60);

/// How long a worker may take to answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// So long after its start a worker has told the server's statistics all about it.
const SETTLING: Duration = Duration::from_secs(11);

/// What had been done and used at a moment.
#[derive(Debug, Clone, Copy)]
struct Look {
    at: Instant,
    handled: f64,
    cpu_us: Option<f64>,
}

/// The beginning and the end of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Windows {
    first: Window,
    last: Window,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Window {
    per_s: f64,
    cpu_us_per_job: Option<f64>,
}

impl Window {
    fn between(from: Look, to: Look) -> Window {
        let handled = to.handled - from.handled;
        let cpu = from.cpu_us.zip(to.cpu_us).map(|(from, to)| (to - from) / handled.max(1.0));
        Window { per_s: handled / (to.at - from.at).as_secs_f64(), cpu_us_per_job: cpu }
    }
}

impl Windows {
    /// A window is a sixth of the run, and a minute at most.
    fn of(looks: &[Look], time: Duration) -> Option<Windows> {
        let window = (time / 6).min(LONGEST_WINDOW);
        let (start, end) = (*looks.first()?, *looks.last()?);
        let first = looks.iter().find(|look| look.at >= start.at + window)?;
        let last = looks.iter().rev().find(|look| look.at + window <= end.at)?;
        Some(Windows { first: Window::between(start, *first), last: Window::between(*last, end) })
    }

    pub(crate) fn note(&self, metrics: &mut BTreeMap<String, f64>) {
        let mut note = |name: &str, value: f64| metrics.insert(name.to_owned(), value);
        note("first_per_s", self.first.per_s);
        note("last_per_s", self.last.per_s);
        note("kept", self.last.per_s / self.first.per_s);
        if let (Some(first), Some(last)) = (self.first.cpu_us_per_job, self.last.cpu_us_per_job) {
            note("first_server_cpu_us_per_job", first);
            note("last_server_cpu_us_per_job", last);
        }
    }
}

/// Looks every second what the worker has done, until the producer has ended. Answers what that said, too.
pub(crate) async fn windows(
    prepared: &Prepared,
    worker: &mut Driver,
    producer: &mut Driver,
    time: Duration,
) -> Result<(Value, Windows)> {
    let mut looks = Vec::new();
    let mut beat = interval_at(Instant::now(), BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let ends = Instant::now() + time;
    let mut said = std::pin::pin!(producer.answer(time + PATIENCE));
    let produced = loop {
        tokio::select! {
            said = &mut said => break said?,
            _ = beat.tick(), if Instant::now() <= ends => {
                worker.order("sample").await?;
                let answer = worker.answer(PATIENCE).await?;
                let handled = answer["handled"].as_f64().context("a sample has what was handled")?;
                looks.push(Look { at: Instant::now(), handled, cpu_us: prepared.meter.cpu_us() });
            }
        }
    };
    let windows = Windows::of(&looks, time).context("too short to compare its beginning and its end")?;
    Ok((produced, windows))
}

/// What a worker costs that has nothing to do.
pub(crate) async fn idle(meter: &mut Meter, workers: &mut [Driver], time: Duration) -> Result<Outcome> {
    let worker = workers.first_mut().context("there is a worker")?;
    worker.order("go").await?;
    sleep(SETTLING).await;
    let mut looks = Vec::new();
    for pause in [time, Duration::ZERO] {
        worker.order("sample").await?;
        let sample = worker.answer(PATIENCE).await?;
        looks.push((sample, meter.transactions().await?, meter.used().await?));
        sleep(pause).await;
    }
    let [(first, first_transactions, first_used), (last, last_transactions, last_used)] = &looks[..] else {
        return Err(anyhow::anyhow!("it was looked twice"));
    };
    let seconds = time.as_secs_f64();
    let rate = |key: &str| Some((last[key].as_f64()? - first[key].as_f64()?) / seconds);
    // The second look sees the transaction of the first one.
    let (first_transactions, last_transactions) =
        first_transactions.zip(*last_transactions).context("it is no PostgreSQL")?;
    let transactions = ((last_transactions - first_transactions - 2.0) / seconds).max(0.0);
    let mut metrics = BTreeMap::from([("transactions_per_s".to_owned(), transactions)]);
    metrics.extend(rate("wake_ups").map(|rate| ("wake_ups_per_s".to_owned(), rate)));
    metrics.extend(rate("cpu_us").map(|rate| ("worker_cpu_ms_per_s".to_owned(), rate / 1000.0)));
    if let (Some(first), Some(last)) = (first_used.cpu_us, last_used.cpu_us) {
        metrics.insert("server_cpu_ms_per_s".to_owned(), (last - first) / 1000.0 / seconds);
    }
    Ok(Outcome { value: transactions, metrics, ..Outcome::default() })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{Look, Windows};

    #[test]
    fn the_first_part_is_compared_with_the_last() {
        let start = Instant::now();
        // 100 jobs a second for half a minute, and then 50 a second that cost twice as much.
        let looks: Vec<Look> = (0..=60_u32)
            .map(|second| {
                let (early, late) = (f64::from(second.min(30)), f64::from(second.saturating_sub(30)));
                let cpu_us = Some(early * 1000.0 + late * 1000.0);
                Look { at: start + Duration::from_secs(second.into()), handled: early * 100.0 + late * 50.0, cpu_us }
            })
            .collect();
        let windows = Windows::of(&looks, Duration::from_secs(60)).expect("it is long enough");
        assert_eq!((windows.first.per_s, windows.last.per_s), (100.0, 50.0));
        assert_eq!((windows.first.cpu_us_per_job, windows.last.cpu_us_per_job), (Some(10.0), Some(20.0)));
        assert_eq!(Windows::of(&looks[..1], Duration::from_secs(60)), None);
    }
}
