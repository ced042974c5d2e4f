//! Schedules: what types say at the start, and what becomes of the times that come while workers run.

use std::time::{Duration, Instant, SystemTime};

use pg_queue_client::{InvalidCron, Schedule};
use pg_queue_core::{Cron, Job, Missed, schedules::StoredSchedule};
use pg_queue_worker::{BuildError, Context, Handler, Outcome, Worker, WorkerBuilder};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};

use crate::support::{Db, Ended, Running, db, eventually, soon, start, work};

/// Which jobs ran: their schedules, and the times for which they were made.
struct Ran(mpsc::UnboundedSender<(String, SystemTime)>);

/// Defines a type whose jobs are made by themselves, and that tells when one of them runs.
macro_rules! scheduled {
    ($type:ident $kind:literal, $cron:expr $(, $alias:literal)?) => {
        #[derive(Default, Serialize, Deserialize)]
        struct $type;

        impl Job for $type {
            const KIND: &'static str = $kind;
            const ALIASES: &'static [&'static str] = &[$($alias)?];
            const QUEUE: &'static str = "work";
            const CRON: Option<Cron> = $cron;

            fn from_cron() -> Option<Self> {
                Some(Self)
            }
        }

        impl Handler<Ran> for $type {
            async fn run(self, ctx: Context<Ran>) -> Ended {
                let schedule = ctx.metadata().get("schedule").and_then(|name| name.as_str()).unwrap_or("none");
                ctx.state().0.send((schedule.to_owned(), ctx.run_at()))?;
                Ok(Outcome::Complete)
            }
        }
    };
}

const NINE: Cron = Cron::new("0 9 * * *").timezone("Europe/Vienna");

scheduled!(Daily "daily", Some(NINE));
scheduled!(DailyAtTen "daily", Some(Cron::new("0 10 * * *").timezone("Europe/Vienna").missed(Missed::Skip)));
scheduled!(DailyNoMore "daily", None);
scheduled!(Renamed "every_day", Some(NINE), "daily");
scheduled!(Other "other", None);
scheduled!(Misspelt "misspelt", Some(Cron::new("0 25 * * *")));
scheduled!(Never "never", Some(Cron::new("0 0 30 2 *")));
scheduled!(Elsewhere "elsewhere", Some(NINE.timezone("Europe/Wien")));
scheduled!(Boundless "boundless", Some(NINE.missed(Missed::All(0))));

#[derive(Serialize, Deserialize)]
struct Without;

impl Job for Without {
    const KIND: &'static str = "without";
    const CRON: Option<Cron> = Some(NINE);
}

impl Handler<Ran> for Without {
    async fn run(self, _: Context<Ran>) -> Ended {
        Ok(Outcome::Complete)
    }
}

/// A database whose clock shows midnight of new year, UTC.
async fn at_new_year() -> Db {
    let db = db().await;
    db.set_clock("2027-01-01 00:00:00+00").await;
    db
}

fn worker<J: Handler<Ran>>() -> WorkerBuilder<Ran> {
    Worker::builder().register::<J>().heartbeat(Duration::from_secs(1))
}

type Runs = mpsc::UnboundedReceiver<(String, SystemTime)>;

/// Starts a worker for one type.
fn run<J: Handler<Ran>>(db: &Db) -> (Running, Runs) {
    let (ran, runs) = mpsc::unbounded_channel();
    (start(worker::<J>().build(&db.queue, Ran(ran)).unwrap()), runs)
}

/// Starts a worker for one type and stops it once it has declared what it has to: then `condition` holds.
async fn start_and_stop<J: Handler<Ran>>(db: &Db, condition: &str) {
    let (worker, _runs) = run::<J>(db);
    db.until(condition).await;
    worker.stop().await;
}

impl Db {
    async fn schedule(&self, name: &str) -> Option<StoredSchedule> {
        self.queue.schedules.get(name).await.unwrap()
    }
}

fn nine_on(day: u32) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_798_761_600 + u64::from(day - 1) * 86_400 + 8 * 3600)
}

const DECLARED: &str = "select exists (select from pg_queue_schedules where name = 'daily' and declared)";

