//! What happens in a demo, in its order.

use anyhow::Result;
use pg_queue::{Job, PgQueue, QueueName};

use super::{
    counts::{self, Counts},
    enqueue,
    jobs::{IndexFile, Probe},
    probes::{self, Pickup},
    process::WorkerProcess,
    progress::Progress,
    questions::{self, Answered, Question},
    statistics::{self, Statistics},
    tables,
    tree::Tree,
    worker::WorkerSettings,
};

/// The worker that is killed, and the one that survives.
pub(super) const VICTIM: &str = "worker 1";
pub(super) const SURVIVOR: &str = "worker 2";

/// How many jobs the victim begins and does not end, so that its death always costs something, beside those that it
/// happens to be running.
const HELD: usize = 4;

const LARGEST: i64 = 5;

/// A name that no file has: the answer says so.
const NO_FILE: &str = "no/such/file.rs";

/// What is known at the end.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) files: usize,
    pub(super) counts: Counts,
    pub(super) death: Death,
    pub(super) pickup: Pickup,
    pub(super) answered: Vec<Answered>,
    pub(super) largest: Vec<Statistics>,
}

/// How the victim died.
#[derive(Debug)]
pub(super) struct Death {
    pub(super) process: u32,
    /// How many jobs it had begun and not ended.
    pub(super) held: u64,
    /// When, on the database's clock.
    pub(super) at: f64,
}

pub(super) async fn run(tree: &Tree, url: &str) -> Result<Outcome> {
    let mgr = PgQueue::connect(url).await?;
    mgr.migrate().await?;
    for queue in [QueueName::new(IndexFile::QUEUE)?, QueueName::new(Probe::QUEUE)?, questions::queue()?] {
        mgr.queue.create(&queue).await?;
    }
    tables::create(mgr.pool()).await?;
    let total = tree.files.len();
    let mut progress = Progress::listen(&mgr, total as u64).await?;
    let worker = |name: &str, hold: usize| {
        let answers = name == SURVIVOR;
        WorkerProcess::start(&WorkerSettings { url: url.to_owned(), name: name.to_owned(), hold, answers })
    };

    let started = counts::clock(&mgr).await?;
    let (first, rest) = tree.files.split_at(total.min(enqueue::CHUNK));
    enqueue::chunk(&mgr, 0, first).await?;
    // The first worker is alone until it holds what it is to hold; the other one might take all of a small tree.
    let hold = HELD.min(total - total / 2);
    let mut victim = worker(VICTIM, hold)?;
    victim.holds(hold).await?;
    let mut survivor = worker(SURVIVOR, 0)?;
    let mut answered = Vec::new();
    let enqueue_rest = async {
        for (number, files) in (1..).zip(rest.chunks(enqueue::CHUNK)) {
            enqueue::chunk(&mgr, number * enqueue::CHUNK, files).await?;
        }
        anyhow::Ok(())
    };
    let half = total as u64 / 2;
    let kill_half_way = async {
        progress.until_done(half / 2).await?;
        if let Some(file) = questions::longest_file(&mgr).await? {
            answered.push(questions::ask(&mgr, Question::TopWords { file }).await?);
        }
        progress.until_done(half).await?;
        let death = kill(&mgr, victim).await?;
        progress.say(&format!(
            "{VICTIM} (process {}) was killed with SIGKILL half-way, while it held {} started jobs",
            death.process, death.held
        ));
        Ok(death)
    };
    let both = async { tokio::try_join!(enqueue_rest, kill_half_way) };
    let death = tokio::select! {
        done = both => done?.1,
        error = survivor.ended() => return Err(error),
    };

    let remainder = async {
        progress.until_finished().await?;
        tables::analyze(mgr.pool()).await?;
        eprintln!("no job is left; measuring how soon the idle {SURVIVOR} begins {} single jobs", probes::COUNT);
        let pickup = probes::measure(&mgr).await?;
        let largest = ask_at_the_end(&mgr, tree, &mut answered).await?;
        anyhow::Ok((pickup, largest))
    };
    let (pickup, largest) = tokio::select! {
        done = remainder => done?,
        error = survivor.ended() => return Err(error),
    };
    survivor.finish().await?;
    let counts = counts::count(&mgr, started, death.at).await?;
    mgr.pool().close().await;
    Ok(Outcome { files: total, counts, death, pickup, answered, largest })
}

async fn kill(mgr: &PgQueue, victim: WorkerProcess) -> Result<Death> {
    let process = victim.kill().await?;
    let at = counts::clock(mgr).await?;
    Ok(Death { process, held: counts::held_by(mgr, VICTIM).await?, at })
}

/// Asks about files, the missing one among them, and about the largest directories, whose statistics are then in the
/// cache, where every process finds them.
async fn ask_at_the_end(mgr: &PgQueue, tree: &Tree, answered: &mut Vec<Answered>) -> Result<Vec<Statistics>> {
    let longest = questions::longest_file(mgr).await?;
    let first = tree.files.first().map(|file| file.name.clone());
    for file in longest.into_iter().chain(first).chain([NO_FILE.to_owned()]) {
        answered.push(questions::ask(mgr, Question::TopWords { file }).await?);
    }
    let mut largest = Vec::new();
    for directory in statistics::largest(mgr, LARGEST).await? {
        let asked = questions::ask(mgr, Question::Statistics { directory: directory.clone() }).await?;
        if largest.is_empty() {
            answered.push(asked);
        }
        largest.push(statistics::of(mgr, &directory).await?);
    }
    Ok(largest)
}
