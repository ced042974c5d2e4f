//! Claiming from floors on, and what turns up below them. A floor is a hint: each of these jobs is claimed by the next claim
//! or by the next sweep, never later.
//!
//! The jobs that make the floors, and those that are below them, say their times themselves: a floor stays 200 ms behind the
//! clock, and nothing here waits for that.

use std::time::{Duration, SystemTime};

use pg_queue_core::{
    BEGIN_PINNED, JobId, LeaseToken, LeasedJobId, Priority, QueueTable, WorkerId,
    history::{self, Edit},
    jobs::{self, Claimant, ClaimedJob, EndedAttempt, Ending, Floors, PushOptions, Reach},
};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::support::{Db, LONG, database, failed, given_back, raw_jobs, statement};

/// Who remembers how far it has come.
struct Claimer {
    connection: PgConnection,
    floors: Floors,
}

impl Claimer {
    async fn new(db: &Db) -> Self {
        Self { connection: db.connect().await, floors: Floors::default() }
    }

    async fn above(&mut self, queue: &QueueTable, limit: u32) -> Vec<ClaimedJob> {
        let floors = self.floors;
        self.claim(queue, limit, Claimant::Worker(WorkerId::random()), Reach::Above(&floors)).await
    }

    async fn sweep(&mut self, queue: &QueueTable, limit: u32) -> Vec<ClaimedJob> {
        let floors = self.floors;
        self.claim(queue, limit, Claimant::Worker(WorkerId::random()), Reach::Sweep(&floors)).await
    }

    async fn claim(&mut self, queue: &QueueTable, limit: u32, by: Claimant, reach: Reach<'_>) -> Vec<ClaimedJob> {
        let mut pinned = self.connection.begin_with(BEGIN_PINNED).await.unwrap();
        let token = LeaseToken::random();
        let claimed = jobs::claim_within(&mut *pinned, queue, by, token, None, limit, reach).await.unwrap();
        pinned.commit().await.unwrap();
        self.floors.learn(reach, limit, &claimed);
        claimed
    }

    /// Claims and completes ten jobs that were due until ten seconds ago: there is the floor.
    async fn come(&mut self, db: &Db, queue: &QueueTable) {
        for age in (10..20).rev() {
            push_at(db, queue, age).await;
        }
        let claimed = self.above(queue, 100).await;
        assert_eq!(claimed.len(), 10);
        complete(db, queue, &claimed).await;
    }
}

/// Pushes a job that was due so many seconds ago.
async fn push_at(db: &Db, queue: &QueueTable, seconds: u64) -> JobId {
    db.push_with(queue, "send", at(seconds)).await
}

fn at(seconds: u64) -> PushOptions {
    PushOptions::default().run_at(SystemTime::now() - Duration::from_secs(seconds))
}

async fn complete(db: &Db, queue: &QueueTable, claimed: &[ClaimedJob]) {
    let leases: Vec<LeasedJobId> = claimed.iter().map(|job| job.id).collect();
    assert_eq!(jobs::complete(&db.pool, queue, &leases).await.unwrap().len(), leases.len());
}

fn ids(claimed: &[ClaimedJob]) -> Vec<JobId> {
    claimed.iter().map(|job| job.id.job_id()).collect()
}

/// A claim does not see what is below the floor, and the next sweep does. Only what is above is seen by both.
async fn assert_found(claimer: &mut Claimer, queue: &QueueTable, expected: JobId, below: bool, how: &str) {
    let found = ids(&claimer.above(queue, 10).await);
    if below {
        assert_eq!(found, [], "{how}: not below the floor");
        assert_eq!(ids(&claimer.sweep(queue, 10).await), [expected], "{how}");
    } else {
        assert_eq!(found, [expected], "{how}");
    }
}

