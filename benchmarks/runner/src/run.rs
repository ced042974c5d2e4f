//! One run of one contestant: a fresh database, its programs at work, and what came of it.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result, bail};
use futures_util::future::try_join_all;
use pg_queue_embedded::Server;
use serde_json::Value;
use tokio::time::sleep;

use crate::{
    driver::Driver,
    measure::Used,
    outcome::{Account, Outcome, Worked},
    programs::Program,
    scenarios::{Consumer, Measure, Producer, Steps},
    server::{HeldSnapshot, Prepared},
    watch::{self, Windows},
};

/// How long a run may take beyond the time for which jobs are enqueued.
const PATIENCE: Duration = Duration::from_secs(300);

/// How long a worker has nothing to do before jobs come: it is idle then, as one is.
const QUIET: Duration = Duration::from_secs(1);

/// How many jobs a second a ledger has room for, at most.
const FASTEST: f64 = 200_000.0;

/// The same of messages, which nobody keeps.
const FASTEST_MESSAGES: f64 = 1_000_000.0;

/// One contestant's part of a case.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Side<'a> {
    pub(crate) program: &'a Program,
    pub(crate) steps: &'a Steps,
    pub(crate) measure: Measure,
}

impl Side<'_> {
    /// Runs it once.
    pub(crate) async fn run(&self, server: &Server) -> Result<Outcome> {
        let params = self.params();
        let mut prepared = Prepared::new(server, self.program, self.steps, &params).await?;
        let url = prepared.url().to_owned();
        let held = match self.steps.pinned {
            true => Some(HeldSnapshot::take(&url).await?),
            false => None,
        };
        let transactions = prepared.meter.transactions().await?;
        let mut workers = self.workers(&url, &params).await?;
        let connections = match self.steps.consumer {
            Consumer::Subscribers(_) => prepared.meter.connections().await?,
            _ => None,
        };
        let mut outcome = if self.measure == Measure::Transactions {
            watch::idle(&mut prepared.meter, &mut workers, self.steps.time).await?
        } else {
            self.measured(&mut prepared, &mut workers, &url, &params).await?
        };
        drop(held);
        for worker in workers {
            worker.finish().await?;
        }
        outcome.metrics.extend(connections.map(|count| ("subscriber_connections".to_owned(), count)));
        if self.measure != Measure::Transactions
            // Only now the sessions have ended, and what they did is known.
            && let Some((before, after)) = transactions.zip(prepared.meter.transactions().await?)
        {
            outcome.metrics.insert("transactions_per_job".into(), (after - before) / outcome.jobs.max(1) as f64);
        }
        if self.steps.consumer == Consumer::Nobody {
            let found = Driver::ask(self.program, "count", Some(&url), &params, PATIENCE).await?;
            let found = found["unfinished"].as_u64().context("it does not count")?;
            outcome.account = Account::of_enqueued(outcome.jobs, found);
        }
        Ok(outcome)
    }

    fn params(&self) -> Vec<(String, String)> {
        let steps = self.steps;
        let mut params: Vec<_> =
            steps.params.iter().map(|(key, value)| ((*key).to_owned(), value.to_string())).collect();
        let mut param = |key: &str, value: String| params.push((key.to_owned(), value));
        let mut by_tasks = |tasks: u32, rate: f64, most: Option<u64>, fastest: f64| {
            param("tasks", tasks.to_string());
            param("rate", rate.to_string());
            let rate = if rate > 0.0 { rate } else { fastest };
            u64::from(tasks) * 100 + most.unwrap_or((steps.time.as_secs_f64() * rate) as u64)
        };
        let produced = match steps.producer {
            Producer::Nobody => 0,
            Producer::Bulk { jobs } => jobs,
            Producer::Tasks { tasks, rate } => by_tasks(tasks, rate, None, FASTEST),
            Producer::Publishers { tasks, rate, most } => by_tasks(tasks, rate, most, FASTEST_MESSAGES),
        };
        param("slots", (steps.preload + produced).to_string());
        match steps.producer {
            Producer::Bulk { jobs } => param("jobs", jobs.to_string()),
            Producer::Publishers { most: Some(most), .. } => param("most", most.to_string()),
            _ => {}
        }
        match steps.consumer {
            Consumer::Workers(processes) => param("processes", processes.to_string()),
            Consumer::Subscribers(count) => param("topics", count.to_string()),
            _ => {}
        }
        params.push(("seconds".into(), steps.time.as_secs_f64().to_string()));
        params
    }

    async fn workers(&self, url: &str, params: &[(String, String)]) -> Result<Vec<Driver>> {
        let (count, command) = match self.steps.consumer {
            Consumer::Nobody => (0, "work"),
            Consumer::Workers(count) => (count, "work"),
            Consumer::Hand => (1, "hand"),
            Consumer::Subscribers(_) => (1, "subscribe"),
        };
        let mut workers = Vec::new();
        for _ in 0..count {
            workers.push(Driver::start(self.program, command, Some(url), params)?);
        }
        for worker in &mut workers {
            worker.ready().await?;
        }
        Ok(workers)
    }

    /// From the first job to the last one.
    async fn measured(
        &self,
        prepared: &mut Prepared,
        workers: &mut [Driver],
        url: &str,
        params: &[(String, String)],
    ) -> Result<Outcome> {
        let command = match self.steps.producer {
            Producer::Nobody => None,
            Producer::Tasks { .. } => Some("produce"),
            Producer::Bulk { .. } => Some("bulk"),
            Producer::Publishers { .. } => Some("publish"),
        };
        let Some(command) = command else {
            let before = prepared.meter.used().await?;
            order_all(workers, "go").await?;
            let worked = expect(workers, self.steps.preload, 0).await?;
            let after = prepared.meter.used().await?;
            return Ok(self.outcome(worked, None, before, after, None));
        };
        // Those who work begin first, and do the jobs that warm up the producer.
        order_all(workers, "go").await?;
        let mut producer = Driver::start(self.program, command, Some(url), params)?;
        producer.ready().await?;
        sleep(QUIET).await;
        let before = prepared.meter.used().await?;
        producer.order("go").await?;
        let limit = self.steps.time + PATIENCE;
        let mut windows = None;
        let produced = if self.steps.pinned && !workers.is_empty() {
            let (produced, seen) = watch::windows(prepared, &mut workers[0], &mut producer, self.steps.time).await?;
            windows = Some(seen);
            produced
        } else {
            producer.answer(limit).await?
        };
        let produced = Produced::parse(&produced)?;
        let worked = if workers.is_empty() {
            Worked::default()
        } else {
            expect(workers, produced.enqueued, produced.warming).await?
        };
        let after = prepared.meter.used().await?;
        producer.finish().await?;
        Ok(self.outcome(worked, Some(produced), before, after, windows))
    }

    fn outcome(
        &self,
        worked: Worked,
        produced: Option<Produced>,
        before: Used,
        after: Used,
        windows: Option<Windows>,
    ) -> Outcome {
        let jobs = produced.map_or(self.steps.preload, |produced| produced.enqueued);
        let measured = produced.map_or(jobs, |produced| produced.enqueued - produced.warming) as f64;
        let mut metrics = BTreeMap::new();
        let mut metric = |name: &str, value: f64| metrics.insert(name.to_owned(), value);
        let has_worker = self.steps.consumer != Consumer::Nobody;
        if let Some(produced) = produced {
            metric("enqueued_per_s", measured / seconds(produced.began_us, produced.ended_us));
            metric("producer_cpu_us_per_job", produced.cpu_us as f64 / measured);
            metric("producer_peak_rss_mb", produced.peak_kb as f64 / 1024.0);
        }
        let began = produced.map_or(worked.began_us, |produced| produced.began_us);
        if has_worker {
            let known_lost = worked.known_lost(jobs) as f64;
            if matches!(self.steps.consumer, Consumer::Subscribers(_)) {
                metric("told_lost", known_lost);
            }
            metric("done_per_s", (measured - known_lost) / seconds(began, worked.ended_us));
            metric("worker_cpu_us_per_job", worked.cpu_us as f64 / jobs as f64);
            metric("worker_peak_rss_mb", worked.peak_kb as f64 / 1024.0);
        }
        if has_worker && produced.is_some() {
            metric("p50_ms", worked.p50_ms);
            metric("p99_ms", worked.p99_ms);
            metric("max_ms", worked.max_ms);
        }
        if let (Some(before), Some(after)) = (before.cpu_us, after.cpu_us) {
            metric("server_cpu_us_per_job", (after - before) / measured);
        }
        if let (Some(before), Some(after)) = (before.wal, after.wal) {
            metric("wal_bytes_per_job", (after - before) / measured);
        }
        if let Some(windows) = windows {
            windows.note(&mut metrics);
        }
        let name = match self.measure {
            Measure::Rate if !has_worker || self.steps.counts_enqueued => "enqueued_per_s",
            Measure::Rate | Measure::Received => "done_per_s",
            Measure::P99 => "p99_ms",
            Measure::Kept => "kept",
            Measure::Transactions => "transactions_per_s",
        };
        let value = metrics.get(name).copied().unwrap_or_default();
        let account = if has_worker { worked.account(jobs) } else { Account::default() };
        let stalled_at = (account.unfinished > 0).then_some(worked.handled);
        Outcome { value, jobs, account, stalled_at, metrics }
    }
}

