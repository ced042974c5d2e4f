//! Schedules by hand: put, paused, run now, and fired without a worker.

use std::time::{Duration, Instant, SystemTime};

use pg_queue_client::{FiredSchedule, InvalidCron, NotFired, PutScheduleError, Schedule, ScheduleError};
use pg_queue_core::{
    Cron, Job, Missed, Priority, PushOutcome, QueueName, Unique, UniqueUntil, jobs::PushError,
    schedules::InvalidSchedule,
};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::support::{Db, database, empty_database};

const NEW_YEAR: &str = "2027-01-01 00:00:00+00";

#[derive(Debug, PartialEq, Serialize, Deserialize, Job)]
#[job(crate = "pg_queue_core", queue = "reports", priority = 2, max_attempts = 4)]
struct Report {
    tenant: u32,
}

fn report(expression: &str) -> Schedule {
    Schedule::new("report", expression, &Report { tenant: 17 })
}

fn moment(text: &str) -> SystemTime {
    text.parse::<jiff::Timestamp>().unwrap().into()
}

/// A database with the queue `reports` whose clock shows new year.
async fn at_new_year() -> Db {
    let db = database().await;
    db.queue("reports").await;
    db.set_clock(NEW_YEAR).await;
    db
}

impl Db {
    async fn put(&self, schedule: Schedule) -> SystemTime {
        self.mgr.schedules.put(schedule).await.unwrap()
    }

    async fn refused(&self, schedule: Schedule) -> PutScheduleError {
        self.mgr.schedules.put(schedule).await.unwrap_err()
    }

    /// What fires, all of it without an error.
    async fn fired(&self) -> Vec<FiredSchedule> {
        self.mgr.schedules.fire_due().await.unwrap().into_iter().map(Result::unwrap).collect()
    }

    /// For which times jobs are made when the clock shows this.
    async fn fired_at(&self, time: &str) -> Vec<SystemTime> {
        self.set_clock(time).await;
        self.fired().await.iter().flat_map(|fired| &fired.jobs).map(|(time, _)| *time).collect()
    }
}

#[tokio::test]
async fn a_schedule_makes_its_types_jobs_for_their_times() {
    let db = at_new_year().await;
    let reports = QueueName::new("reports").unwrap();
    assert_eq!(db.put(report("0 9 * * *").timezone("europe/vienna")).await, moment("2027-01-01T08:00:00Z"));
    let stored = db.mgr.schedules.get("report").await.unwrap().unwrap();
    assert_eq!((stored.expression.as_str(), stored.timezone.as_str()), ("0 9 * * *", "Europe/Vienna"));
    assert!(db.fired().await.is_empty());
    db.set_clock("2027-01-01 08:00:01+00").await;
    let fired = db.fired().await;
    assert_eq!(fired.len(), 1);
    assert_eq!((fired[0].name.as_str(), &fired[0].queue), ("report", &reports));
    assert!(db.fired().await.is_empty());
    let job = db.mgr.queue.pop::<Report>(&reports).await.unwrap().unwrap();
    assert_eq!(fired[0].jobs, [(moment("2027-01-01T08:00:00Z"), job.id.job_id())]);
    assert_eq!((job.payload, job.kind.as_str()), (Report { tenant: 17 }, "report"));
    assert_eq!((job.run_at, job.max_attempts, job.priority.get()), (moment("2027-01-01T08:00:00Z"), 4, 2));
    let stored = db.mgr.schedules.get("report").await.unwrap().unwrap();
    assert_eq!(stored.next_at, moment("2027-01-02T08:00:00Z"));
    assert_eq!((stored.last_at, stored.last_job), (Some(job.run_at), Some(job.id.job_id())));
}

