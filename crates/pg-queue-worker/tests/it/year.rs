//! A year of schedules in two zones, with three workers: every time once, and none more.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant, SystemTime},
};

use pg_queue_client::{PgQueue, Schedule};
use pg_queue_core::{Cron, Job, Missed};
use pg_queue_worker::{Context, Handler, Outcome, Worker};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::support::{Db, Ended, db, start};

const ZONES: [&str; 2] = ["Europe/Vienna", "America/New_York"];

/// Names and expressions; what they mean is written out in [`EXPECTED`].
const EXPRESSIONS: [(&str, &str); 6] = [
    ("daily", "30 2 * * *"),
    ("sundays", "30 1 * * sun"),
    ("weekdays", "0 9 * * mon-fri"),
    ("monthly", "0 0 1 * *"),
    ("quarters", "0 */6 * * *"),
    ("nights", "0 1-2 * * *"),
];

/// The times of the year 2027 (UTC), as (schedule, seconds since 1970), from PostgreSQL's knowledge of the zones.
///
/// `shown` is what the clocks of a zone show at every half hour of the year. An expression of one time of day means the first
/// moment of a day at which the clock shows that or later: after a gap, that is its end; in a repeat, the first of the two. The
/// others mean every moment at which the clock shows what they say.
const EXPECTED: &str = "
    with zone (name) as (values ('Europe/Vienna'), ('America/New_York')),
    shown as (
        select zone.name as zone, at, at at time zone zone.name as clock
        from zone, generate_series(timestamptz '2027-01-01 00:00+00', '2028-01-01 00:00+00', '30 minutes') as at
    ),
    day as (
        select zone.name as zone, day::date as day
        from zone, generate_series(timestamp '2027-01-01', '2028-01-01', '1 day') as day
    ),
    wanted (schedule, zone, clock) as (
        select 'daily', zone, day + time '02:30' from day
        union all select 'sundays', zone, day + time '01:30' from day where extract(isodow from day) = 7
        union all select 'weekdays', zone, day + time '09:00' from day where extract(isodow from day) between 1 and 5
        union all select 'monthly', zone, day + time '00:00' from day where extract(day from day) = 1
    ),
    fixed as (
        select wanted.schedule, wanted.zone, min(shown.at) as at
        from wanted
        join shown on shown.zone = wanted.zone and shown.clock::date = wanted.clock::date and shown.clock >= wanted.clock
        group by wanted.schedule, wanted.zone, wanted.clock
    ),
    every as (
        select 'quarters' as schedule, zone, at from shown where clock::time in ('00:00', '06:00', '12:00', '18:00')
        union all select 'nights', zone, at from shown where clock::time in ('01:00', '02:00')
    )
    select schedule || ' ' || zone, extract(epoch from at)::bigint
    from (select * from fixed union all select * from every) as times
    where at > timestamptz '2027-01-01 00:00+00' and at <= '2028-01-01 00:00+00'
    order by 1, 2";

/// Those of them that are worth a second look, from the zones' laws.
const CHANGES: [(&str, &str); 11] = [
    // The clock passes over 2:30: right after the gap.
    ("daily Europe/Vienna", "2027-03-28 03:00+02"),
    ("daily America/New_York", "2027-03-14 03:00-04"),
    // The clock shows it twice: the first one.
    ("daily Europe/Vienna", "2027-10-31 02:30+02"),
    ("sundays America/New_York", "2027-11-07 01:30-04"),
    // Every hour that the clock shows: none in a gap, two in a repeat.
    ("nights Europe/Vienna", "2027-03-28 01:00+01"),
    ("nights Europe/Vienna", "2027-10-31 02:00+02"),
    ("nights Europe/Vienna", "2027-10-31 02:00+01"),
    ("nights America/New_York", "2027-03-14 01:00-05"),
    ("nights America/New_York", "2027-11-07 01:00-04"),
    ("nights America/New_York", "2027-11-07 01:00-05"),
    ("nights America/New_York", "2027-11-07 02:00-05"),
];

/// What ran: the schedule, and the time for which the job was made.
struct Ran {
    jobs: mpsc::UnboundedSender<(String, i64)>,
    count: Arc<AtomicUsize>,
}

fn tell(ctx: &Context<Ran>) -> Ended {
    let schedule = ctx.metadata()["schedule"].as_str().unwrap_or_default();
    let at = ctx.run_at().duration_since(SystemTime::UNIX_EPOCH)?;
    assert_eq!(at.subsec_nanos(), 0);
    ctx.state().jobs.send((schedule.to_owned(), i64::try_from(at.as_secs())?))?;
    ctx.state().count.fetch_add(1, SeqCst);
    Ok(Outcome::Complete)
}