#[tokio::test(flavor = "multi_thread")]
async fn a_types_schedule_is_there_once_a_worker_runs_and_makes_its_jobs() {
    let db = at_new_year().await;
    let (worker, mut runs) = run::<Daily>(&db);
    db.until(DECLARED).await;
    let stored = db.schedule("daily").await.unwrap();
    assert_eq!((stored.kind.as_str(), stored.queue.as_str()), ("daily", "work"));
    assert_eq!((stored.expression.as_str(), stored.timezone.as_str()), ("0 9 * * *", "Europe/Vienna"));
    assert_eq!((stored.next_at, stored.missed), (nine_on(1), Missed::Once));
    db.set_clock("2027-01-01 08:00:01+00").await;
    assert_eq!(soon(runs.recv()).await.unwrap(), ("daily".to_owned(), nine_on(1)));
    db.set_clock("2027-01-02 08:00:00+00").await;
    assert_eq!(soon(runs.recv()).await.unwrap(), ("daily".to_owned(), nine_on(2)));
    assert_eq!(worker.stop().await.completed, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_the_pause_and_the_next_time() {
    let db = at_new_year().await;
    start_and_stop::<Daily>(&db, DECLARED).await;
    db.queue.schedules.pause("daily").await.unwrap();
    let before = db.schedule("daily").await.unwrap();
    db.set_clock("2027-01-01 12:00:00+00").await;
    let updated = "select updated_at = pg_queue_now() from pg_queue_schedules";
    start_and_stop::<Daily>(&db, updated).await;
    let after = db.schedule("daily").await.unwrap();
    assert_eq!((after.next_at, after.paused_at), (before.next_at, before.paused_at));
    assert_eq!(db.jobs().await, 0);
    // What came while no worker was there is made up for by the next one.
    db.queue.schedules.resume("daily").await.unwrap();
    db.set_clock("2027-01-02 12:00:00+00").await;
    let (worker, mut runs) = run::<Daily>(&db);
    assert_eq!(soon(runs.recv()).await.unwrap(), ("daily".to_owned(), nine_on(2)));
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_expression_goes_on_with_its_next_time_and_a_removed_one_is_gone() {
    let db = at_new_year().await;
    start_and_stop::<Daily>(&db, DECLARED).await;
    db.set_clock("2027-01-01 12:00:00+00").await;
    let changed = "select cron = '0 10 * * *' from pg_queue_schedules";
    start_and_stop::<DailyAtTen>(&db, changed).await;
    let stored = db.schedule("daily").await.unwrap();
    assert_eq!((stored.next_at, stored.missed), (nine_on(2) + Duration::from_secs(3600), Missed::Skip));
    // Another type has nothing to do with it; whoever fires has declared what there was to declare.
    db.queue.schedules.put(Schedule::new("other", "* * * * *", &Other)).await.unwrap();
    db.set_clock("2027-01-01 12:01:00+00").await;
    let (worker, mut runs) = run::<Other>(&db);
    assert_eq!(soon(runs.recv()).await.unwrap().0, "other");
    worker.stop().await;
    assert!(db.schedule("daily").await.is_some());
    db.queue.schedules.delete("other").await.unwrap();
    start_and_stop::<DailyNoMore>(&db, "select not exists (select from pg_queue_schedules)").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_type_takes_its_schedule_with_it() {
    let db = at_new_year().await;
    start_and_stop::<Daily>(&db, DECLARED).await;
    start_and_stop::<Renamed>(&db, "select not exists (select from pg_queue_schedules where name = 'daily')").await;
    assert!(db.schedule("every_day").await.unwrap().declared);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_has_put_under_a_kinds_name_is_not_overwritten_and_not_removed() {
    let db = at_new_year().await;
    let by_hand = || Schedule::new("daily", "0 12 * * *", &Daily);
    db.queue.schedules.put(by_hand()).await.unwrap();
    let (worker, mut runs) = run::<Daily>(&db);
    db.set_clock("2027-01-01 12:00:00+00").await;
    let (_, at) = soon(runs.recv()).await.unwrap();
    assert_eq!(at, nine_on(1) + Duration::from_secs(4 * 3600));
    worker.stop().await;
    let (worker, mut runs) = run::<DailyNoMore>(&db);
    db.set_clock("2027-01-02 12:00:00+00").await;
    soon(runs.recv()).await.unwrap();
    worker.stop().await;
    assert!(!db.schedule("daily").await.unwrap().declared);
}

#[tokio::test]
async fn a_type_whose_schedule_has_no_times_is_refused() {
    let db = db().await;
    let refused = |builder: WorkerBuilder<Ran>| {
        let (ran, _) = mpsc::unbounded_channel();
        builder.build(&db.queue, Ran(ran)).unwrap_err()
    };
    let error = refused(worker::<Misspelt>());
    assert!(matches!(error, BuildError::Cron { kind: "misspelt", source: InvalidCron::Expression { .. } }), "{error}");
    let messages = [
        error,
        refused(worker::<Never>()),
        refused(worker::<Elsewhere>()),
        refused(worker::<Boundless>()),
        refused(worker::<Without>()),
    ];
    assert_eq!(
        messages.map(|error| error.to_string()),
        [
            "the kind \"misspelt\" has no times: the cron expression \"0 25 * * *\" cannot be read: hour \"25\": number out of \
             bounds",
            "the kind \"never\" has no times: the cron expression \"0 0 30 2 *\" never fires: no day has such a time, in UTC",
            "the kind \"elsewhere\" has no times: the time zone \"Europe/Wien\" is unknown: give it by its IANA name, such as \
             \"Europe/Vienna\"",
            "the kind \"boundless\" cannot be scheduled: a schedule cannot make up for 0 missed times: 1 to 10000, or use \
             `Missed::Skip`",
            "the kind \"without\" cannot be scheduled: there is no job to make: `Job::from_cron` answers none, although the \
             type has a cron expression",
        ]
    );
    assert_eq!(db.get::<i64>("select count(*) from pg_queue_schedules").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_that_is_put_while_workers_sleep_fires_when_its_time_comes() {
    // By the real clock: nobody tells the worker when the time has come.
    let db = db().await;
    let (worker, mut runs) = run::<Other>(&db);
    db.until("select exists (select from pg_queue_workers)").await;
    db.queue.schedules.put(Schedule::new("ticks", "* * * * * *", &Other)).await.unwrap();
    let (_, first) = soon(runs.recv()).await.unwrap();
    let (_, second) = soon(runs.recv()).await.unwrap();
    // It would have looked by itself after half a minute.
    let late = SystemTime::now().duration_since(second).unwrap();
    assert!(late < Duration::from_secs(10), "it started {late:?} after its time");
    assert!(second > first);
    db.queue.schedules.pause("ticks").await.unwrap();
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_kinds_that_a_worker_runs_are_fired() {
    let db = at_new_year().await;
    for (name, kind) in [("one", "other"), ("two", "foreign")] {
        db.queue.schedules.put(Schedule::raw(name, "0 9 * * *", &work(), kind, &())).await.unwrap();
    }
    let (worker, mut runs) = run::<Other>(&db);
    db.set_clock("2027-01-01 09:00:00+00").await;
    assert_eq!(soon(runs.recv()).await.unwrap().0, "one");
    db.set_clock("2027-01-02 09:00:00+00").await;
    assert_eq!(soon(runs.recv()).await.unwrap().0, "one");
    worker.stop().await;
    assert_eq!(db.schedule("two").await.unwrap().last_job, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_done_when_it_can_be_done() {
    let db = at_new_year().await;
    let put = async |name: &str| db.queue.schedules.put(Schedule::new(name, "0 9 * * *", &Other)).await.unwrap();
    put("one").await;
    put("broken").await;
    db.execute("update pg_queue_schedules set timezone = 'Mars/Olympus' where name = 'broken'").await;
    let (worker, mut runs) = run::<Other>(&db);
    db.set_clock("2027-01-01 09:00:00+00").await;
    assert_eq!(soon(runs.recv()).await.unwrap().0, "one");
    // The table is gone for a while; then the server is.
    db.execute("alter table pg_queue_schedules rename to away").await;
    db.set_clock("2027-01-02 09:00:00+00").await;
    db.execute("alter table away rename to pg_queue_schedules").await;
    assert_eq!(soon(runs.recv()).await.unwrap().0, "one");
    db.begin_outage().await;
    db.end_outage().await;
    eventually("the database answers", async || db.pool.acquire().await.is_ok()).await;
    db.set_clock("2027-01-03 09:00:00+00").await;
    assert_eq!(soon(runs.recv()).await.unwrap().0, "one");
    // What was broken is due still.
    db.execute(
        "update pg_queue_schedules set timezone = 'UTC' where name = 'broken'; notify \"pg_queue.public\", 'cron'",
    )
    .await;
    assert_eq!(soon(runs.recv()).await.unwrap().0, "broken");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_closes_fires_no_more() {
    let db = at_new_year().await;
    let (begun, mut begins) = mpsc::unbounded_channel();
    let (go_on, goes_on) = watch::channel(false);
    let app = crate::support::App::new(move |_, _| {
        begun.send(()).unwrap();
        let mut goes_on = goes_on.clone();
        async move {
            goes_on.wait_for(|go_on| *go_on).await?;
            Ok(Outcome::Complete) as Ended
        }
    });
    db.push(1).await;
    let task = crate::support::Task { n: 2 };
    db.queue.schedules.put(Schedule::new("task", "0 9 * * *", &task)).await.unwrap();
    let worker = crate::support::tasks().build(&db.queue, app).unwrap();
    let mut events = worker.events();
    let handle = worker.handle();
    let worker = start(worker);
    soon(begins.recv()).await.unwrap();
    handle.shut_down();
    db.set_clock("2027-01-01 09:00:00+00").await;
    go_on.send(true).unwrap();
    while soon(futures_util::StreamExt::next(&mut events)).await.is_some() {}
    assert_eq!(worker.ended().await.completed, 1);
    assert_eq!(db.schedule("task").await.unwrap().last_job, None);
}

/// As an application writes it.
#[derive(Default, Serialize, Deserialize, Job)]
#[job(crate = "pg_queue_core", queue = "work", cron = "*/2 * * * * *", timezone = "America/New_York")]
struct Tick;

impl Handler<Ran> for Tick {
    async fn run(self, ctx: Context<Ran>) -> Ended {
        ctx.state().0.send((ctx.kind().to_owned(), ctx.run_at()))?;
        Ok(Outcome::Complete)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_type_that_says_its_times_is_run_at_them_by_the_clock_itself() {
    let db = db().await;
    let (sender, mut ran) = mpsc::unbounded_channel();
    let running = start(worker::<Tick>().build(&db.queue, Ran(sender)).unwrap());
    let mut last = None;
    for _ in 0..3 {
        let (kind, at) = soon(ran.recv()).await.unwrap();
        assert_eq!(kind, "tick");
        let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!((since.as_secs() % 2, since.subsec_nanos()), (0, 0));
        assert!(last.is_none_or(|last| last < at));
        last = Some(at);
    }
    running.stop().await;
    let stored = db.queue.schedules.get("tick").await.unwrap().unwrap();
    assert_eq!((stored.expression.as_str(), stored.timezone.as_str()), ("*/2 * * * * *", "America/New_York"));
}

scheduled!(Hourly "hourly", Some(Cron::new("0 * * * *")));

/// What has been put tells all workers. Doing it again with every try would wake whoever tries, and everybody else.
#[tokio::test(flavor = "multi_thread")]
async fn schedules_that_cannot_all_be_declared_are_tried_again_with_growing_pauses() {
    let db = at_new_year().await;
    // As for a role that may not delete. A sequence counts what is rolled back as well.
    db.execute(
        "create sequence tries;
         create sequence puts;
         create function refuse() returns trigger language plpgsql as
         $$ begin perform nextval('tries'); raise exception 'refused'; end $$;
         create function note_put() returns trigger language plpgsql as
         $$ begin perform nextval('puts'); return null; end $$;
         create trigger refuse before delete on pg_queue_schedules for each statement execute function refuse();
         create trigger count after insert on pg_queue_schedules for each statement execute function note_put()",
    )
    .await;
    let (ran, _runs) = mpsc::unbounded_channel();
    let builder = worker::<Daily>().register::<Hourly>().register::<Other>();
    let began = Instant::now();
    let worker = start(builder.build(&db.queue, Ran(ran)).unwrap());
    db.until("select last_value >= 6 from tries").await;
    // 100 ms, 200, 400, 800, and 1600, give or take a tenth; one of them may be cut short by the schedules' own notification.
    assert!(began.elapsed() > Duration::from_secs(1), "{:?} for six tries", began.elapsed());
    assert_eq!(db.get::<i64>("select last_value from puts").await, 2);
    db.execute("drop trigger refuse on pg_queue_schedules").await;
    worker.stop().await;
}