#[tokio::test]
async fn what_commits_late_is_found_by_the_next_sweep() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let mut claimer = Claimer::new(&db).await;
    // T1 begins, and its job is of that time. T2 enqueues and commits, and its jobs are claimed. T1 commits.
    let mut late = db.pool.begin().await.unwrap();
    let pushed = jobs::push_many(&mut late, &emails, &raw_jobs(&[1], &at(60))).await.unwrap();
    claimer.come(&db, &emails).await;
    assert!(claimer.sweep(&emails, 10).await.is_empty());
    late.commit().await.unwrap();
    assert_found(&mut claimer, &emails, pushed[0].id(), true, "late").await;
}

/// A sweep that comes back full has found the beginning of more, which must not wait for a sweep each.
#[tokio::test]
async fn a_full_sweep_moves_the_floor_back() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let mut claimer = Claimer::new(&db).await;
    let mut late = db.pool.begin().await.unwrap();
    let pushed = jobs::push_many(&mut late, &emails, &raw_jobs(&vec![1; 300], &at(60))).await.unwrap();
    claimer.come(&db, &emails).await;
    late.commit().await.unwrap();
    assert!(claimer.above(&emails, 100).await.is_empty());
    let mut found = ids(&claimer.sweep(&emails, 100).await);
    for _ in 0..2 {
        found.extend(ids(&claimer.above(&emails, 100).await));
    }
    assert_eq!(found, pushed.iter().map(|outcome| outcome.id()).collect::<Vec<_>>());
    assert!(claimer.sweep(&emails, 100).await.is_empty());
}

/// A claim is on its way, from the floor on. A sweep comes back full and moves the floor back. The claim comes back: what it has
/// found is further than where there is more.
#[tokio::test]
async fn a_claim_that_began_before_does_not_undo_it() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let mut claimer = Claimer::new(&db).await;
    claimer.come(&db, &emails).await;
    let late: Vec<JobId> = db.push_many(&emails, &[1; 20], &at(60)).await;
    let young = push_at(&db, &emails, 1).await;
    let before = claimer.floors;
    assert_eq!(claimer.sweep(&emails, 10).await.len(), 10);
    let after = claimer.floors;
    let claimed = claimer.claim(&emails, 10, Claimant::HandDriven(LONG), Reach::Above(&before)).await;
    assert_eq!(ids(&claimed), [young]);
    assert_eq!(claimer.floors, after);
    assert_eq!(ids(&claimer.above(&emails, 20).await), late[10..]);
}

#[tokio::test]
async fn every_way_back_into_the_queue_is_seen() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let mut claimer = Claimer::new(&db).await;
    claimer.come(&db, &emails).await;
    let dead = crate::workers::dead(&db).await;

    for how in ["pushed into the past", "given back", "rescued", "expired", "unparked"] {
        let id = push_at(&db, &emails, 60).await;
        if how != "pushed into the past" {
            let by = match how {
                "rescued" => Claimant::Worker(dead),
                "expired" => Claimant::HandDriven(Duration::ZERO),
                _ => Claimant::HandDriven(LONG),
            };
            let held = db.claim_as(&emails, by, 10).await;
            assert_eq!(ids(&held), [id]);
            match how {
                "given back" => drop(jobs::end(&db.pool, &emails, &[given_back(held[0].id)]).await.unwrap()),
                "rescued" => assert_eq!(jobs::rescue(&db.pool, &emails, &[dead], 10).await.unwrap().len(), 1),
                "unparked" => {
                    jobs::end(&db.pool, &emails, &[given_back(held[0].id)]).await.unwrap();
                    sqlx::query("update queue_emails set parked = 'kind' where lease_token is null")
                        .execute(&db.pool)
                        .await
                        .unwrap();
                    assert!(claimer.sweep(&emails, 10).await.is_empty(), "{how}");
                    assert_eq!(jobs::unpark(&db.pool, &emails, None, 10).await.unwrap(), 1);
                }
                _ => {}
            }
        }
        assert_found(&mut claimer, &emails, id, true, how).await;
    }

    // These get the time at which it happens.
    for how in ["retried", "snoozed", "hastened", "cancelled, then retried"] {
        let id = match how {
            "hastened" => db.push_with(&emails, "send", PushOptions::default().delay(LONG)).await,
            _ => push_at(&db, &emails, 60).await,
        };
        match how {
            "hastened" => assert_eq!(jobs::hasten(&db.pool, &emails, &[id]).await.unwrap(), [id]),
            "cancelled, then retried" => {
                assert_eq!(jobs::cancel(&db.pool, &emails, &[id], None).await.unwrap().len(), 1);
                let back = history::retry(&db.pool, &emails, &[id], &Edit::default()).await.unwrap();
                assert_eq!(back, [id]);
            }
            _ => {
                let held = db.claim(&emails, 10).await.remove(0).id;
                let ended = match how {
                    "retried" => failed(held, "x"),
                    _ => EndedAttempt { ending: Ending::Release(Some(Duration::ZERO)), ..given_back(held) },
                };
                assert_eq!(jobs::end(&db.pool, &emails, &[ended]).await.unwrap().len(), 1);
            }
        }
        assert_found(&mut claimer, &emails, id, false, how).await;
    }
}

