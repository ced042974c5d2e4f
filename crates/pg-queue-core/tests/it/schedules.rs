//! Schedules: a time that has come makes its jobs once, and nothing by halves.

use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use pg_queue_core::{
    Missed, Priority, PushOptions, QueueError, Schema, Unique, UniqueUntil,
    jobs::{self, NewJob, PushOutcome},
    schedules::{self, DueSchedule, NewSchedule, StoredSchedule},
    topics,
};
use sqlx::{AssertSqlSafe, Connection, PgConnection, postgres::PgListener};

use crate::support::{Db, database, table, wait_for_lock};

/// 2027-01-01 00:00 UTC, at which the clock stands still in these tests.
const NEW_YEAR: Duration = Duration::from_secs(1_798_761_600);

/// So many seconds after new year.
fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + NEW_YEAR + Duration::from_secs(seconds)
}

/// A database with the queue `emails` whose clock shows new year.
async fn at_new_year() -> Db {
    let db = database().await;
    db.queue("emails").await;
    set_clock(&db, 0).await;
    db
}

async fn set_clock(db: &Db, seconds: u64) {
    let clock = format!(
        "create or replace function pg_queue_now() returns timestamptz language sql stable parallel safe
         as $$ select to_timestamp({}) $$",
        NEW_YEAR.as_secs() + seconds
    );
    sqlx::raw_sql(AssertSqlSafe(clock)).execute(&db.pool).await.unwrap();
}

fn job(kind: &str) -> NewJob {
    NewJob::new(kind, &"a@example.org").unwrap()
}

/// A schedule of jobs of the kind `send` in `emails`.
fn schedule(name: &str, next: u64) -> NewSchedule {
    new(name, "emails", &job("send"), Missed::Once, false, next)
}

fn new(name: &str, queue: &str, job: &NewJob, missed: Missed, exclusive: bool, next: u64) -> NewSchedule {
    NewSchedule::new(name, table(queue).queue(), "0 9 * * *", job, missed, exclusive, at(next)).unwrap()
}

impl Db {
    async fn put(&self, schedule: &NewSchedule) -> Option<SystemTime> {
        schedules::put(&self.pool, &self.schema, schedule).await.unwrap()
    }

    async fn schedule(&self, name: &str) -> StoredSchedule {
        schedules::get(&self.pool, &self.schema, name).await.unwrap().expect("a schedule of that name")
    }

    async fn due(&self) -> Vec<DueSchedule> {
        schedules::due(&self.pool, &self.schema, None, None).await.unwrap()
    }

    /// Fires the one schedule that is due, for these times.
    async fn fire(&self, times: &[u64], next: u64) -> Vec<u64> {
        let due = self.due().await.remove(0);
        let fired = fire(&mut self.connect().await, &due, times, next).await;
        fired.unwrap().expect("nobody was faster")
    }

    async fn run_now(&self, name: &str) -> PushOutcome {
        let mut connection = self.pool.acquire().await.unwrap();
        schedules::run_now(&mut connection, &table("emails"), name).await.unwrap().expect("a schedule of that name")
    }
}

/// Fires a schedule, and answers for which times there are jobs.
async fn fire(
    connection: &mut PgConnection,
    due: &DueSchedule,
    times: &[u64],
    next: u64,
) -> Result<Option<Vec<u64>>, QueueError> {
    let times: Vec<SystemTime> = times.iter().copied().map(at).collect();
    let fired = schedules::fire(connection, &Schema::default(), due, &times, at(next)).await?;
    Ok(fired.map(|jobs| jobs.iter().map(|(time, _)| time.duration_since(at(0)).unwrap().as_secs()).collect()))
}