/// What the schedules that are put at run time make.
#[derive(Serialize, Deserialize)]
struct Tick;

impl Job for Tick {
    const KIND: &'static str = "tick";
    const QUEUE: &'static str = "work";
}

impl Handler<Ran> for Tick {
    async fn run(self, ctx: Context<Ran>) -> Ended {
        tell(&ctx)
    }
}

/// One that says itself when.
#[derive(Serialize, Deserialize)]
struct DailyInVienna;

impl Job for DailyInVienna {
    const KIND: &'static str = "daily Europe/Vienna";
    const QUEUE: &'static str = "work";
    const CRON: Option<Cron> = Some(Cron::new("30 2 * * *").timezone("Europe/Vienna").missed(Missed::All(50)));

    fn from_cron() -> Option<Self> {
        Some(Self)
    }
}

impl Handler<Ran> for DailyInVienna {
    async fn run(self, ctx: Context<Ran>) -> Ended {
        tell(&ctx)
    }
}

/// Waits until nothing is due any more.
async fn until_fired(db: &Db) {
    let due = "select count(*) from pg_queue_schedules where next_at <= pg_queue_now()";
    let give_up = Instant::now() + Duration::from_secs(60);
    loop {
        let due: i64 = sqlx::query_scalar(due).fetch_one(&db.pool).await.unwrap();
        if due == 0 {
            return;
        }
        assert!(Instant::now() < give_up, "{due} schedules are due and do not fire");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_workers_make_every_time_of_a_year_in_vienna_and_new_york_once() {
    let db = db().await;
    db.set_clock("2027-01-01 00:00:00+00").await;
    for zone in ZONES {
        for (name, expression) in EXPRESSIONS {
            let name = format!("{name} {zone}");
            if name != DailyInVienna::KIND {
                let schedule = Schedule::new(name, expression, &Tick).timezone(zone).missed(Missed::All(50));
                db.queue.schedules.put(schedule).await.unwrap();
            }
        }
    }
    let (jobs, mut ran) = mpsc::unbounded_channel();
    let count = Arc::<AtomicUsize>::default();
    let workers = [(); 3].map(|()| {
        let state = Ran { jobs: jobs.clone(), count: Arc::clone(&count) };
        let builder = Worker::builder().register::<Tick>().register::<DailyInVienna>();
        start(builder.build(&PgQueue::new(db.pool.clone()), state).unwrap())
    });
    db.until("select count(*) = 12 from pg_queue_schedules").await;
    // An hour at a time on the days on which clocks are changed, and a quarter of a day on all others. Whatever has come in one
    // step is made up for, so that a time too many is seen as well.
    let steps: Vec<String> = sqlx::query_scalar(
        "select at::text from generate_series(timestamptz '2027-01-01 01:00+00', '2028-01-01 00:00+00', '1 hour') as at
         where extract(hour from at)::int % 6 = 0
            or at::date in ('2027-03-14', '2027-03-28', '2027-10-31', '2027-11-07')
         order by at",
    )
    .fetch_all(&db.pool)
    .await
    .unwrap();
    for step in &steps {
        db.set_clock(step).await;
        until_fired(&db).await;
    }
    let expected: Vec<(String, i64)> = sqlx::query_as(EXPECTED).fetch_all(&db.pool).await.unwrap();
    crate::support::eventually("all jobs have run", async || count.load(SeqCst) >= expected.len()).await;
    db.until("select count(*) = 0 from queue_work").await;
    for worker in workers {
        worker.stop().await;
    }
    drop(jobs);
    let mut found = Vec::new();
    while let Some(job) = ran.recv().await {
        found.push(job);
    }
    found.sort();
    let missing: Vec<_> = expected.iter().filter(|time| found.binary_search(time).is_err()).collect();
    let more: Vec<_> = found.iter().filter(|time| expected.binary_search(time).is_err()).collect();
    assert!(missing.is_empty() && more.is_empty(), "missing: {missing:?}, more: {more:?}");
    // None twice.
    assert_eq!(found.len(), expected.len());
    assert_eq!(found.len(), 2 * (365 + 52 + 261 + 12 + 4 * 365 + 2 * 365));
    for (schedule, time) in CHANGES {
        let at: i64 = db.get(&format!("select extract(epoch from timestamptz '{time}')::bigint")).await;
        assert!(found.contains(&(schedule.to_owned(), at)), "{schedule} at {time}");
    }
}
