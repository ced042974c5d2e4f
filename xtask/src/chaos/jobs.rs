//! The jobs, and what their handlers do.

use std::{
    fmt,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::Error;
use pg_queue::{Context, Failure, Handler, Job, LeaseError, Outcome, TransactionHandler};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use tokio::{runtime::Handle, task::block_in_place, time::sleep};

use super::{
    log::{Deed, End, Log, RunId},
    tables,
};

/// How often a handler that takes its time says that it is still there.
const TICK: Duration = Duration::from_millis(50);

/// What a panic says that is wanted: nobody has to read of it.
pub(super) const ON_PURPOSE: &str = "on purpose";

/// One in so many jobs is kept when it is completed.
const KEPT: i64 = 16;

/// Leaves its effect at once, and completes with it.
#[derive(Debug, Serialize, Deserialize, Job)]
#[job(queue = "red", max_attempts = 50, backoff = "constant(200ms)")]
pub(super) struct Quick {
    pub(super) number: i64,
}

/// The same in a transaction that the worker begins and commits.
#[derive(Debug, Serialize, Deserialize, Job)]
#[job(queue = "red", max_attempts = 50, backoff = "constant(200ms)")]
pub(super) struct Whole {
    pub(super) number: i64,
}

/// Is at work for some time, then leaves its effect.
#[derive(Debug, Serialize, Deserialize, Job)]
#[job(queue = "green", max_attempts = 50, backoff = "constant(200ms)")]
pub(super) struct Slow {
    pub(super) number: i64,
    pub(super) millis: u64,
}

/// Blocks its thread for some time, so that nobody can stop it: after a sleep past its lease it goes on as if nothing had
/// happened, and tries to leave its effect.
#[derive(Debug, Serialize, Deserialize, Job)]
#[job(queue = "green", max_attempts = 50, backoff = "constant(200ms)")]
pub(super) struct Stubborn {
    pub(super) number: i64,
    pub(super) millis: u64,
}

/// Has some trouble first.
#[derive(Debug, Serialize, Deserialize, Job)]
#[job(queue = "blue", max_attempts = 50, backoff = "constant(200ms)")]
pub(super) struct Troubled {
    pub(super) number: i64,
    pub(super) trouble: Trouble,
}

/// Leaves its effect by itself and is completed afterwards, so that the effect may be there twice.
#[derive(Debug, Serialize, Deserialize, Job)]
#[job(queue = "blue", max_attempts = 50, backoff = "constant(200ms)")]
pub(super) struct Plain {
    pub(super) number: i64,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Trouble {
    /// The first attempt fails.
    Fails,
    /// The first attempt panics.
    Panics,
    /// It is put off once.
    Snoozes,
    /// The first attempt takes too long.
    Overruns,
    /// Every attempt fails.
    IsHopeless,
}

/// The types of jobs, in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Quick,
    Whole,
    Slow,
    Stubborn,
    Troubled,
    Plain,
}

const KINDS: [(Kind, &str); 6] = [
    (Kind::Quick, Quick::KIND),
    (Kind::Whole, Whole::KIND),
    (Kind::Slow, Slow::KIND),
    (Kind::Stubborn, Stubborn::KIND),
    (Kind::Troubled, Troubled::KIND),
    (Kind::Plain, Plain::KIND),
];

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(KINDS.iter().find(|(kind, _)| kind == self).map_or("", |(_, word)| word))
    }
}

impl FromStr for Kind {
    type Err = Error;

    fn from_str(text: &str) -> Result<Kind, Error> {
        let known = KINDS.iter().find(|(_, word)| *word == text);
        known.map(|(kind, _)| *kind).ok_or_else(|| anyhow::anyhow!("{text:?} is no kind"))
    }
}

/// What the handlers of a worker process share.
#[derive(Debug)]
pub(super) struct App {
    pub(super) process: u32,
    pub(super) log: Log,
    pub(super) runs: AtomicU32,
}

type State = Arc<App>;
type Ctx = Context<State>;
type Ended = Result<Outcome, Failure>;

/// A run of a handler, from its first line in the log to its last.
struct Run {
    ctx: Ctx,
    id: RunId,
    number: i64,
    end: End,
}

impl Run {
    fn begin(ctx: &Ctx, number: i64, kind: Kind) -> Run {
        let app = ctx.state();
        let id = RunId { process: app.process, run: app.runs.fetch_add(1, Relaxed) + 1 };
        app.log.note(Deed::Begun { run: id, number, job: ctx.job_id().get(), attempt: ctx.attempt(), kind });
        Run { ctx: ctx.clone(), id, number, end: End::Dropped }
    }

    fn note(&self, deed: impl FnOnce(RunId) -> Deed) {
        self.ctx.state().log.note(deed(self.id));
    }