#[tokio::test]
async fn a_schedule_comes_back_as_it_was_put() {
    let db = at_new_year().await;
    let mut job = job("send");
    job.options = PushOptions::default()
        .priority(Priority::HIGHEST)
        .max_attempts(3)
        .no_timeout()
        .tag("a \"b\" \\")
        .metadata("tenant", 17);
    let mut daily = new("daily ä", "emails", &job, Missed::All(7), true, 100);
    daily.timezone = "Europe/Vienna".to_owned();
    assert_eq!(db.put(&daily).await, Some(at(100)));
    db.put(&new("second", "emails", &NewJob::raw(&1).unwrap(), Missed::Skip, false, 50)).await;
    let listed = schedules::list(&db.pool, &db.schema).await.unwrap();
    assert_eq!(listed.iter().map(|schedule| schedule.name.as_str()).collect::<Vec<_>>(), ["daily ä", "second"]);
    let stored = db.schedule("daily ä").await;
    assert_eq!((stored.queue.as_str(), stored.kind.as_str()), ("emails", "send"));
    assert_eq!((stored.expression.as_str(), stored.timezone.as_str()), ("0 9 * * *", "Europe/Vienna"));
    assert_eq!((stored.missed, stored.exclusive, stored.declared), (Missed::All(7), true, false));
    assert_eq!((stored.next_at, stored.last_at, stored.last_job, stored.paused_at), (at(100), None, None, None));
    assert_eq!((stored.created_at, stored.updated_at, stored.read_at), (at(0), at(0), at(0)));
    assert_eq!((stored.priority, stored.max_attempts), (Priority::HIGHEST, 3));
    assert_eq!(stored.timeout, Some(jobs::TimeLimit::Unlimited));
    assert_eq!(
        (stored.tags.as_slice(), stored.metadata["tenant"].as_u64()),
        (&["a \"b\" \\".to_owned()][..], Some(17))
    );
    assert_eq!(stored.payload, "\"a@example.org\"");
    assert_eq!((listed[1].missed, listed[1].exclusive, listed[1].timeout), (Missed::Skip, false, None));
    assert!(schedules::delete(&db.pool, &db.schema, "second").await.unwrap());
    assert!(!schedules::delete(&db.pool, &db.schema, "second").await.unwrap());
    assert!(schedules::get(&db.pool, &db.schema, "second").await.unwrap().is_none());
}

#[tokio::test]
async fn putting_it_anew_keeps_its_next_time_its_pause_and_its_last_job() {
    let db = at_new_year().await;
    db.put(&schedule("daily", 0)).await;
    assert_eq!(db.fire(&[0], 100).await, [0]);
    schedules::pause(&db.pool, &db.schema, "daily").await.unwrap();
    set_clock(&db, 50).await;
    let same_times = new("daily", "emails", &job("other"), Missed::Skip, false, 777);
    assert_eq!(db.put(&same_times).await, Some(at(100)));
    let stored = db.schedule("daily").await;
    assert_eq!((stored.kind.as_str(), stored.missed), ("other", Missed::Skip));
    assert_eq!((stored.next_at, stored.last_at, stored.paused_at), (at(100), Some(at(0)), Some(at(0))));
    assert_eq!((stored.created_at, stored.updated_at), (at(0), at(50)));
    assert!(stored.last_job.is_some());
}

#[tokio::test]
async fn another_expression_or_another_zone_has_another_next_time() {
    let db = at_new_year().await;
    db.put(&schedule("daily", 100)).await;
    let mut changed = schedule("daily", 200);
    changed.expression = "0 10 * * *".to_owned();
    assert_eq!(db.put(&changed).await, Some(at(200)));
    changed.next_at = at(300);
    assert_eq!(db.put(&changed).await, Some(at(200)));
    changed.timezone = "Europe/Vienna".to_owned();
    assert_eq!(db.put(&changed).await, Some(at(300)));
}

