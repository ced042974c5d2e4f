//! Leases: who may end a job, and what becomes of it.

use std::time::Duration;

use pg_queue_core::{LeasedJobId, PushOptions, jobs::LeaseError};
use sqlx::Connection;

use crate::support::{Db, database, eventually, next_job};

const TINY: Duration = Duration::from_millis(20);

/// A lease that has run out, and the one under which somebody else has the job now.
async fn stale_and_current(db: &Db, queue: &pg_queue_core::QueueName) -> (LeasedJobId, LeasedJobId) {
    db.mgr.queue.push(queue, &1).await.unwrap();
    let stale = db.mgr.queue.pop_for::<u8>(queue, TINY).await.unwrap().unwrap().id;
    let current = next_job::<u8>(&db.mgr, queue).await.id;
    assert_eq!((current.job_id(), current.attempt()), (stale.job_id(), 2));
    (stale, current)
}

#[tokio::test]
async fn a_stale_complete_is_an_error_and_changes_nothing() {
    let db = database().await;
    let work = db.queue("work").await;
    let (stale, current) = stale_and_current(&db, &work).await;
    let error = db.mgr.queue.complete(&work, stale).await.unwrap_err();
    assert!(matches!(error, LeaseError::Lost(_)), "{error}");
    assert!(error.to_string().contains(&format!("job {stale} is lost")), "{error}");
    assert!(matches!(db.mgr.queue.fail(&work, stale).await, Err(LeaseError::Lost(_))));
    assert!(matches!(db.mgr.queue.extend(&work, stale, TINY).await, Err(LeaseError::Lost(_))));
    assert_eq!(db.mgr.queue.complete_many(&work, &[stale]).await.unwrap().len(), 1);
    let failed = db.mgr.queue.fail_many(&work, &[(stale, "too late".to_owned())]).await.unwrap();
    assert_eq!(failed.len(), 1);
    assert_eq!(db.count("select count(*) from queue_work where lease_token is not null and errors is null").await, 1);
    db.mgr.queue.complete(&work, current).await.unwrap();
}

#[tokio::test]
async fn an_extended_lease_keeps_the_job() {
    let db = database().await;
    let work = db.queue("work").await;
    db.mgr.queue.push(&work, &1).await.unwrap();
    db.mgr.queue.push(&work, &2).await.unwrap();
    let first = db.mgr.queue.pop_for::<u8>(&work, Duration::from_secs(5)).await.unwrap().unwrap();
    db.mgr.queue.extend(&work, first.id, Duration::from_secs(600)).await.unwrap();
    assert_eq!(db.count("select count(*) from queue_work where lease_until > now() + interval '500 s'").await, 1);
    // Shortened to nothing it runs out.
    db.mgr.queue.extend(&work, first.id, Duration::ZERO).await.unwrap();
    let again = next_job::<u8>(&db.mgr, &work).await;
    assert_eq!(again.id.job_id(), first.id.job_id());
}

#[tokio::test]
async fn a_failed_job_comes_back_after_its_delay_with_its_error() {
    let db = database().await;
    let work = db.queue("work").await;
    db.mgr.queue.push(&work, &1).await.unwrap();
    let job = next_job::<u8>(&db.mgr, &work).await;
    db.mgr.queue.fail_with(&work, job.id, "no route to host").await.unwrap();
    assert_eq!(db.mgr.queue.pending_count(&work).await.unwrap(), 1);
    let delayed =
        "select count(*) from queue_work where run_at between now() + interval '0.5 s' and now() + interval '1.2 s'
        and errors -> 0 ->> 'error' = 'no route to host'";
    assert_eq!(db.count(delayed).await, 1);
    assert!(db.mgr.queue.pop::<u8>(&work).await.unwrap().is_none());
    let again = next_job::<u8>(&db.mgr, &work).await;
    assert_eq!((again.id.job_id(), again.id.attempt()), (job.id.job_id(), 2));
}

#[tokio::test]
async fn a_job_is_discarded_into_the_history_after_its_last_attempt() {
    let db = database().await;
    let work = db.queue("work").await;
    db.mgr.queue.push_with(&work, "once", &1, PushOptions::default().max_attempts(1)).await.unwrap();
    let job = next_job::<u8>(&db.mgr, &work).await;
    db.mgr.queue.fail(&work, job.id).await.unwrap();
    assert_eq!(db.count("select count(*) from queue_work").await, 0);
    let kept = "select count(*) from pg_queue_history where state = 'discarded' and kind = 'once'
        and errors -> 0 ->> 'error' like 'failed by its consumer%'";
    assert_eq!(db.count(kept).await, 1);
}