#[tokio::test]
async fn an_urgent_job_below_its_floor_comes_with_the_next_sweep_before_a_backlog() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let mut claimer = Claimer::new(&db).await;
    let urgent = |seconds| at(seconds).priority(Priority::HIGHEST);
    db.push_with(&emails, "send", urgent(10)).await;
    db.push_many(&emails, &[1; 50], &at(60).priority(Priority::LOWEST)).await;
    assert_eq!(claimer.above(&emails, 10).await.len(), 10);
    let late = db.push_with(&emails, "send", urgent(30)).await;
    assert!(claimer.above(&emails, 10).await.iter().all(|job| job.priority == Priority::LOWEST));
    let swept = claimer.sweep(&emails, 10).await;
    assert_eq!(swept[0].id.job_id(), late);
    assert_eq!(claimer.above(&emails, 100).await.len(), 22, "the backlog goes on where it was");
}

/// A floor that is ahead of the clock is out of force, and the next claim makes another one.
#[tokio::test]
async fn a_clock_that_steps_back_makes_no_job_wait() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let mut claimer = Claimer::new(&db).await;
    claimer.come(&db, &emails).await;
    db.set_clock("now() - interval '1 hour'").await;
    for _ in 0..3 {
        let id = db.push(&emails, "send").await;
        assert_eq!(ids(&claimer.above(&emails, 10).await), [id]);
    }
    db.set_clock("now() - interval '1 hour 1 second'").await;
    let id = db.push(&emails, "send").await;
    assert_found(&mut claimer, &emails, id, false, "a second").await;
    db.set_clock("now()").await;
    let id = db.push(&emails, "send").await;
    assert_found(&mut claimer, &emails, id, false, "and forward again").await;
}

/// A transaction may be older than another one that commits before it: within 200 ms no floor is in the way of that.
#[tokio::test]
async fn the_last_moments_are_above_every_floor() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let mut claimer = Claimer::new(&db).await;
    // The clock stands, so that the moments are as long as they are said to be.
    db.set_clock("timestamptz '2030-01-01 00:00:00+00'").await;
    let push = |run_at: &'static str| {
        let insert =
            "insert into queue_emails (run_at, payload) values (pg_queue_now() - $1::interval, '1') returning id";
        sqlx::query_scalar::<_, i64>(insert).bind(run_at).fetch_one(&db.pool)
    };
    let young = push("1 ms").await.unwrap();
    assert_eq!(ids(&claimer.above(&emails, 10).await)[0].get(), young);
    let late = push("199 ms").await.unwrap();
    assert_eq!(ids(&claimer.above(&emails, 10).await)[0].get(), late);
    let later = push("201 ms").await.unwrap();
    assert!(claimer.above(&emails, 10).await.is_empty());
    assert_eq!(ids(&claimer.sweep(&emails, 10).await)[0].get(), later);
}

