//! Leases: whoever lost one changes nothing, and is told.

use pg_queue_core::{
    QueueTable, TupleId, WorkerId,
    jobs::{self, Claimant, ClaimedJob, EndedAttempt, Ending, LeaseError, PushOptions},
};

use crate::support::{Db, LONG, database, failed, given_back, given_up, soon, until};

/// A job whose lease passed from the first to the second claim.
async fn passed_on(db: &Db, queue: &QueueTable) -> (ClaimedJob, ClaimedJob) {
    db.push(queue, "send").await;
    let first = db.claim_and_let_expire(queue).await;
    let second = db.claim(queue, 1).await.remove(0);
    assert_eq!(first.id.job_id(), second.id.job_id());
    assert_ne!(first.id.token(), second.id.token());
    (first, second)
}

async fn row(db: &Db) -> String {
    sqlx::query_scalar("select row(q.*)::text from queue_emails as q").fetch_one(&db.pool).await.unwrap()
}

#[tokio::test]
async fn a_lost_lease_changes_nothing_and_is_told() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let (stale, live) = passed_on(&db, &emails).await;
    let before = row(&db).await;
    assert!(jobs::complete(&db.pool, &emails, &[stale.id]).await.unwrap().is_empty());
    assert!(jobs::end(&db.pool, &emails, &[failed(stale.id, "x")]).await.unwrap().is_empty());
    assert!(jobs::end(&db.pool, &emails, &[given_back(stale.id)]).await.unwrap().is_empty());
    assert!(jobs::held(&db.pool, &emails, &[stale.id]).await.unwrap().is_empty());
    for lost in [
        jobs::extend(&db.pool, &emails, stale.id, LONG).await,
        jobs::complete_one(&db.pool, &emails, stale.id, None).await,
    ] {
        assert!(matches!(lost, Err(LeaseError::Lost(lost)) if lost.0 == stale.id));
    }
    assert_eq!(row(&db).await, before);
    let both = [stale.id, live.id];
    assert!(jobs::held(&db.pool, &emails, &both).await.unwrap().contains(live.id));
    assert_eq!(jobs::complete(&db.pool, &emails, &both).await.unwrap().len(), 1);
    assert!(matches!(jobs::complete_one(&db.pool, &emails, live.id, None).await, Err(LeaseError::Lost(_))));
}

#[tokio::test]
async fn a_lease_that_ran_out_but_that_nobody_took_still_stands() {
    let db = database().await;
    let emails = db.queue("emails").await;
    db.push(&emails, "send").await;
    let job = db.claim_and_let_expire(&emails).await;
    jobs::extend(&db.pool, &emails, job.id, LONG).await.unwrap();
    assert!(db.claim(&emails, 1).await.is_empty());
    assert!(jobs::complete(&db.pool, &emails, &[job.id]).await.unwrap().contains(job.id));
}

#[tokio::test]
async fn a_workers_lease_cannot_be_extended_for_it_has_no_end() {
    let db = database().await;
    let emails = db.queue("emails").await;
    db.push(&emails, "send").await;
    let job = db.claim_as(&emails, Claimant::Worker(WorkerId::random()), 1).await.remove(0);
    assert!(matches!(jobs::extend(&db.pool, &emails, job.id, LONG).await, Err(LeaseError::Lost(_))));
}

#[tokio::test]
async fn rows_locked_by_others_are_skipped_and_held_tells_them_from_lost_ones() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let (lost, locked) = passed_on(&db, &emails).await;
    db.push(&emails, "send").await;
    let free = db.claim(&emails, 1).await.remove(0);
    let mut open = db.pool.begin().await.unwrap();
    sqlx::query("select from queue_emails where id = $1 for update")
        .bind(locked.id.job_id().get())
        .execute(&mut *open)
        .await
        .unwrap();
    let all = [lost.id, locked.id, free.id];
    // All of these return although the other transaction never ends.
    assert_eq!(jobs::end(&db.pool, &emails, &[given_back(locked.id)]).await.unwrap().len(), 0);
    assert_eq!(jobs::end(&db.pool, &emails, &[failed(locked.id, "x")]).await.unwrap().len(), 0);
    let done = jobs::complete(&db.pool, &emails, &all).await.unwrap();
    assert!(done.contains(free.id));
    assert_eq!(done.len(), 1);
    let held = jobs::held(&db.pool, &emails, &all).await.unwrap();
    assert!(held.contains(locked.id));
    assert_eq!(held.len(), 1);
    open.rollback().await.unwrap();
    assert!(jobs::complete(&db.pool, &emails, &[locked.id]).await.unwrap().contains(locked.id));
}