#[tokio::test]
async fn a_job_whose_last_lease_ran_out_is_discarded_by_whoever_finds_nothing() {
    let db = database().await;
    let work = db.queue("work").await;
    db.mgr.queue.push_with(&work, "once", &1, PushOptions::default().max_attempts(1)).await.unwrap();
    db.mgr.queue.pop_for::<u8>(&work, TINY).await.unwrap().unwrap();
    eventually("the job is discarded", async || {
        assert!(db.mgr.queue.pop::<u8>(&work).await.unwrap().is_none());
        db.count("select count(*) from pg_queue_history where state = 'discarded'").await == 1
    })
    .await;
}

#[tokio::test]
async fn completing_and_failing_wait_for_a_row_that_another_transaction_has_locked() {
    let db = database().await;
    let work = db.queue("work").await;
    db.mgr.queue.push_many(&work, &[1, 2, 3, 4]).await.unwrap();
    let jobs = db.mgr.queue.pop_many::<u8>(&work, 4).await.unwrap();
    let ids: Vec<LeasedJobId> = jobs.into_iter().map(|job| job.unwrap().id).collect();
    let mut other = sqlx::PgConnection::connect(db.database.url()).await.unwrap();
    let mut lock = other.begin().await.unwrap();
    sqlx::query("select from queue_work for update").execute(&mut *lock).await.unwrap();
    let waiting = tokio::spawn({
        let (mgr, work, ids) = (db.mgr.clone(), work.clone(), ids.clone());
        async move {
            let failing = [(ids[2], "a".to_owned()), (ids[3], "b".to_owned())];
            let (completed, failed) =
                tokio::join!(mgr.queue.complete_many(&work, &ids[..2]), mgr.queue.fail_many(&work, &failing));
            (completed.unwrap().len(), failed.unwrap().len())
        }
    });
    eventually("both wait for the lock", async || {
        db.count(
            "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'",
        )
        .await
            == 2
    })
    .await;
    lock.commit().await.unwrap();
    assert_eq!(waiting.await.unwrap(), (0, 0));
    assert_eq!(db.count("select count(*) from queue_work").await, 2);
    assert_eq!(db.count("select count(*) from queue_work where errors is not null and lease_token is null").await, 2);
}

#[tokio::test]
async fn what_was_pushed_cannot_be_completed_twice_in_a_batch_with_a_live_one() {
    let db = database().await;
    let work = db.queue("work").await;
    db.mgr.queue.push_many(&work, &[1, 2]).await.unwrap();
    let jobs = db.mgr.queue.pop_many::<u8>(&work, 2).await.unwrap();
    let ids: Vec<LeasedJobId> = jobs.into_iter().map(|job| job.unwrap().id).collect();
    db.mgr.queue.complete(&work, ids[0]).await.unwrap();
    let lost = db.mgr.queue.complete_many(&work, &ids).await.unwrap();
    assert_eq!(lost.iter().map(|lost| lost.0).collect::<Vec<_>>(), [ids[0]]);
}

/// It pops, forgets what it has, and goes on: what it still does must not keep alive what it has forgotten.
#[tokio::test]
async fn a_job_that_its_consumer_forgets_comes_back_while_the_consumer_goes_on() {
    let db = database().await;
    let work = db.queue("work").await;
    let forgotten = db.mgr.queue.push(&work, &0).await.unwrap();
    let lease = Duration::from_millis(300);
    let mut popped = Vec::new();
    for n in 1.. {
        // Another job is there each time, and is extended and completed as it should be.
        db.mgr.queue.push(&work, &n).await.unwrap();
        let job = db.mgr.queue.pop_for::<u32>(&work, lease).await.unwrap().unwrap();
        popped.push((job.id.job_id(), job.id.attempt()));
        if job.id.job_id() != forgotten {
            db.mgr.queue.extend(&work, job.id, lease).await.unwrap();
            db.mgr.queue.complete(&work, job.id).await.unwrap();
        } else if job.id.attempt() == 2 {
            break;
        }
        assert!(n < 100_000);
    }
    assert_eq!(popped.first(), Some(&(forgotten, 1)));
}