/// Each would walk over the same garbage. Whoever is the second looks from its floors on, and waits for nobody.
#[tokio::test]
async fn one_sweeps_at_a_time() {
    let db = database().await;
    let (emails, images) = (db.queue("emails").await, db.queue("images").await);
    let mut claimer = Claimer::new(&db).await;
    claimer.come(&db, &emails).await;
    // The other one sweeps, and has found nothing for itself yet. Who sweeps another queue is in nobody's way.
    let mut others = db.pool.begin().await.unwrap();
    let (by, kinds, now) = (Claimant::Worker(WorkerId::random()), ["other".to_owned()], claimer.floors);
    for (queue, age) in [(&images, 60), (&emails, 1)] {
        let found = push_at(&db, &emails, age).await;
        let (token, reach) = (LeaseToken::random(), Reach::Sweep(&now));
        jobs::claim_within(&mut *others, queue, by, token, Some(&kinds), 10, reach).await.unwrap();
        assert_eq!(ids(&claimer.sweep(&emails, 10).await), [found]);
    }
    let below = push_at(&db, &emails, 60).await;
    assert!(claimer.sweep(&emails, 10).await.is_empty());
    others.rollback().await.unwrap();
    assert_eq!(ids(&claimer.sweep(&emails, 10).await), [below]);
}

/// While anybody holds a snapshot, what was claimed and completed since stays in the index, in front of what waits.
#[tokio::test]
async fn a_claim_does_not_walk_over_what_a_long_transaction_keeps() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let mut holder = db.pool.begin_with("begin isolation level repeatable read").await.unwrap();
    sqlx::query("select from queue_emails").fetch_all(&mut *holder).await.unwrap();
    let mut claimer = Claimer::new(&db).await;
    // One bulk has one time, so that only the ids tell its jobs apart.
    db.push_many(&emails, &vec!["a".repeat(1000); 3000], &at(60)).await;
    for _ in 0..29 {
        let claimed = claimer.above(&emails, 100).await;
        complete(&db, &emails, &claimed).await;
    }
    let pages = async |arguments: String| -> i64 {
        let mut connection = db.connect().await;
        let mut pinned = connection.begin_with(BEGIN_PINNED).await.unwrap();
        let types = "bigint, bigint, bigint, text[], bigint, bigint[], bigint[], boolean";
        let prepare = format!("prepare planned ({types}) as {}", statement("jobs/claim.sql", &emails));
        sqlx::raw_sql(AssertSqlSafe(prepare)).execute(&mut *pinned).await.unwrap();
        let explain =
            format!("explain (analyze, buffers, format json) execute planned (1, 2, null, null, 10, {arguments})");
        let plan: serde_json::Value =
            sqlx::query_scalar(AssertSqlSafe(explain)).persistent(false).fetch_one(&mut *pinned).await.unwrap();
        plan[0]["Plan"]["Shared Hit Blocks"].as_i64().unwrap()
    };
    let last: (i64, i64) = sqlx::query_as(
        "select (extract(epoch from run_at - timestamptz '2000-01-01 00:00:00+00') * 1000000)::bigint, id - 1
         from queue_emails order by id limit 1",
    )
    .fetch_one(&db.pool)
    .await
    .unwrap();
    let (run_at, id) = last;
    let floors = format!(
        "array[null, null, null, null, null, {run_at}]::bigint[], array[null, null, null, null, null, {id}]::bigint[]"
    );
    let (without, with) = (pages("null, null, false".into()).await, pages(format!("{floors}, false")).await);
    let swept = pages(format!("{floors}, true")).await;
    assert!(
        without > 3 * with && swept > 3 * with,
        "{without} pages without floors, {swept} swept, {with} with floors"
    );
    holder.rollback().await.unwrap();
}