#[tokio::test]
async fn what_a_type_declares_gives_way_to_what_somebody_has_put() {
    let db = at_new_year().await;
    let mut declared = schedule("send", 100);
    declared.declared = true;
    assert_eq!(db.put(&declared).await, Some(at(100)));
    let mut by_hand = schedule("send", 200);
    by_hand.expression = "0 10 * * *".to_owned();
    assert_eq!(db.put(&by_hand).await, Some(at(200)));
    assert_eq!(db.put(&declared).await, None);
    assert_eq!(db.schedule("send").await.expression, "0 10 * * *");
    // Nor does a type that declares nothing any more take it away.
    let mut other = schedule("other", 100);
    other.declared = true;
    db.put(&other).await;
    let names = ["send", "other", "nobody"].map(str::to_owned);
    assert_eq!(schedules::undeclare(&db.pool, &db.schema, &names).await.unwrap(), ["other"]);
    assert_eq!(schedules::list(&db.pool, &db.schema).await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_is_due_has_come_is_not_paused_and_is_of_the_kinds_and_queues_asked_for() {
    let db = at_new_year().await;
    db.put(&schedule("later", 1)).await;
    db.put(&schedule("now", 0)).await;
    let mut before = new("before", "emails", &job("scale"), Missed::All(3), false, 0);
    before.next_at = at(0) - Duration::from_secs(86400);
    db.put(&before).await;
    db.put(&new("elsewhere", "images", &job("scale"), Missed::Once, false, 0)).await;
    db.put(&schedule("paused", 0)).await;
    schedules::pause(&db.pool, &db.schema, "paused").await.unwrap();
    let due = db.due().await;
    assert_eq!(due.iter().map(|due| due.name.as_str()).collect::<Vec<_>>(), ["before", "elsewhere", "now"]);
    let first = &due[0];
    assert_eq!((first.next_at, first.now, first.missed), (before.next_at, at(0), Missed::All(3)));
    let names = async |kinds: Option<&[String]>, queues: Option<&[pg_queue_core::QueueName]>| {
        let due = schedules::due(&db.pool, &db.schema, kinds, queues).await.unwrap();
        due.into_iter().map(|due| due.name).collect::<Vec<_>>()
    };
    let (scale, images) = (["scale".to_owned()], [table("images").queue().clone()]);
    assert_eq!(names(Some(&scale), None).await, ["before", "elsewhere"]);
    assert_eq!(names(None, Some(&images)).await, ["elsewhere"]);
    assert!(names(Some(&["send".to_owned()]), Some(&images)).await.is_empty());
    assert!(names(Some(&[]), None).await.is_empty());
}

#[tokio::test]
async fn how_long_it_is_until_the_next_time_leaves_out_what_has_come_and_what_is_paused() {
    let db = at_new_year().await;
    let until = async |kind: &str| {
        let kinds = [kind.to_owned()];
        schedules::until_next(&db.pool, &db.schema, Some(&kinds)).await.unwrap()
    };
    assert_eq!(until("send").await, None);
    db.put(&schedule("now", 0)).await;
    db.put(&schedule("soon", 60)).await;
    db.put(&schedule("sooner", 30)).await;
    schedules::pause(&db.pool, &db.schema, "sooner").await.unwrap();
    db.put(&new("other", "emails", &job("scale"), Missed::Once, false, 10)).await;
    assert_eq!(until("send").await, Some(Duration::from_secs(60)));
    assert_eq!(schedules::until_next(&db.pool, &db.schema, None).await.unwrap(), Some(Duration::from_secs(10)));
    assert_eq!(schedules::now(&db.pool, &db.schema).await.unwrap(), at(0));
}

#[tokio::test]
async fn its_jobs_are_for_their_times_and_have_what_the_schedule_has() {
    let db = at_new_year().await;
    let mut job = job("send");
    job.options =
        PushOptions::default().priority(Priority::HIGHEST).max_attempts(3).tag("nightly").metadata("tenant", 17);
    job.options = job.options.timeout(Duration::from_secs(9));
    db.put(&new("daily", "emails", &job, Missed::All(5), false, 10)).await;
    set_clock(&db, 100).await;
    assert_eq!(db.fire(&[10, 20, 30], 110).await, [10, 20, 30]);
    let made = db.claim(&table("emails"), 10).await;
    assert_eq!(made.iter().map(|job| job.run_at).collect::<Vec<_>>(), [at(10), at(20), at(30)]);
    let ids: Vec<i64> = made.iter().map(|job| job.id.job_id().get()).collect();
    assert!(ids.is_sorted(), "{ids:?}");
    let last = &made[2];
    assert_eq!((last.kind.as_str(), last.payload.as_str()), ("send", "\"a@example.org\""));
    assert_eq!((last.priority, last.max_attempts, last.created_at), (Priority::HIGHEST, 3, at(100)));
    assert_eq!(last.timeout, Some(jobs::TimeLimit::After(Duration::from_secs(9))));
    assert_eq!((last.tags.as_slice(), last.metadata["tenant"].as_u64()), (&["nightly".to_owned()][..], Some(17)));
    let stored = db.schedule("daily").await;
    assert_eq!((stored.next_at, stored.last_at, stored.last_job), (at(110), Some(at(30)), Some(last.id.job_id())));
    assert!(db.due().await.is_empty());
}

#[tokio::test]
async fn a_time_for_which_nothing_is_made_is_left_behind_all_the_same() {
    let db = at_new_year().await;
    db.put(&schedule("daily", 0)).await;
    assert!(db.fire(&[], 100).await.is_empty());
    let stored = db.schedule("daily").await;
    assert_eq!((stored.next_at, stored.last_at, stored.last_job), (at(100), None, None));
    assert_eq!(db.count("select count(*) from queue_emails").await, 0);
}

#[tokio::test]
async fn of_eight_that_fire_at_once_one_makes_the_job() {
    let db = at_new_year().await;
    db.put(&schedule("daily", 0)).await;
    let mut connections = join_all((0..8).map(|_| db.connect())).await;
    for round in 0..50 {
        set_clock(&db, round).await;
        let due = db.due().await.remove(0);
        let times = [round];
        let fires = connections.iter_mut().map(|connection| fire(connection, &due, &times, round + 1));
        let made: Vec<_> = join_all(fires).await.into_iter().filter_map(Result::unwrap).collect();
        assert_eq!(made, [[round]]);
    }
    assert_eq!(db.count("select count(*) from queue_emails").await, 50);
    assert_eq!(db.count("select count(distinct run_at) from queue_emails").await, 50);
    assert_eq!(db.schedule("daily").await.next_at, at(50));
}

#[tokio::test]
async fn whoever_meets_an_open_fire_passes_over_it_and_can_make_up_for_it_when_it_is_undone() {
    let db = at_new_year().await;
    db.put(&schedule("daily", 0)).await;
    let due = db.due().await.remove(0);
    let (mut one, mut other) = (db.connect().await, db.connect().await);
    let mut open = one.begin().await.unwrap();
    assert_eq!(fire(&mut open, &due, &[0], 100).await.unwrap(), Some(vec![0]));
    assert_eq!(fire(&mut other, &due, &[0], 100).await.unwrap(), None);
    open.rollback().await.unwrap();
    assert_eq!(db.count("select count(*) from queue_emails").await, 0);
    assert_eq!(fire(&mut other, &due, &[0], 100).await.unwrap(), Some(vec![0]));
    assert_eq!(fire(&mut other, &due, &[0], 100).await.unwrap(), None);
    assert_eq!(db.count("select count(*) from queue_emails").await, 1);
}

#[tokio::test]
async fn a_schedule_that_was_changed_since_it_was_read_does_not_fire() {
    let db = at_new_year().await;
    db.queue("images").await;
    let mut connection = db.connect().await;
    let changes: [&str; 5] = [
        "cron = '0 9 * * mon'",
        "timezone = 'Europe/Vienna'",
        "queue = 'images'",
        "next_at = next_at + interval '1 microsecond'",
        "paused_at = now()",
    ];
    for change in changes {
        db.put(&schedule("daily", 0)).await;
        let due = db.due().await.remove(0);
        let update = AssertSqlSafe(format!("update pg_queue_schedules set {change}"));
        sqlx::raw_sql(update).execute(&db.pool).await.unwrap();
        assert_eq!(fire(&mut connection, &due, &[0], 100).await.unwrap(), None, "{change}");
        schedules::delete(&db.pool, &db.schema, "daily").await.unwrap();
        assert_eq!(fire(&mut connection, &due, &[0], 100).await.unwrap(), None, "deleted");
    }
    assert_eq!(db.count("select count(*) from pg_queue_jobs").await, 0);
}

#[tokio::test]
async fn firing_into_a_queue_that_is_missing_changes_nothing() {
    let db = at_new_year().await;
    db.put(&new("daily", "images", &job("scale"), Missed::Once, false, 0)).await;
    let before = db.schedule("daily").await;
    let due = db.due().await.remove(0);
    let mut connection = db.connect().await;
    let error = fire(&mut connection, &due, &[0], 100).await.unwrap_err();
    assert!(matches!(&error, QueueError::Missing(queue) if queue.as_str() == "images"), "{error}");
    let after = db.schedule("daily").await;
    assert_eq!((after.next_at, after.last_at, after.last_job), (before.next_at, None, None));
    // Made again, it fires.
    db.queue("images").await;
    assert_eq!(fire(&mut connection, &due, &[0], 100).await.unwrap(), Some(vec![0]));
}

#[tokio::test]
async fn an_exclusive_schedule_makes_no_second_job_until_the_first_has_finished() {
    let db = at_new_year().await;
    let emails = table("emails");
    db.put(&new("daily", "emails", &job("send"), Missed::All(9), true, 0)).await;
    db.put(&new("weekly", "emails", &job("send"), Missed::Once, true, 1000)).await;
    set_clock(&db, 10).await;
    // Of several times at once the first one counts.
    assert_eq!(db.fire(&[0, 10], 20).await, [0]);
    let first = db.schedule("daily").await.last_job.unwrap();
    set_clock(&db, 20).await;
    assert!(db.fire(&[20], 30).await.is_empty());
    let stored = db.schedule("daily").await;
    assert_eq!((stored.next_at, stored.last_at, stored.last_job), (at(30), Some(at(0)), Some(first)));
    // It runs: that is unfinished too. And another schedule's jobs are none of its business.
    let claimed = db.claim(&emails, 10).await.remove(0);
    assert_eq!(db.run_now("daily").await, PushOutcome::Duplicate(first));
    assert!(matches!(db.run_now("weekly").await, PushOutcome::Enqueued(_)));
    assert!(jobs::complete(&db.pool, &emails, &[claimed.id]).await.unwrap().contains(claimed.id));
    set_clock(&db, 30).await;
    assert_eq!(db.fire(&[30], 40).await, [30]);
}

#[tokio::test]
async fn a_job_that_is_unique_while_it_waits_is_that_when_a_schedule_makes_it() {
    let db = at_new_year().await;
    let mut job = job("send");
    job.options = PushOptions::default().unique(Unique::key("mine").until(UniqueUntil::Started));
    db.put(&new("daily", "emails", &job, Missed::Once, false, 0)).await;
    assert!(!db.schedule("daily").await.exclusive);
    let waiting = db.push_with(&table("emails"), "send", PushOptions::default().unique_key("mine")).await;
    assert_eq!(db.run_now("daily").await, PushOutcome::Duplicate(waiting));
    jobs::cancel(&db.pool, &table("emails"), &[waiting], None).await.unwrap();
    assert_eq!(db.fire(&[0], 1).await, [0]);
    db.claim(&table("emails"), 1).await;
    assert!(matches!(db.run_now("daily").await, PushOutcome::Enqueued(_)));
}

#[tokio::test]
async fn it_is_run_now_while_it_is_paused_too_and_its_next_time_stays() {
    let db = at_new_year().await;
    db.put(&schedule("daily", 100)).await;
    schedules::pause(&db.pool, &db.schema, "daily").await.unwrap();
    set_clock(&db, 50).await;
    let PushOutcome::Enqueued(job) = db.run_now("daily").await else { panic!("a job was made") };
    let stored = db.schedule("daily").await;
    assert_eq!((stored.next_at, stored.paused_at), (at(100), Some(at(0))));
    assert_eq!((stored.last_at, stored.last_job), (Some(at(50)), Some(job)));
    assert_eq!(db.claim(&table("emails"), 9).await[0].run_at, at(50));
    // Twice is twice.
    assert!(matches!(db.run_now("daily").await, PushOutcome::Enqueued(_)));
    let mut connection = db.pool.acquire().await.unwrap();
    assert!(schedules::run_now(&mut connection, &table("emails"), "weekly").await.unwrap().is_none());
    db.queue("images").await;
    assert!(schedules::run_now(&mut connection, &table("images"), "daily").await.unwrap().is_none());
}

#[tokio::test]
async fn an_exclusive_one_that_is_run_by_two_at_once_answers_both_with_one_job() {
    let db = at_new_year().await;
    db.put(&new("daily", "emails", &job("send"), Missed::Once, true, 100)).await;
    let mut open = db.pool.begin().await.unwrap();
    let first = schedules::run_now(&mut open, &table("emails"), "daily").await.unwrap().unwrap();
    let mut other = db.connect().await;
    let second = tokio::spawn(async move { schedules::run_now(&mut other, &table("emails"), "daily").await });
    wait_for_lock(&db, "transactionid").await;
    open.commit().await.unwrap();
    let second = second.await.unwrap().unwrap();
    assert_eq!(second, Some(PushOutcome::Duplicate(first.id())));
}

/// Both hold the schedule and its key for a moment: in the same order.
#[tokio::test]
async fn an_exclusive_one_that_is_run_while_it_fires_does_not_deadlock() {
    let db = at_new_year().await;
    db.put(&new("nightly", "emails", &job("send"), Missed::Once, true, 0)).await;
    let due = db.due().await.remove(0);
    let mut firing = db.pool.begin().await.unwrap();
    // What `fire` does first.
    sqlx::query("select from pg_queue_schedules for update").execute(&mut *firing).await.unwrap();
    let running = tokio::spawn({
        let pool = db.pool.clone();
        async move { schedules::run_now(&mut pool.acquire().await.unwrap(), &table("emails"), "nightly").await }
    });
    wait_for_lock(&db, "transactionid").await;
    let made = schedules::fire(&mut *firing, &db.schema, &due, &[at(0)], at(86_400)).await.unwrap().unwrap();
    firing.commit().await.unwrap();
    assert_eq!(running.await.unwrap().unwrap(), Some(PushOutcome::Duplicate(made[0].1)));
}

#[tokio::test]
async fn a_paused_one_goes_on_from_the_time_that_it_is_given() {
    let db = at_new_year().await;
    db.put(&schedule("daily", 0)).await;
    let running = db.schedule("daily").await;
    assert!(!schedules::resume(&db.pool, &db.schema, &running, at(500)).await.unwrap());
    assert!(schedules::pause(&db.pool, &db.schema, "daily").await.unwrap());
    assert!(!schedules::pause(&db.pool, &db.schema, "weekly").await.unwrap());
    assert!(db.due().await.is_empty());
    let paused = db.schedule("daily").await;
    let mut changed = schedule("daily", 0);
    changed.timezone = "Europe/Vienna".to_owned();
    db.put(&changed).await;
    // What was computed from the old zone is worth nothing.
    assert!(!schedules::resume(&db.pool, &db.schema, &paused, at(500)).await.unwrap());
    let paused = db.schedule("daily").await;
    assert!(schedules::resume(&db.pool, &db.schema, &paused, at(500)).await.unwrap());
    let running = db.schedule("daily").await;
    assert_eq!((running.next_at, running.paused_at), (at(500), None));
}

#[tokio::test]
async fn whoever_changes_a_schedule_tells_the_workers() {
    let db = at_new_year().await;
    let channel = db.schema.channel();
    let mut listener = PgListener::connect_with(&db.pool).await.unwrap();
    listener.listen(&channel).await.unwrap();
    let (pool, schema) = (&db.pool, &db.schema);
    let mut told = async || {
        // Notifications arrive in the order of their commits, so one that is sent last ends them.
        topics::notify(pool, schema, &channel, "end").await.unwrap();
        let mut count = 0;
        loop {
            match listener.recv().await.unwrap().payload() {
                "cron" => count += 1,
                "end" => return count,
                other => panic!("{other}"),
            }
        }
    };
    let mut daily = schedule("daily", 0);
    daily.declared = true;
    schedules::put(pool, schema, &daily).await.unwrap();
    assert_eq!(told().await, 1, "put");
    schedules::pause(pool, schema, "daily").await.unwrap();
    assert_eq!(told().await, 1, "paused");
    let paused = schedules::get(pool, schema, "daily").await.unwrap().unwrap();
    schedules::resume(pool, schema, &paused, at(0)).await.unwrap();
    assert_eq!(told().await, 1, "resumed");
    // It moves on by itself: every worker knows that without being told.
    db.fire(&[0], 100).await;
    db.run_now("daily").await;
    assert_eq!(told().await, 0, "fired");
    schedules::undeclare(pool, schema, &["daily".to_owned()]).await.unwrap();
    assert_eq!(told().await, 1, "undeclared");
    schedules::put(pool, schema, &daily).await.unwrap();
    schedules::delete(pool, schema, "daily").await.unwrap();
    assert_eq!(told().await, 2, "put and deleted");
    schedules::delete(pool, schema, "daily").await.unwrap();
    schedules::pause(pool, schema, "daily").await.unwrap();
    assert_eq!(told().await, 0, "nothing there");
}

#[tokio::test]
async fn looking_for_what_is_due_costs_no_more_with_many_schedules() {
    let db = at_new_year().await;
    let fill = "insert into pg_queue_schedules (name, queue, kind, cron, payload, next_at)
        select 'schedule ' || n, 'emails', 'send', '0 9 * * *', '1', pg_queue_now() + n * interval '1 minute'
        from generate_series(1, 10000) as n; analyze pg_queue_schedules";
    sqlx::raw_sql(fill).execute(&db.pool).await.unwrap();
    for file in ["schedules/due.sql", "schedules/until_next.sql"] {
        let statement = crate::support::statement(file, &table("emails")).replace("$1", "null").replace("$2", "null");
        let explain = AssertSqlSafe(format!("explain (costs off) {statement}"));
        let plan: Vec<String> = sqlx::query_scalar(explain).fetch_all(&db.pool).await.unwrap();
        let plan = plan.join("\n");
        assert!(plan.contains("pg_queue_schedules_next_at") && plan.contains("Index Cond"), "{file}:\n{plan}");
    }
}