#[tokio::test]
async fn what_is_set_on_a_schedule_is_in_its_jobs() {
    let db = at_new_year().await;
    let other = db.queue("other").await;
    let schedule = Schedule::raw("raw", "* * * * *", &QueueName::new("reports").unwrap(), "by_hand", &[1, 2])
        .queue(&other)
        .priority(Priority::HIGHEST)
        .max_attempts(9)
        .timeout(Duration::from_secs(7))
        .tag("nightly")
        .metadata("tenant", 17);
    db.put(schedule).await;
    assert_eq!(db.fired_at("2027-01-01 00:01:00+00").await.len(), 1);
    let job = "select json_build_array(kind, payload, priority, max_attempts, timeout_ms, tags, metadata)::text
        from queue_other";
    let job: String = sqlx::query_scalar(job).fetch_one(&db.pool).await.unwrap();
    let job: serde_json::Value = serde_json::from_str(&job).unwrap();
    let metadata = serde_json::json!({"schedule": "raw", "tenant": 17});
    assert_eq!(job, serde_json::json!(["by_hand", [1, 2], 0, 9, 7000, ["nightly"], metadata]));
    // The name under which the jobs know their schedule is no more than a default.
    db.put(report("* * * * *").metadata("schedule", "mine").no_timeout()).await;
    let stored = db.mgr.schedules.get("report").await.unwrap().unwrap();
    assert_eq!(stored.metadata["schedule"], "mine");
    let names: Vec<_> = db.mgr.schedules.list().await.unwrap().into_iter().map(|schedule| schedule.name).collect();
    assert_eq!(names, ["raw", "report"]);
    assert!(db.mgr.schedules.delete("raw").await.unwrap());
    assert!(!db.mgr.schedules.delete("raw").await.unwrap());
    assert!(db.mgr.schedules.get("raw").await.unwrap().is_none());
}

#[tokio::test]
async fn what_is_wrong_with_a_schedule_is_said_and_nothing_is_put() {
    let db = at_new_year().await;
    let reports = QueueName::new("reports").unwrap();
    let error = db.refused(report("0 9 * * mon-fry")).await;
    assert!(matches!(error, PutScheduleError::Cron(InvalidCron::Expression { .. })), "{error}");
    let error = db.refused(report("0 0 30 2 *")).await;
    assert_eq!(error.to_string(), "the cron expression \"0 0 30 2 *\" never fires: no day has such a time, in UTC");
    let error = db.refused(report("0 9 * * *").timezone("Europe/Wien")).await;
    assert_eq!(
        error.to_string(),
        "the time zone \"Europe/Wien\" is unknown: give it by its IANA name, such as \"Europe/Vienna\""
    );
    for name in ["", "a\nb", &"n".repeat(101)] {
        let error = db.refused(Schedule::new(name, "0 9 * * *", &Report { tenant: 1 })).await;
        assert!(matches!(&error, PutScheduleError::Invalid(InvalidSchedule::Name(_))), "{error}");
        let shown: String = name.chars().take(80).collect();
        assert_eq!(
            error.to_string(),
            format!("invalid schedule name {shown:?}: a schedule's name has 1 to 100 bytes and no control characters")
        );
    }
    let error = db.refused(report("0 9 * * *").missed(Missed::All(0))).await;
    assert_eq!(error.to_string(), "a schedule cannot make up for 0 missed times: 1 to 10000, or use `Missed::Skip`");
    let error = db.refused(report("0 9 * * *").max_attempts(0)).await;
    assert_eq!(error.to_string(), "max_attempts 0 is out of range: 1 to 32767");
    let error = db.refused(Schedule::raw("raw", "0 9 * * *", &reports, "", &1)).await;
    assert!(matches!(error, PutScheduleError::Invalid(InvalidSchedule::Job(PushError::InvalidKind(_)))), "{error}");
    let error = db.refused(report("0 9 * * *").queue(&QueueName::new("nowhere").unwrap())).await;
    assert_eq!(
        error.to_string(),
        "queue \"nowhere\" does not exist: make it with `queue.create(..)` or `select pg_queue_create_queue('nowhere')`"
    );
    let error = db.refused(Schedule::declared::<Nothing>().unwrap()).await;
    assert_eq!(
        error.to_string(),
        "there is no job to make: `Job::from_cron` answers none, although the type has a cron expression"
    );
    assert!(db.mgr.schedules.list().await.unwrap().is_empty());
    // Nor does it touch the one that is there.
    let next = db.put(report("0 9 * * *")).await;
    db.refused(report("0 9 * *")).await;
    assert_eq!(db.mgr.schedules.get("report").await.unwrap().unwrap().next_at, next);
}

#[derive(Serialize, Deserialize)]
struct Nothing;

impl Job for Nothing {
    const KIND: &'static str = "nothing";
    const CRON: Option<Cron> = Some(Cron::new("0 9 * * *"));
}

#[derive(Serialize, Deserialize)]
struct Ping;

impl Job for Ping {
    const KIND: &'static str = "ping";
    const QUEUE: &'static str = "reports";