    /// Ends as the job says.
    fn told(mut self, ended: Ended) -> Ended {
        self.end = End::AsTold;
        ended
    }

    /// Ends with what came of it.
    fn with(mut self, ended: Ended) -> Ended {
        self.end = if ended.is_ok() { End::Done } else { End::Failed };
        ended
    }

    /// Is at work, and heeds that it is asked to end or goes on until it is dropped.
    async fn work(&self, time: Duration, heeds: bool) -> Result<(), Failure> {
        let began = Instant::now();
        loop {
            self.note(Deed::Tick);
            let left = time.saturating_sub(began.elapsed());
            if left.is_zero() {
                return Ok(());
            }
            if heeds && self.ctx.is_cancelled() {
                return Err("it was asked to end".into());
            }
            sleep(left.min(TICK)).await;
        }
    }

    /// Leaves the effect and completes the job with it.
    async fn leave_effect(&self) -> Ended {
        self.keep()?;
        let mut tx = self.ctx.pool().begin().await?;
        tables::write_effect(&mut tx, self.number, self.ctx.job_id().get(), self.id, true).await?;
        let done = self.ctx.complete_in(&mut tx).await;
        if let Err(LeaseError::Lost(_)) = &done {
            self.note(Deed::Refused);
        }
        let done = done?;
        // After the completion and before the commit. From here on the job's row is locked, and then it is gone: no other
        // run can begin rightfully, however long this line is on its way to the file, unless the commit fails.
        self.note(Deed::Committing);
        tx.commit().await?;
        self.note(Deed::Committed);
        Ok(done)
    }

    /// Those that are kept are completed by other statements.
    fn keep(&self) -> Result<(), Failure> {
        if self.number % KEPT == 0 {
            self.ctx.output(&self.number)?;
        }
        Ok(())
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.note(|id| Deed::Ended(id, self.end));
    }
}

impl Handler<State> for Quick {
    async fn run(self, ctx: Ctx) -> Ended {
        let run = Run::begin(&ctx, self.number, Kind::Quick);
        let ended = run.leave_effect().await;
        run.with(ended)
    }
}

impl TransactionHandler<State> for Whole {
    async fn run(self, ctx: Ctx, transaction: &mut PgConnection) -> Ended {
        let run = Run::begin(&ctx, self.number, Kind::Whole);
        run.keep()?;
        tables::write_effect(transaction, self.number, ctx.job_id().get(), run.id, true).await?;
        run.with(Ok(Outcome::Complete))
    }
}

impl Handler<State> for Slow {
    async fn run(self, ctx: Ctx) -> Ended {
        let run = Run::begin(&ctx, self.number, Kind::Slow);
        let worked = run.work(Duration::from_millis(self.millis), self.number % 2 == 0).await;
        let ended = match worked {
            Ok(()) => run.leave_effect().await,
            Err(failure) => Err(failure),
        };
        run.with(ended)
    }
}

impl Handler<State> for Stubborn {
    async fn run(self, ctx: Ctx) -> Ended {
        let run = Run::begin(&ctx, self.number, Kind::Stubborn);
        let until = Instant::now() + Duration::from_millis(self.millis);
        let ended = block_in_place(|| {
            while Instant::now() < until {
                thread::sleep(TICK);
            }
            Handle::current().block_on(run.leave_effect())
        });
        run.with(ended)
    }
}

impl Handler<State> for Troubled {
    async fn run(self, ctx: Ctx) -> Ended {
        let run = Run::begin(&ctx, self.number, Kind::Troubled);
        let is_first = ctx.attempt() == 1;
        match self.trouble {
            Trouble::Fails if is_first => return run.told(Err(ON_PURPOSE.into())),
            Trouble::Panics if is_first => {
                let _ = run.told(Ok(Outcome::Complete));
                panic!("{ON_PURPOSE}");
            }
            // Put off, it is due later than it was made.
            Trouble::Snoozes if ctx.run_at() <= ctx.created_at() => {
                return run.told(Ok(Outcome::Snooze(Duration::from_millis(300))));
            }
            Trouble::Overruns if is_first => {
                // Its time is up long before.
                let ended = run.work(Duration::from_secs(60), true).await;
                return run.told(ended.and_then(|()| Err("nobody has stopped it".into())));
            }
            Trouble::IsHopeless => return run.told(Err(ON_PURPOSE.into())),
            _ => {}
        }
        let ended = run.leave_effect().await;
        run.with(ended)
    }
}

impl Handler<State> for Plain {
    async fn run(self, ctx: Ctx) -> Ended {
        let run = Run::begin(&ctx, self.number, Kind::Plain);
        run.keep()?;
        let mut connection = ctx.pool().acquire().await?;
        tables::write_effect(&mut connection, self.number, ctx.job_id().get(), run.id, false).await?;
        run.note(Deed::Committed);
        run.with(Ok(Outcome::Complete))
    }
}
