//! Jobs that turn up where nobody looks any more: committed late, under an old time, or changed at the wrong moment.
//!
//! A claim that remembers how far it has come passes all of these over, and a sweep has to find them: see `floors.rs`. These
//! claims remember nothing.

use pg_queue_core::{
    JobId, LeaseToken, Priority, PushOutcome, QueueTable,
    jobs::{self, Claimant, PushOptions},
};
use sqlx::PgConnection;

use crate::support::{Db, database, failed, given_back};

/// Ten rounds of one job pushed, claimed and completed: the queue is caught up, and whoever remembers a place has one.
async fn caught_up(db: &Db, queue: &QueueTable) {
    for _ in 0..10 {
        let pushed = db.push(queue, "send").await;
        let claimed = db.claim(queue, 5).await;
        assert_eq!(jobs::complete(&db.pool, queue, &[claimed[0].id]).await.unwrap().len(), 1);
        assert_eq!(ids(claimed), [pushed]);
    }
}

fn ids(claimed: Vec<jobs::ClaimedJob>) -> Vec<JobId> {
    claimed.into_iter().map(|job| job.id.job_id()).collect()
}

async fn push_in(connection: &mut PgConnection, queue: &QueueTable, count: i32) -> Vec<JobId> {
    let jobs = crate::support::raw_jobs(&(0..count).collect::<Vec<_>>(), &PushOptions::default());
    jobs::push_many(connection, queue, &jobs).await.unwrap().into_iter().map(PushOutcome::id).collect()
}

/// T1 begins, which fixes the time of its jobs. T2 enqueues and commits, and its jobs are claimed. T1 commits.
#[tokio::test]
async fn jobs_of_a_transaction_that_commits_after_younger_ones_were_claimed_are_claimed_next() {
    let db = database().await;
    let emails = db.queue("emails").await;
    for count in [1, 300] {
        let mut late = db.pool.begin().await.unwrap();
        let jobs = push_in(&mut late, &emails, count).await;
        caught_up(&db, &emails).await;
        assert!(db.claim(&emails, 5).await.is_empty());
        late.commit().await.unwrap();
        assert_eq!(ids(db.claim(&emails, 1000).await), jobs);
    }
}

#[tokio::test]
async fn jobs_are_claimed_when_the_clock_has_stepped_back() {
    let db = database().await;
    let emails = db.queue("emails").await;
    caught_up(&db, &emails).await;
    db.set_clock("now() - interval '1 hour'").await;
    caught_up(&db, &emails).await;
    // What was pushed before the step waits until the clock has come there again, as its time says.
    db.set_clock("now()").await;
    let ahead = db.push(&emails, "send").await;
    db.set_clock("now() - interval '1 hour'").await;
    assert!(db.claim(&emails, 5).await.is_empty());
    db.set_clock("now()").await;
    assert_eq!(ids(db.claim(&emails, 5).await), [ahead]);
}

#[tokio::test]
async fn a_job_that_was_given_back_or_failed_or_expired_keeps_its_place() {
    let db = database().await;
    let emails = db.queue("emails").await;
    for round in 0..3 {
        let old = db.push(&emails, "send").await;
        let id = if round == 2 { db.claim_and_let_expire(&emails).await.id } else { db.claim(&emails, 1).await[0].id };
        let young = db.push(&emails, "send").await;
        match round {
            0 => drop(jobs::end(&db.pool, &emails, &[given_back(id)]).await.unwrap()),
            1 => drop(jobs::end(&db.pool, &emails, &[failed(id, "x")]).await.unwrap()),
            _ => {}
        }
        // One that failed is tried again at a time that is later, and one that was given back at its own.
        let expected = if round == 1 { [young, old] } else { [old, young] };
        assert_eq!(ids(db.claim(&emails, 5).await), expected, "round {round}");
    }
}

#[tokio::test]
async fn an_urgent_job_that_commits_late_comes_before_a_backlog() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let lowest = PushOptions::default().priority(Priority::LOWEST);
    db.push_many(&emails, &vec![1; 100], &lowest).await;
    let mut late = db.pool.begin().await.unwrap();
    let urgent = crate::support::raw_jobs(&[1], &PushOptions::default().priority(Priority::new(0).unwrap()));
    let urgent = jobs::push_many(&mut late, &emails, &urgent).await.unwrap()[0].id();
    assert_eq!(db.claim(&emails, 10).await.len(), 10);
    late.commit().await.unwrap();
    assert_eq!(ids(db.claim(&emails, 1).await), [urgent]);
}

/// Claim: reads the row. Editor, who had locked it: commits another version. Claim: takes the lock, finds the row still due,
/// and cannot see its new place: it answers too few. Nothing is lost by that, and no lock is left behind.
#[tokio::test]
async fn a_due_job_that_is_changed_while_it_is_claimed_is_claimed_now_or_next() {
    let db = database().await;
    let emails = db.queue("emails").await;
    for round in 0..50 {
        let id = db.push(&emails, "send").await;
        let edit = async {
            let edited = sqlx::query("update queue_emails set metadata = '{}', priority = 4 where id = $1");
            edited.bind(id.get()).execute(&db.pool).await.unwrap();
        };
        let (claimed, ()) = tokio::join!(db.claim(&emails, 5), edit);
        let mut claimed = ids(claimed);
        claimed.extend(ids(db.claim(&emails, 5).await));
        assert_eq!(claimed, [id], "round {round}");
    }
}

/// The worker's claim is on its way. Everybody declares the worker dead and takes what it holds. The claim commits.
#[tokio::test]
async fn what_a_dead_worker_claims_late_comes_back_as_long_as_it_is_remembered() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let dead = crate::workers::dead(&db).await;
    for _ in 0..3 {
        db.push(&emails, "send").await;
        let rescued = jobs::rescue(&db.pool, &emails, &[dead], 100).await.unwrap();
        assert!(rescued.is_empty());
        // The claim has a snapshot from before the death, and commits after the rescue.
        let mut claiming = db.pool.begin().await.unwrap();
        let claimant = Claimant::Worker(dead);
        let late = jobs::claim(&mut *claiming, &emails, claimant, LeaseToken::random(), None, 5).await.unwrap();
        assert!(jobs::rescue(&db.pool, &emails, &[dead], 100).await.unwrap().is_empty());
        claiming.commit().await.unwrap();
        let rescued = jobs::rescue(&db.pool, &emails, &[dead], 100).await.unwrap();
        assert_eq!(rescued.len(), 1);
        assert_eq!(ids(db.claim(&emails, 5).await), ids(late));
    }
}
