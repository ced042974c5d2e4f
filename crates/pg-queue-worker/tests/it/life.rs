//! Being cut off, being declared dead, and coming back.

use std::time::{Duration, Instant};

use pg_queue_client::PgQueue;
use pg_queue_worker::{Context, Outcome};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::support::{App, Db, Dropped, Ended, db, eventually, past_the_pooler, soon, start, tasks};

/// Waits for a beat and answers when it was seen: a moment after it was sent.
async fn beat(db: &Db) -> Instant {
    let query = "select max(beat) from pg_queue_workers where dead_at is null";
    let before: i64 = db.get(query).await;
    eventually("the worker beats", async || db.get::<i64>(query).await > before).await;
    Instant::now()
}

/// Handlers of which that of job 1 does not end in its first attempt; they tell when they are cancelled and when they are dropped.
fn stubborn() -> (App, [mpsc::UnboundedReceiver<Instant>; 3]) {
    let (begun, begins) = mpsc::unbounded_channel();
    let (cancelled, cancels) = mpsc::unbounded_channel();
    let (dropped, drops) = mpsc::unbounded_channel();
    let app = App::new(move |n, ctx| {
        begun.send(Instant::now()).unwrap();
        let (cancelled, guard) = (cancelled.clone(), Dropped(dropped.clone()));
        async move {
            if n == 1 && ctx.attempt() == 1 {
                ctx.cancelled().await;
                cancelled.send(Instant::now()).unwrap();
                std::future::pending::<()>().await;
            }
            drop(guard);
            Ok(Outcome::Complete) as Ended
        }
    });
    (app, [begins, cancels, drops])
}

/// Whether the job is leased to a worker that lives.
async fn in_the_name_of_the_living(ctx: &Context<App>) -> Result<bool, sqlx::Error> {
    let living = "select w.dead_at is null from queue_work as q
        join pg_queue_workers as w on w.id = q.lease_worker where q.id = $1";
    let living =
        sqlx::query_scalar(living).bind(ctx.job_id().get()).fetch_optional(&past_the_pooler(ctx.pool())).await?;
    Ok(living.unwrap_or(false))
}