/// What a producer says.
#[derive(Debug, Clone, Copy)]
struct Produced {
    enqueued: u64,
    warming: u64,
    began_us: u64,
    ended_us: u64,
    cpu_us: u64,
    peak_kb: u64,
}

impl Produced {
    fn parse(answer: &Value) -> Result<Produced> {
        let number = |key: &str| answer[key].as_u64().with_context(|| format!("no {key} in {answer}"));
        let produced = Produced {
            enqueued: number("enqueued")?,
            warming: number("warming")?,
            began_us: number("began_us")?,
            ended_us: number("ended_us")?,
            cpu_us: number("cpu_us")?,
            peak_kb: number("peak_kb")?,
        };
        if produced.enqueued <= produced.warming {
            bail!("nothing was enqueued in all the time");
        }
        Ok(produced)
    }
}

fn seconds(from_us: u64, to_us: u64) -> f64 {
    to_us.saturating_sub(from_us) as f64 / 1e6
}

async fn order_all(workers: &mut [Driver], order: &str) -> Result<()> {
    for worker in workers {
        worker.order(order).await?;
    }
    Ok(())
}

/// Tells the workers how many jobs there are, and waits until those are done.
async fn expect(workers: &mut [Driver], jobs: u64, skip: u64) -> Result<Worked> {
    order_all(workers, &format!("expect {jobs} {skip}")).await?;
    let answers = try_join_all(workers.iter_mut().map(|worker| worker.answer(PATIENCE))).await?;
    let worked = answers.iter().map(Worked::parse).collect::<Result<Vec<_>>>()?;
    worked.into_iter().reduce(Worked::and).context("there is a worker")
}