    fn unique(&self) -> Result<Option<Unique>, PushError> {
        Ok(Some(Unique::key("ping").until(UniqueUntil::Elapsed(Duration::from_secs(60)))))
    }
}

#[tokio::test]
async fn a_type_that_is_unique_for_a_time_can_be_scheduled_as_an_exclusive_one_only() {
    let db = at_new_year().await;
    let error = db.refused(Schedule::new("ping", "* * * * *", &Ping)).await;
    assert_eq!(
        error.to_string(),
        "the job of a schedule cannot be unique until a time has elapsed: until it has started or finished, it can"
    );
    db.put(Schedule::new("ping", "* * * * *", &Ping).exclusive()).await;
}

#[tokio::test]
async fn without_migrations_the_answer_says_so() {
    let db = empty_database().await;
    let hint = "pg-queue's tables are missing or out of date in schema \"public\"";
    let put = db.refused(report("0 9 * * *")).await.to_string();
    let listed = db.mgr.schedules.list().await.unwrap_err().to_string();
    let fired = db.mgr.schedules.fire_due().await.unwrap_err().to_string();
    let paused = db.mgr.schedules.pause("report").await.unwrap_err().to_string();
    for message in [put, listed, fired, paused] {
        assert!(message.starts_with(hint), "{message}");
    }
}

#[tokio::test]
async fn a_schedule_that_is_not_there_is_missing_whatever_is_asked_of_it() {
    let db = at_new_year().await;
    let schedules = &db.mgr.schedules;
    let errors = [
        schedules.pause("nightly").await.unwrap_err(),
        schedules.resume("nightly").await.unwrap_err(),
        schedules.run_now("nightly").await.unwrap_err(),
        schedules.next_times("nightly", 3).await.unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, ScheduleError::Missing(_)));
        assert_eq!(error.to_string(), "there is no schedule \"nightly\": `schedules.list()` shows which there are");
    }
}

#[tokio::test]
async fn missed_times_are_skipped_unless_they_are_only_late() {
    let db = at_new_year().await;
    db.put(report("0 * * * *").missed(Missed::Skip)).await;
    assert_eq!(db.fired_at("2027-01-01 05:00:00+00").await, [moment("2027-01-01T05:00:00Z")]);
    assert_eq!(db.fired_at("2027-01-01 06:01:00+00").await, [moment("2027-01-01T06:00:00Z")]);
    assert!(db.fired_at("2027-01-01 09:01:01+00").await.is_empty());
    let stored = db.mgr.schedules.get("report").await.unwrap().unwrap();
    assert_eq!(stored.next_at, moment("2027-01-01T10:00:00Z"));
    assert!(db.fired_at("2028-01-01 00:30:00+00").await.is_empty());
    assert_eq!(db.fired_at("2028-01-01 01:00:30+00").await, [moment("2028-01-01T01:00:00Z")]);
}

#[tokio::test]
async fn missed_times_are_made_up_for_once_with_the_last_of_them() {
    let db = at_new_year().await;
    db.put(report("0 * * * *").missed(Missed::Once)).await;
    assert_eq!(db.fired_at("2027-01-01 05:10:00+00").await, [moment("2027-01-01T05:00:00Z")]);
    assert_eq!(db.fired_at("2028-01-01 00:30:00+00").await, [moment("2028-01-01T00:00:00Z")]);
    assert!(db.fired_at("2028-01-01 00:59:59+00").await.is_empty());
    assert_eq!(db.count("select count(*) from queue_reports").await, 2);
}

#[tokio::test]
async fn missed_times_are_caught_up_with_as_far_as_the_schedule_says() {
    let db = at_new_year().await;
    db.put(report("0 * * * *").missed(Missed::All(3))).await;
    let hours = |day: &str, hours: &[u32]| -> Vec<SystemTime> {
        hours.iter().map(|hour| moment(&format!("{day}T{hour:02}:00:00Z"))).collect()
    };
    assert_eq!(db.fired_at("2027-01-01 02:10:00+00").await, hours("2027-01-01", &[1, 2]));
    assert_eq!(db.fired_at("2027-01-01 09:00:00+00").await, hours("2027-01-01", &[7, 8, 9]));
    assert_eq!(db.fired_at("2027-01-01 10:59:00+00").await, hours("2027-01-01", &[10]));
    assert_eq!(db.fired_at("2028-01-01 02:30:00+00").await, hours("2028-01-01", &[0, 1, 2]));
}