const EMPTY: &str = "select count(*) = 0 from queue_work";

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_cannot_beat_stops_its_handlers_before_others_run_their_jobs_and_comes_back() {
    let db = db().await;
    db.push(1).await;
    let (app, [mut begins, mut cancels, mut drops]) = stubborn();
    let worker = start(tasks().build(&db.queue, app).unwrap());
    soon(begins.recv()).await.unwrap();
    let mut operator = db.pool.acquire().await.unwrap();
    let beat = beat(&db).await;
    sqlx::raw_sql("begin; lock table pg_queue_workers in access exclusive mode").execute(&mut *operator).await.unwrap();
    let cancelled = soon(cancels.recv()).await.unwrap() - beat;
    let dropped = soon(drops.recv()).await.unwrap() - beat;
    sqlx::raw_sql("rollback").execute(&mut *operator).await.unwrap();
    assert!((1500..2500).contains(&cancelled.as_millis()), "cancelled after {cancelled:?}");
    assert!((2500..3000).contains(&dropped.as_millis()), "dropped after {dropped:?}");
    // It lives on, with the job that it had to give up and with another one.
    db.push(2).await;
    db.until(EMPTY).await;
    let summary = worker.stop().await;
    assert_eq!((summary.retried, summary.completed, summary.lost_leases), (1, 2, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_was_away_longer_than_its_lease_goes_on() {
    let db = db().await;
    db.push(1).await;
    let (app, [mut begins, mut cancels, mut drops]) = stubborn();
    let worker = start(tasks().build(&db.queue, app).unwrap());
    soon(begins.recv()).await.unwrap();
    let beat = beat(&db).await;
    db.begin_outage().await;
    let cancelled = soon(cancels.recv()).await.unwrap() - beat;
    let dropped = soon(drops.recv()).await.unwrap() - beat;
    assert!((1500..2500).contains(&cancelled.as_millis()), "cancelled after {cancelled:?}");
    assert!((2500..3000).contains(&dropped.as_millis()), "dropped after {dropped:?}");
    db.end_outage().await;
    // The attempt has failed, which is told when somebody listens again; then there is another one.
    soon(begins.recv()).await.unwrap();
    db.until(EMPTY).await;
    let summary = worker.stop().await;
    assert_eq!((summary.retried, summary.completed), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_outage_costs_no_handler() {
    let db = db().await;
    db.push(1).await;
    let (begun, mut begins) = mpsc::unbounded_channel();
    let (go_on, goes_on) = tokio::sync::watch::channel(false);
    let app = App::new(move |_, ctx| {
        begun.send(()).unwrap();
        let mut goes_on = goes_on.clone();
        async move {
            goes_on.wait_for(|go_on| *go_on).await?;
            assert!(!ctx.is_cancelled());
            Ok(Outcome::Complete) as Ended
        }
    });
    let worker = start(tasks().build(&db.queue, app).unwrap());
    soon(begins.recv()).await.unwrap();
    let id = db.worker().await;
    for _ in 0..5 {
        beat(&db).await;
        db.terminate().await;
    }
    assert_eq!(db.worker().await, id);
    go_on.send(true).unwrap();
    db.until(EMPTY).await;
    assert_eq!(worker.stop().await.completed, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_was_declared_dead_stops_its_handlers_and_goes_on_under_another_id() {
    let db = db().await;
    // One slot, and a job behind the one that runs: the claim that waits for the slot must not claim for the dead.
    let (begun, mut begins) = mpsc::unbounded_channel();
    let (dropped, mut drops) = mpsc::unbounded_channel();
    let app = App::new(move |n, ctx| {
        let (begun, guard) = (begun.clone(), Dropped(dropped.clone()));
        async move {
            begun.send((n, ctx.attempt(), in_the_name_of_the_living(&ctx).await?)).unwrap();
            if n == 0 && ctx.attempt() == 1 {
                std::future::pending::<()>().await;
            }
            drop(guard);
            Ok(Outcome::Complete) as Ended
        }
    });
    db.push_many(0..20).await;
    let worker = start(tasks().concurrency(1).build(&db.queue, app).unwrap());
    assert_eq!(soon(begins.recv()).await, Some((0, 1, true)));
    let id = db.worker().await;
    db.execute("update pg_queue_workers set dead_at = now()").await;
    soon(drops.recv()).await.unwrap();
    let mut seen = Vec::new();
    for _ in 0..20 {
        let (n, attempt, living) = soon(begins.recv()).await.unwrap();
        assert!(living, "job {n} runs in the name of a dead worker");
        seen.push((n, attempt));
    }
    seen.sort_unstable();
    let expected: Vec<(i64, u16)> = (0..20).map(|n| (n, if n == 0 { 2 } else { 1 })).collect();
    assert_eq!(seen, expected);
    assert_ne!(db.worker().await, id);
    let summary = worker.stop().await;
    // Its own end of the attempt was either too late, or in time before the rescue.
    assert_eq!((summary.completed, summary.rescued + summary.retried), (20, 1));
    assert_eq!(db.workers().await, [(id, true)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_declared_dead_again_and_again_goes_on() {
    let db = db().await;
    db.execute("create table effects (job bigint not null)").await;
    db.push_many(0..300).await;
    db.execute("update queue_work set max_attempts = 100").await;
    let app = App::new(|_, ctx| async move {
        crate::support::work_for(Duration::from_millis(20)).await;
        crate::support::effect(&ctx).await
    });
    let worker = start(tasks().concurrency(4).build(&db.queue, app).unwrap());
    for _ in 0..3 {
        db.until("select exists (select from pg_queue_workers where dead_at is null)").await;
        let id = db.worker().await;
        db.execute("update pg_queue_workers set dead_at = now() where dead_at is null").await;
        db.until(&format!("select exists (select from pg_queue_workers where dead_at is null and id <> {id})")).await;
    }
    db.until(EMPTY).await;
    assert_eq!(db.effects().await, (300, 300));
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_that_watch_declare_a_death_once_and_rescue_each_job_once() {
    let db = db().await;
    db.execute(
        "create table declared (id bigint);
         create function note() returns trigger language plpgsql as
         $$ begin insert into declared values (new.id); return null; end $$;
         create trigger note after update on pg_queue_workers for each row
         when (old.dead_at is null and new.dead_at is not null) execute function note();
         insert into pg_queue_workers (id, beat, beat_interval_ms, name, queues, kinds)
         values (17, 5, 1000, 'gone', '{work}', '{task}');",
    )
    .await;
    db.push_many(0..50).await;
    db.execute("update queue_work set lease_worker = 17, lease_token = id, attempt = 1").await;
    let began = Instant::now();
    let app = || {
        App::new(|_, ctx| async move {
            assert_eq!(ctx.attempt(), 2);
            let errors: i32 = sqlx::query_scalar("select jsonb_array_length(errors) from queue_work where id = $1")
                .bind(ctx.job_id().get())
                .fetch_one(&past_the_pooler(ctx.pool()))
                .await?;
            assert_eq!(errors, 1);
            Ok(Outcome::Complete)
        })
    };
    let workers = [(); 2].map(|()| start(tasks().build(&db.queue, app()).unwrap()));
    db.until(EMPTY).await;
    // The two have watched for three of its intervals, not less.
    assert!(began.elapsed() > Duration::from_secs(3), "{:?}", began.elapsed());
    let [one, other] = workers;
    let (one, other) = (one.stop().await, other.stop().await);
    assert_eq!(one.rescued + other.rescued, 50);
    assert_eq!(one.completed + other.completed, 50);
    assert_eq!(db.get::<i64>("select count(*) from declared").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_was_claimed_before_the_death_and_comes_to_its_turn_after_it_does_not_run() {
    runs_only_in_the_name_of_the_living(10).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_waited_for_its_slot_past_the_death_is_made_in_the_new_name() {
    runs_only_in_the_name_of_the_living(1).await;
}

/// Job 0 blocks the worker's only thread while the worker dies and comes back. Meanwhile job 1 has been claimed, or waits
/// for a slot.
async fn runs_only_in_the_name_of_the_living(slots: usize) {
    let db = db().await;
    db.push_many(0..2).await;
    let (begun, mut begins) = mpsc::unbounded_channel();
    let (go_on, goes_on) = std::sync::mpsc::channel::<()>();
    let goes_on = std::sync::Mutex::new(goes_on);
    let app = App::new(move |n, ctx| {
        let begun = begun.clone();
        if n == 0 && ctx.attempt() == 1 {
            begun.send((n, true)).unwrap();
            goes_on.lock().unwrap().recv().unwrap();
        }
        async move {
            begun.send((n, in_the_name_of_the_living(&ctx).await?))?;
            Ok(Outcome::Complete)
        }
    });
    let url = db.database.url().to_owned();
    let stop = CancellationToken::new();
    let signal = stop.clone();
    let worker = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let queue = PgQueue::connect(&url).await.unwrap();
            tasks().concurrency(slots).build(&queue, app).unwrap().run_until(signal.cancelled()).await.unwrap()
        })
    });
    assert_eq!(soon(begins.recv()).await, Some((0, true)));
    db.execute("update pg_queue_workers set dead_at = now()").await;
    db.until("select exists (select from pg_queue_workers where dead_at is null)").await;
    // A beat later it knows that it lives again.
    beat(&db).await;
    go_on.send(()).unwrap();
    loop {
        let (n, living) = soon(begins.recv()).await.unwrap();
        if n == 1 {
            assert!(living, "it ran in the name of a dead worker");
            break;
        }
    }
    db.until(EMPTY).await;
    stop.cancel();
    soon(tokio::task::spawn_blocking(|| worker.join().unwrap())).await.unwrap();
}