#[tokio::test]
async fn completing_in_a_transaction_goes_with_it() {
    let db = database().await;
    let emails = db.queue("emails").await;
    db.push(&emails, "send").await;
    let job = db.claim(&emails, 1).await.remove(0);
    let mut transaction = db.pool.begin().await.unwrap();
    jobs::complete_one(&mut *transaction, &emails, job.id, None).await.unwrap();
    transaction.rollback().await.unwrap();
    assert_eq!(jobs::held(&db.pool, &emails, &[job.id]).await.unwrap().len(), 1);
    let mut transaction = db.pool.begin().await.unwrap();
    jobs::complete_one(&mut *transaction, &emails, job.id, None).await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(db.count("select count(*) from queue_emails").await, 0);
}

#[tokio::test]
async fn completing_one_waits_for_the_row() {
    let db = database().await;
    let emails = db.queue("emails").await;
    db.push(&emails, "send").await;
    let job = db.claim(&emails, 1).await.remove(0);
    let mut open = db.pool.begin().await.unwrap();
    // A new version of the row, so that the one that waits must look at that.
    sqlx::query("update queue_emails set errors = '[]'").execute(&mut *open).await.unwrap();
    let completing = tokio::spawn({
        let (pool, emails) = (db.pool.clone(), emails.clone());
        async move { jobs::complete_one(&pool, &emails, job.id, None).await }
    });
    crate::support::wait_for_lock(&db, "transactionid").await;
    open.commit().await.unwrap();
    completing.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_row_that_changes_beside_a_batch_is_completed_once_and_never_lost() {
    let db = database().await;
    let emails = db.queue("emails").await;
    db.push_many(&emails, &vec![1; 200], &PushOptions::default()).await;
    let claimed: Vec<_> = db.claim(&emails, 200).await.into_iter().map(|job| job.id).collect();
    // Somebody who writes to the same rows all the time: progress, a cancel flag, a vacuum's freezing.
    let writer = tokio::spawn({
        let pool = db.pool.clone();
        async move {
            while sqlx::query("update queue_emails set parked = 'x' where id % 3 = 0")
                .execute(&pool)
                .await
                .unwrap()
                .rows_affected()
                > 0
            {}
        }
    });
    for batch in claimed.chunks(20) {
        let mut left = batch.to_vec();
        while !left.is_empty() {
            let done = match left[0].job_id().get() % 2 {
                0 => jobs::complete(&db.pool, &emails, &left).await.unwrap(),
                _ => {
                    let attempts: Vec<_> = left.iter().map(|&id| given_up(id, "x")).collect();
                    jobs::end(&db.pool, &emails, &attempts).await.unwrap()
                }
            };
            left.retain(|&id| !done.contains(id));
            assert_eq!(jobs::held(&db.pool, &emails, &left).await.unwrap().len(), left.len(), "a lease was lost");
        }
    }
    writer.await.unwrap();
    let kept = db.count("select count(*) from pg_queue_history").await;
    let distinct = db.count("select count(distinct id) from pg_queue_history where state = 'discarded'").await;
    assert!(kept > 0 && kept == distinct, "{kept} {distinct}");
    until(async || db.count("select count(*) from queue_emails").await == 0).await;
}

#[tokio::test]
async fn giving_back_does_not_cost_the_attempt_and_keeps_the_place() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let (one, two) = (db.push(&emails, "send").await, db.push(&emails, "send").await);
    let first = db.claim(&emails, 1).await.remove(0);
    assert_eq!(first.id.job_id(), one);
    assert_eq!(jobs::end(&db.pool, &emails, &[given_back(first.id)]).await.unwrap().len(), 1);
    let again = db.claim(&emails, 1).await.remove(0);
    assert_eq!((again.id.job_id(), again.id.attempt(), again.run_at), (one, 1, first.run_at));
    let snooze = EndedAttempt { ending: Ending::Release(Some(LONG)), ..failed(again.id, "no such kind") };
    assert_eq!(jobs::end(&db.pool, &emails, &[snooze]).await.unwrap().len(), 1);
    assert_eq!(db.claim(&emails, 10).await[0].id.job_id(), two);
    assert!(jobs::next_due(&db.pool, &emails).await.unwrap().unwrap() > LONG / 2);
    let note: String = sqlx::query_scalar("select errors->0->>'error' from queue_emails where attempt = 0")
        .fetch_one(&db.pool)
        .await
        .unwrap();
    assert_eq!(note, "no such kind");
}