#[tokio::test]
async fn a_year_of_seconds_is_not_counted_to_find_the_last_ones() {
    let db = at_new_year().await;
    for (name, missed) in [("skip", Missed::Skip), ("once", Missed::Once), ("all", Missed::All(10_000))] {
        db.put(Schedule::new(name, "* * * * * *", &Report { tenant: 1 }).timezone("Europe/Vienna").missed(missed))
            .await;
    }
    db.set_clock("2028-01-01 00:00:00.5+00").await;
    let began = Instant::now();
    let mut fired = db.fired().await;
    // A year has 31,536,000 of them; walking over them takes a minute and a half.
    assert!(began.elapsed().as_secs() < 10, "{:?}", began.elapsed());
    fired.sort_by(|one, other| one.name.cmp(&other.name));
    let names: Vec<_> = fired.iter().map(|fired| (fired.name.as_str(), fired.jobs.len())).collect();
    assert_eq!(names, [("all", 10_000), ("once", 1), ("skip", 1)]);
    let last = moment("2028-01-01T00:00:00Z");
    let all = &fired[0].jobs;
    assert_eq!((all[0].0, all[9_999].0), (last - Duration::from_secs(9_999), last));
    assert!(all.is_sorted());
    assert_eq!((fired[1].jobs[0].0, fired[2].jobs[0].0), (last, last));
}

#[tokio::test]
async fn the_times_of_a_pause_are_not_made_up_for() {
    let db = at_new_year().await;
    let schedules = &db.mgr.schedules;
    db.put(report("0 * * * *").missed(Missed::All(100))).await;
    schedules.pause("report").await.unwrap();
    assert!(db.fired_at("2027-01-01 05:30:00+00").await.is_empty());
    // Neither putting it anew nor pausing it twice makes it go on.
    db.put(report("0 * * * *").missed(Missed::All(100))).await;
    schedules.pause("report").await.unwrap();
    let paused = schedules.get("report").await.unwrap().unwrap();
    assert_eq!(
        (paused.paused_at, paused.next_at),
        (Some(moment("2027-01-01T00:00:00Z")), moment("2027-01-01T01:00:00Z"))
    );
    assert!(db.fired().await.is_empty());
    assert_eq!(schedules.resume("report").await.unwrap(), moment("2027-01-01T06:00:00Z"));
    assert!(db.fired().await.is_empty());
    // It is not paused: it goes on as it does.
    assert_eq!(schedules.resume("report").await.unwrap(), moment("2027-01-01T06:00:00Z"));
    assert_eq!(db.fired_at("2027-01-01 06:30:00+00").await, [moment("2027-01-01T06:00:00Z")]);
}

#[tokio::test]
async fn it_is_run_now_also_while_it_is_paused_and_goes_on_as_before() {
    let db = at_new_year().await;
    let (schedules, reports) = (&db.mgr.schedules, QueueName::new("reports").unwrap());
    let next = db.put(report("0 9 * * *").exclusive()).await;
    schedules.pause("report").await.unwrap();
    let PushOutcome::Enqueued(id) = schedules.run_now("report").await.unwrap() else { panic!("a job was made") };
    assert_eq!(schedules.run_now("report").await.unwrap(), PushOutcome::Duplicate(id));
    let job = db.mgr.queue.pop::<Report>(&reports).await.unwrap().unwrap();
    assert_eq!((job.id.job_id(), job.run_at), (id, moment("2027-01-01T00:00:00Z")));
    let stored = schedules.get("report").await.unwrap().unwrap();
    assert_eq!((stored.next_at, stored.last_job), (next, Some(id)));
    assert!(stored.paused_at.is_some());
    // Its queue goes, and with it what could be made.
    db.mgr.queue.drop(&reports, true).await.unwrap();
    let error = schedules.run_now("report").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "no job of the schedule \"report\" was made: queue \"reports\" does not exist: make it with `queue.create(..)` or \
         `select pg_queue_create_queue('reports')`"
    );
}

#[tokio::test]
async fn its_next_times_are_those_after_now() {
    let db = at_new_year().await;
    db.put(report("0 9 * * mon-fri").timezone("America/New_York")).await;
    db.set_clock("2027-03-12 14:00:00+00").await;
    let times = db.mgr.schedules.next_times("report", 3).await.unwrap();
    // A Friday, of which 9:00 is now; then the clock is put forward.
    let expected = ["2027-03-15T09:00:00-04:00", "2027-03-16T09:00:00-04:00", "2027-03-17T09:00:00-04:00"];
    assert_eq!(times, expected.map(moment));
}

