//! What happens in what order.

use std::{fs, path::Path, sync::Arc, time::Duration};

use anyhow::{Result, ensure};
use pg_queue::PgQueue;
use pg_queue_embedded::{Database, Server};
use tokio::time::{Instant, sleep, sleep_until};

use super::{
    checks::{Evidence, Findings},
    clock::Moment,
    faults::{Faults, Stage},
    fleet::Fleet,
    ledger::Ledger,
    log, messages,
    operator::{Interventions, Operator},
    orders, plan,
    producers::Producers,
    progress::Progress,
    runs::Runs,
    tables,
};

/// How long the workers may take to start.
const START_LIMIT: Duration = Duration::from_secs(60);

/// How often the processes and the jobs are looked at while something is waited for.
const LOOK: Duration = Duration::from_millis(100);

/// How it is done.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    pub(super) seed: u64,
    pub(super) length: Duration,
    pub(super) beat: Duration,
}

impl Settings {
    /// How long nothing may have finished at the end until what is left counts as lost: a rescue, which takes five beats, the
    /// longest job, and something for retries.
    fn patience(&self) -> Duration {
        self.beat.mul_f64(5.0 + orders::LONGEST) + Duration::from_secs(5)
    }
}

/// What is known at the end.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) enqueued: u64,
    pub(super) findings: Findings,
    pub(super) faults: Faults,
    pub(super) interventions: Interventions,
    pub(super) messages: messages::Tally,
    /// Processes that ended by themselves, or did not end as they should.
    pub(super) crashes: Vec<String>,
    pub(super) runs: u64,
    pub(super) stale_rejected: u64,
    pub(super) rescued: u64,
    pub(super) elapsed: Duration,
}

pub(super) async fn run(
    settings: Settings,
    server: &Arc<Server>,
    database: &Database,
    folder: &Path,
) -> Result<Outcome> {
    let mgr = PgQueue::connect(database.url()).await?;
    mgr.migrate().await?;
    for queue in orders::queues()? {
        mgr.queue.create(&queue).await?;
    }
    tables::create(mgr.pool()).await?;
    messages::create(&mgr).await?;
    let mut fleet = Fleet::start(plan::WORKERS, database, settings.beat, folder).await?;
    until_all_live(&mut fleet, &mgr).await?;

    let ledger = Arc::<Ledger>::default();
    let answers = messages::Answers::default();
    let (began, started) = (Moment::now(), Instant::now());
    let progress = Progress::begin(settings.length, &ledger)?;
    let mut operator = Operator::new(settings.seed, &mgr, &ledger);
    let producers = Producers::new(settings.seed, settings.beat, &mgr, &ledger)?;
    let plan = plan::steps(settings.seed, settings.length, settings.beat, server.is_private());
    let mut stage = Stage { fleet: &mut fleet, server, pool: mgr.pool() };
    let meanwhile = async {
        let faults = stage.carry_out(&plan, started, |faults| progress.note(faults)).await?;
        sleep_until(started + settings.length).await;
        anyhow::Ok(faults)
    };
    // On one task, so that an error ends it all.
    let faults = tokio::select! {
        faults = meanwhile => faults?,
        never = producers.run() => match never {},
        never = answers.publish(settings.seed, &mgr) => match never {},
        never = operator.run() => match never {},
        never = progress.run(mgr.pool()) => match never {},
    };
    progress.say("no more jobs and faults: waiting until all jobs have ended");
    tokio::select! {
        drained = drain(&mut fleet, &mgr, settings.patience()) => drained?,
        never = progress.run(mgr.pool()) => match never {},
    }
    drop(progress);
    let processes = fleet.processes;
    let crashes = fleet.finish().await;

    let evidence = gather(&mgr, &ledger, &faults, began, processes, folder).await?;
    let messages = answers.tally(&mgr).await?;
    mgr.pool().close().await;
    Ok(Outcome {
        enqueued: evidence.acknowledged.len() as u64,
        findings: evidence.judge(),
        faults,
        interventions: operator.done,
        messages,
        crashes,
        runs: evidence.runs.by_number.values().map(Vec::len).sum::<usize>() as u64,
        stale_rejected: evidence.runs.refused + evidence.runs.leases_lost,
        rescued: evidence.runs.rescued,
        elapsed: started.elapsed(),
    })
}

/// Reads what the processes have left behind, after their end.
async fn gather(
    mgr: &PgQueue,
    ledger: &Ledger,
    faults: &Faults,
    began: Moment,
    processes: u32,
    folder: &Path,
) -> Result<Evidence> {
    // For whoever reads the logs.
    let done: String = faults.done.iter().map(|fault| format!("{fault}\n")).collect();
    fs::write(folder.join("faults.log"), done)?;
    let logs = (1..=processes).map(|process| log::read(&Fleet::log(folder, process)));
    let (acknowledged, rolled_back) = ledger.close();
    Ok(Evidence {
        began,
        acknowledged: acknowledged.into_iter().map(|(number, job)| (number, job.get())).collect(),
        rolled_back,
        runs: Runs::of(logs.collect::<Result<Vec<_>>>()?),
        effects: tables::effects(mgr.pool()).await?,
        history: tables::history(mgr.pool()).await?.into_iter().collect(),
        leftovers: tables::leftovers(mgr.pool()).await?,
        faults: faults.done.clone(),
    })
}

async fn until_all_live(fleet: &mut Fleet, mgr: &PgQueue) -> Result<()> {
    let deadline = Instant::now() + START_LIMIT;
    while tables::living(mgr.pool()).await? < plan::WORKERS {
        fleet.look_after()?;
        ensure!(fleet.crashes.is_empty(), "the workers do not start: {}", fleet.crashes.join("; "));
        ensure!(Instant::now() < deadline, "the workers did not start within {START_LIMIT:?}");
        sleep(LOOK).await;
    }
    Ok(())
}

/// Waits until all jobs have finished and all messages were received, for as long as some do: however long the backlog is, a run is not too short for it.
async fn drain(fleet: &mut Fleet, mgr: &PgQueue, patience: Duration) -> Result<()> {
    let (mut least, mut since) = (u64::MAX, Instant::now());
    while since.elapsed() < patience {
        fleet.look_after()?;
        let unfinished = tables::unfinished(mgr.pool()).await? + messages::left(mgr).await?;
        if unfinished == 0 {
            break;
        }
        if unfinished < least {
            (least, since) = (unfinished, Instant::now());
        }
        sleep(LOOK).await;
    }
    Ok(())
}