/// A worker that was declared dead and took a new id may hold both leases of a job, an old handler's and a new one's, and
/// tell of both in one statement.
#[tokio::test]
async fn of_two_leases_of_one_job_in_one_batch_only_the_live_one_counts() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let (stale, live) = passed_on(&db, &emails).await;
    let held = jobs::held(&db.pool, &emails, &[stale.id, live.id]).await.unwrap();
    assert!(held.contains(live.id) && !held.contains(stale.id));
    let ended = jobs::end(&db.pool, &emails, &[failed(stale.id, "old"), failed(live.id, "new")]).await.unwrap();
    assert!(ended.contains(live.id) && !ended.contains(stale.id));

    let (stale, live) = (live, db.claim(&emails, 1).await.remove(0));
    let given = jobs::end(&db.pool, &emails, &[given_back(stale.id), given_back(live.id)]).await.unwrap();
    assert!(given.contains(live.id) && !given.contains(stale.id));

    let (stale, live) = (live, db.claim(&emails, 1).await.remove(0));
    let done = jobs::complete(&db.pool, &emails, &[stale.id, live.id]).await.unwrap();
    assert!(done.contains(live.id) && !done.contains(stale.id));
    assert_eq!(db.count("select count(*) from queue_emails").await, 0);
}

#[tokio::test]
async fn jobs_are_completed_where_they_were_claimed_and_only_there_and_under_their_lease() {
    let db = database().await;
    let emails = db.queue("emails").await;
    for _ in 0..5 {
        db.push(&emails, "send").await;
    }
    let claimed = db.claim(&emails, 5).await;
    let at = |n: usize| claimed[n].id;
    // The second has moved; the third is another's by now, in its old place; the fourth is locked.
    let moved = "update queue_emails set progress = 0.5 where id = $1";
    sqlx::query(moved).bind(claimed[1].id.job_id().get()).execute(&db.pool).await.unwrap();
    let lost = "update queue_emails set lease_token = lease_token + 1 where id = $1 returning ctid";
    let place: TupleId = sqlx::query_scalar(lost).bind(claimed[2].id.job_id().get()).fetch_one(&db.pool).await.unwrap();
    let mut locker = db.pool.begin().await.unwrap();
    let lock = "select from queue_emails where id = $1 for update";
    sqlx::query(lock).bind(claimed[3].id.job_id().get()).execute(&mut *locker).await.unwrap();

    let jobs = [at(0), at(1), at(2).at(place), at(3), at(4).at(at(0).place())];
    let done = soon(jobs::complete_at(&db.pool, &emails, &jobs, false)).await.unwrap();
    assert!(done.contains(claimed[0].id) && done.len() == 1, "{done:?}");
    locker.rollback().await.unwrap();
    let ids: Vec<_> = claimed.iter().map(|job| job.id).collect();
    let done = jobs::complete(&db.pool, &emails, &ids).await.unwrap();
    assert_eq!(ids.iter().filter(|id| done.contains(**id)).collect::<Vec<_>>(), [&ids[1], &ids[3], &ids[4]]);
}