#[tokio::test]
async fn a_schedule_that_cannot_fire_does_not_hold_up_the_others() {
    let db = at_new_year().await;
    let gone = db.queue("gone").await;
    let named = |name: &str| Schedule::new(name, "* * * * *", &Report { tenant: 1 });
    for name in ["a zone", "an expression", "never", "works"] {
        db.put(named(name)).await;
    }
    db.put(named("a queue").queue(&gone)).await;
    db.mgr.queue.drop(&gone, false).await.unwrap();
    let spoil = "update pg_queue_schedules set timezone = 'Mars/Olympus' where name = 'a zone';
        update pg_queue_schedules set cron = '0 9 * *' where name = 'an expression';
        update pg_queue_schedules set cron = '0 0 30 2 *' where name = 'never';";
    sqlx::raw_sql(spoil).execute(&db.pool).await.unwrap();
    db.set_clock("2027-01-01 00:01:00+00").await;
    let (fired, failed): (Vec<_>, Vec<_>) =
        db.mgr.schedules.fire_due().await.unwrap().into_iter().partition(Result::is_ok);
    assert_eq!(fired.into_iter().map(|fired| fired.unwrap().name).collect::<Vec<_>>(), ["works"]);
    let mut messages: Vec<String> =
        failed.into_iter().map(|failed: Result<_, NotFired>| failed.unwrap_err().to_string()).collect();
    messages.sort();
    assert_eq!(
        messages,
        [
            "the schedule \"a queue\" did not fire: queue \"gone\" does not exist: make it with `queue.create(..)` or \
             `select pg_queue_create_queue('gone')`",
            "the schedule \"a zone\" did not fire: the time zone \"Mars/Olympus\" is unknown: give it by its IANA name, such \
             as \"Europe/Vienna\"",
            "the schedule \"an expression\" did not fire: the cron expression \"0 9 * *\" cannot be read: it has 4 of 5 \
             fields, or 6 with the second before the minute",
            "the schedule \"never\" did not fire: the cron expression \"0 0 30 2 *\" never fires: no day has such a time, in \
             UTC",
        ]
    );
    let error = db.mgr.schedules.next_times("a zone", 1).await.unwrap_err();
    assert!(matches!(error, ScheduleError::Cron { .. }), "{error}");
    // Once its queue is there again, what it has missed is made up for.
    db.mgr.queue.create(&gone).await.unwrap();
    assert_eq!(db.mgr.schedules.fire_due().await.unwrap().iter().filter(|fired| fired.is_ok()).count(), 1);
}

#[tokio::test]
async fn a_time_that_the_rules_of_its_zone_have_moved_makes_no_job() {
    let db = at_new_year().await;
    db.put(report("0 9 * * *")).await;
    // As if it had been computed by other rules.
    let moved = "update pg_queue_schedules set next_at = '2027-01-01 08:00:00+00'";
    sqlx::raw_sql(moved).execute(&db.pool).await.unwrap();
    assert!(db.fired_at("2027-01-01 08:00:00+00").await.is_empty());
    assert_eq!(db.fired_at("2027-01-01 09:00:00+00").await, [moment("2027-01-01T09:00:00Z")]);
}

#[tokio::test]
async fn of_many_that_fire_at_once_one_makes_each_job() {
    let db = at_new_year().await;
    for n in 0..5 {
        db.put(Schedule::new(format!("s{n}"), "* * * * *", &Report { tenant: n })).await;
    }
    for minute in 1..=10 {
        db.set_clock(&format!("2027-01-01 00:{minute:02}:00+00")).await;
        let mut firing = JoinSet::new();
        for _ in 0..4 {
            let schedules = db.mgr.schedules.clone();
            firing.spawn(async move { schedules.fire_due().await.unwrap() });
        }
        let mut fired: Vec<_> =
            firing.join_all().await.into_iter().flatten().map(|fired| fired.unwrap().name).collect();
        fired.sort();
        assert_eq!(fired, ["s0", "s1", "s2", "s3", "s4"]);
    }
    assert_eq!(db.count("select count(*) from queue_reports").await, 50);
    assert_eq!(db.count("select count(distinct (payload::text, run_at)) from queue_reports").await, 50);
}
