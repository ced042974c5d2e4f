//! Claiming ahead of free slots, and from floors on.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use pg_queue_core::JobFilter;
use pg_queue_worker::Outcome;
use tokio::sync::Semaphore;

use crate::support::{App, Db, db, eventually, start, tasks, work};

/// Notes which jobs have run, and stops at the first one that is not below `gate` until permits come.
struct Gate {
    from: i64,
    open: Semaphore,
    ran: Mutex<Vec<i64>>,
}

impl Gate {
    fn new(from: i64) -> Arc<Self> {
        Arc::new(Self { from, open: Semaphore::new(0), ran: Mutex::default() })
    }

    fn app(self: &Arc<Self>) -> App {
        let gate = Arc::clone(self);
        App::new(move |n, _| {
            let gate = Arc::clone(&gate);
            async move {
                if n >= gate.from {
                    gate.open.acquire().await?.forget();
                }
                gate.ran.lock().unwrap().push(n);
                Ok(Outcome::Complete)
            }
        })
    }

    fn ran(&self) -> Vec<i64> {
        let mut ran = self.ran.lock().unwrap().clone();
        ran.sort_unstable();
        ran
    }
}

/// Counts the statements that update jobs, which are claims as long as no attempt fails.
async fn count_claims(db: &Db) {
    db.execute(
        "create sequence claims;
         create function count_claim() returns trigger language plpgsql as $$ begin perform nextval('claims'); return null; end $$;
         create trigger count_claim after update on queue_work for each statement execute function count_claim()",
    )
    .await;
}

/// Whether no more jobs are leased than this, and the others are as if they had never been.
fn leased(jobs: usize) -> String {
    format!(
        "select count(*) filter (where lease_token is not null) = {jobs}
            and coalesce(max(attempt) filter (where lease_token is null), 0) = 0 from queue_work"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn quick_jobs_do_not_wait_for_a_claim_each() {
    let db = db().await;
    count_claims(&db).await;
    db.push_many(0..5000).await;
    let gate = Gate::new(i64::MAX);
    let worker = start(tasks().concurrency(2).build(&db.queue, gate.app()).unwrap());
    db.until("select count(*) = 0 from queue_work").await;
    assert_eq!(gate.ran(), (0..5000).collect::<Vec<_>>());
    assert_eq!(worker.stop().await.completed, 5000);
    let claims = db.get::<i64>("select last_value from claims").await;
    assert!(claims < 500, "{claims} claims");
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_become_slow_are_not_kept_from_others() {
    let db = db().await;
    db.push_many(0..2000).await;
    let gate = Gate::new(1000);
    let worker = start(tasks().concurrency(2).build(&db.queue, gate.app()).unwrap());
    db.until("select count(*) = 1000 from queue_work").await;
    db.until(&leased(2)).await;
    // And it does not begin anew.
    gate.open.add_permits(2);
    db.until("select count(*) = 998 from queue_work").await;
    db.until(&leased(2)).await;
    gate.open.add_permits(998);
    db.until("select count(*) = 0 from queue_work").await;
    assert_eq!(gate.ran(), (0..2000).collect::<Vec<_>>());
    let summary = worker.stop().await;
    assert_eq!((summary.completed, summary.lost_leases, summary.retried), (2000, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_claimed_ahead_goes_back_when_the_worker_closes() {
    let db = db().await;
    db.push_many(0..2000).await;
    let gate = Gate::new(500);
    let worker = start(tasks().concurrency(2).build(&db.queue, gate.app()).unwrap());
    db.until("select count(*) <= 1500 from queue_work").await;
    worker.signal();
    db.until(&leased(2)).await;
    gate.open.add_permits(2);
    let summary = worker.ended().await;
    assert_eq!((summary.completed, summary.lost_leases, summary.retried), (502, 0, 0));
    db.until(&leased(0)).await;
    assert_eq!(db.jobs().await, 1498);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_claimed_ahead_goes_back_when_the_future_is_dropped() {
    let db = db().await;
    db.push_many(0..2000).await;
    let gate = Gate::new(500);
    let worker = start(tasks().concurrency(2).build(&db.queue, gate.app()).unwrap());
    db.until("select count(*) <= 1500 from queue_work").await;
    worker.drop_future().await;
    db.until(&leased(0)).await;
    assert_eq!(db.jobs().await, 1500);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_claimed_ahead_from_a_queue_that_is_paused_goes_back() {
    let db = db().await;
    db.push_many(0..2000).await;
    let gate = Gate::new(500);
    let worker = start(tasks().concurrency(2).build(&db.queue, gate.app()).unwrap());
    db.until("select count(*) <= 1500 from queue_work").await;
    db.queue.queue.pause(&work()).await.unwrap();
    db.until(&leased(2)).await;
    gate.open.add_permits(1500);
    db.until(&leased(0)).await;
    assert_eq!((db.jobs().await, gate.ran().len()), (1498, 502));
    db.queue.queue.resume(&work()).await.unwrap();
    db.until("select count(*) = 0 from queue_work").await;
    worker.stop().await;
}

/// Some of them wait in line of the worker at that moment, some have gone back, some were never claimed.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_cancelled_while_it_waits_in_line_does_not_run() {
    let db = db().await;
    db.push_many(0..2000).await;
    db.execute("update queue_work set tags = '{doomed}' where (payload->>'n')::bigint >= 600").await;
    let gate = Gate::new(500);
    let worker = start(tasks().concurrency(2).build(&db.queue, gate.app()).unwrap());
    db.until("select count(*) <= 1500 from queue_work").await;
    let doomed = JobFilter::default().tag("doomed");
    let cancelled = db.queue.queue.cancel_all(&work(), &doomed).await.unwrap();
    assert_eq!(cancelled.cancelled + cancelled.cancelling, 1400);
    // No slot becomes free, so that none of them has had its turn.
    db.until("select count(*) = 100 from queue_work").await;
    gate.open.add_permits(1500);
    db.until("select count(*) = 0 from queue_work").await;
    assert_eq!(gate.ran(), (0..600).collect::<Vec<_>>());
    assert_eq!(db.get::<i64>("select count(*) from pg_queue_history where state = 'cancelled'").await, 1400);
    assert_eq!(worker.stop().await.completed, 600);
}

/// The worker always has more to do than it can. A job commits that is older than all that it has claimed.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_below_the_floor_runs_soon_while_the_queue_stays_busy() {
    let db = db().await;
    let late = Arc::new(AtomicI64::new(0));
    let seen = Arc::clone(&late);
    let app = App::new(move |n, _| {
        seen.fetch_add(i64::from(n < 0), SeqCst);
        async { Ok(Outcome::Complete) }
    });
    db.push_many(0..5000).await;
    let worker = start(tasks().concurrency(4).build(&db.queue, app).unwrap());
    let stop = tokio_util::sync::CancellationToken::new();
    let pushing = async {
        while !stop.is_cancelled() {
            if db.jobs().await < 5000 {
                db.push_many(0..2000).await;
            }
        }
    };
    let waiting = async {
        for round in 1..=3 {
            db.until("select coalesce(min(id), 0) > 1000 from queue_work where lease_token is null").await;
            let pushed = Instant::now();
            db.execute(
                "insert into queue_work (kind, run_at, payload) values ('task', now() - interval '1 minute', '{\"n\": -1}')",
            )
            .await;
            eventually("the late job runs", async || late.load(SeqCst) == round).await;
            assert!(pushed.elapsed() < Duration::from_secs(10), "{:?}", pushed.elapsed());
        }
        stop.cancel();
    };
    tokio::join!(pushing, waiting);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_that_claim_ahead_run_each_job_once() {
    let db = db().await;
    db.push_many(0..10_000).await;
    let gate = Gate::new(i64::MAX);
    let workers: Vec<_> = (0..2).map(|_| start(tasks().concurrency(3).build(&db.queue, gate.app()).unwrap())).collect();
    db.until("select count(*) = 0 from queue_work").await;
    let ran = gate.ran();
    assert_eq!(ran.len(), 10_000);
    assert_eq!(ran.into_iter().collect::<HashSet<_>>().len(), 10_000);
    for worker in workers {
        let summary = worker.stop().await;
        assert_eq!((summary.lost_leases, summary.retried), (0, 0));
    }
}
