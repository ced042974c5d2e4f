//! Cancelling: at once while a job waits, and whatever ends its attempt while it runs.

use std::time::Duration;

use pg_queue_core::{
    JobId, QueueTable, WorkerId,
    history::{self, FinishedState},
    jobs::{self, Became, Cancelling, Claimant, EndedAttempt, Ending, LeaseError, PushOptions, Rescued},
    workers::{self, Registration},
};
use sqlx::postgres::PgListener;

use crate::support::{Db, LONG, database, failed, given_back, soon, wait_for_lock};

async fn cancel(db: &Db, queue: &QueueTable, id: JobId) -> Vec<Cancelling> {
    jobs::cancel(&db.pool, queue, &[id], None).await.unwrap()
}

/// The state in which a job finished.
async fn finished(db: &Db, id: JobId) -> Option<FinishedState> {
    history::get(&db.pool, &db.schema, id).await.unwrap().map(|job| job.state)
}

#[tokio::test]
async fn a_waiting_job_is_cancelled_at_once_with_a_note() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let ids = [
        db.push(&emails, "send").await,
        db.push_with(&emails, "send", PushOptions::default().delay(LONG).tag("later").unique_key("k")).await,
    ];
    let cancelled = jobs::cancel(&db.pool, &emails, &ids, Some("not needed")).await.unwrap();
    assert_eq!(cancelled.len(), 2);
    assert!(cancelled.iter().all(|job| !job.running));
    assert!(db.claim(&emails, 10).await.is_empty());
    for id in ids {
        let job = history::get(&db.pool, &db.schema, id).await.unwrap().unwrap();
        assert_eq!((job.state, job.attempt, job.started_at), (FinishedState::Cancelled, 0, None));
        let error = &job.errors[0];
        assert_eq!((error.error.as_str(), error.attempt, error.took), ("not needed", 0, None));
    }
    assert_eq!(history::get(&db.pool, &db.schema, ids[1]).await.unwrap().unwrap().tags, ["later"]);
    assert!(cancel(&db, &emails, ids[0]).await.is_empty(), "it is not there any more");
    // Its key is free.
    assert!(!matches!(
        db.push_with(&emails, "send", PushOptions::default().unique_key("k")).await,
        id if ids.contains(&id)
    ));
}

#[tokio::test]
async fn a_running_job_is_marked_and_its_worker_is_told() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let mut listener = PgListener::connect_with(&db.pool).await.unwrap();
    listener.listen("pg_queue.public").await.unwrap();
    let id = db.push(&emails, "send").await;
    let job = db.claim(&emails, 1).await.remove(0);
    assert_eq!(cancel(&db, &emails, id).await, [Cancelling { id, running: true }]);
    assert_eq!(soon(listener.recv()).await.unwrap().payload(), format!("cancel:emails:{id}"));
    let held = jobs::held(&db.pool, &emails, &[job.id]).await.unwrap();
    assert!(held.contains(job.id) && held.is_to_be_cancelled(job.id));
    assert!(jobs::get(&db.pool, &emails, id).await.unwrap().unwrap().cancel_requested);
    // Once more is fine, and tells once more.
    assert_eq!(cancel(&db, &emails, id).await, [Cancelling { id, running: true }]);
    assert_eq!(soon(listener.recv()).await.unwrap().payload(), format!("cancel:emails:{id}"));
}

#[tokio::test]
async fn a_job_that_is_to_be_cancelled_is_not_tried_again_whatever_its_attempt_ends_as() {
    let db = database().await;
    let emails = db.queue("emails").await;
    for ending in [Ending::Retry(Duration::ZERO), Ending::Release(None), Ending::Release(Some(LONG)), Ending::Cancel] {
        let id = db.push(&emails, "send").await;
        let job = db.claim(&emails, 1).await.remove(0);
        cancel(&db, &emails, id).await;
        let ended = EndedAttempt { ending, took: Some(Duration::from_millis(1234)), ..failed(job.id, "no route") };
        let ended = jobs::end(&db.pool, &emails, &[ended]).await.unwrap();
        assert_eq!(ended.became(job.id), Some(Became::Cancelled), "{ending:?}");
        let kept = history::get(&db.pool, &db.schema, id).await.unwrap().unwrap();
        assert_eq!((kept.state, kept.attempt), (FinishedState::Cancelled, 1));
        assert_eq!(kept.errors[0].error, "no route");
        assert_eq!(kept.errors[0].took, Some(Duration::from_millis(1234)));
        assert!(kept.started_at.is_some());
    }
    assert_eq!(db.count("select count(*) from queue_emails").await, 0);
    // Discarded is discarded, and what was done is done.
    let id = db.push(&emails, "send").await;
    let job = db.claim(&emails, 1).await.remove(0);
    cancel(&db, &emails, id).await;
    let discard = EndedAttempt { ending: Ending::Discard, ..failed(job.id, "no such user") };
    assert_eq!(jobs::end(&db.pool, &emails, &[discard]).await.unwrap().became(job.id), Some(Became::Discarded));
    let id = db.push(&emails, "send").await;
    let job = db.claim(&emails, 1).await.remove(0);
    cancel(&db, &emails, id).await;
    assert!(jobs::complete(&db.pool, &emails, &[job.id]).await.unwrap().contains(job.id));
    assert_eq!(finished(&db, id).await, None);
}

#[tokio::test]
async fn the_jobs_of_the_dead_that_are_to_be_cancelled_do_not_come_back() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let worker = Registration {
        id: WorkerId::random(),
        name: "host 1".to_owned(),
        queues: vec![emails.queue().clone()],
        kinds: vec!["send".to_owned()],
        beat_interval: Duration::from_secs(5),
    };
    workers::register(&db.pool, &db.schema, &worker).await.unwrap();
    let ids = [db.push(&emails, "send").await, db.push(&emails, "send").await];
    db.claim_as(&emails, Claimant::Worker(worker.id), 2).await;
    cancel(&db, &emails, ids[0]).await;
    let mut rescued = jobs::rescue(&db.pool, &emails, &[worker.id], 10).await.unwrap();
    rescued.sort_by_key(|job| job.id);
    assert_eq!(
        rescued,
        [Rescued { id: ids[0], became: Became::Cancelled }, Rescued { id: ids[1], became: Became::Retried }]
    );
    assert_eq!(finished(&db, ids[0]).await, Some(FinishedState::Cancelled));

    // And those that the worker claimed without learning of it.
    let job = db.claim_as(&emails, Claimant::Worker(worker.id), 2).await.remove(0);
    cancel(&db, &emails, job.id.job_id()).await;
    let released = jobs::release_orphans(&db.pool, &emails, worker.id, &[], 10).await.unwrap();
    assert_eq!(released, [Rescued { id: ids[1], became: Became::Cancelled }]);
    assert_eq!(finished(&db, ids[1]).await, Some(FinishedState::Cancelled));
}

#[tokio::test]
async fn a_popped_job_that_is_to_be_cancelled_is_not_popped_again() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let id = db.push(&emails, "send").await;
    let job = db.claim_and_let_expire(&emails).await;
    cancel(&db, &emails, id).await;
    assert!(db.claim(&emails, 1).await.is_empty());
    assert_eq!(jobs::discard_expired(&db.pool, &emails, 10).await.unwrap(), [id]);
    assert_eq!(finished(&db, id).await, Some(FinishedState::Cancelled));
    let done = jobs::complete_one(&db.pool, &emails, job.id, None).await;
    assert!(matches!(done, Err(LeaseError::Lost(_))));
}

#[tokio::test]
async fn a_cancel_and_a_claim_at_the_same_moment_come_one_after_the_other() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let id = db.push(&emails, "send").await;
    let mut claim = db.pool.begin().await.unwrap();
    sqlx::query("update queue_emails set lease_token = 7, attempt = 1").execute(&mut *claim).await.unwrap();
    let cancelling = tokio::spawn({
        let (pool, emails) = (db.pool.clone(), emails.clone());
        async move { jobs::cancel(&pool, &emails, &[id], None).await.unwrap() }
    });
    wait_for_lock(&db, "transactionid").await;
    claim.commit().await.unwrap();
    assert_eq!(cancelling.await.unwrap(), [Cancelling { id, running: true }]);
    assert_eq!(db.count("select count(*) from queue_emails where cancel_requested_at is not null").await, 1);
}

#[tokio::test]
async fn a_cancel_that_waits_for_a_completion_finds_nothing() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let id = db.push(&emails, "send").await;
    let job = db.claim(&emails, 1).await.remove(0);
    let mut completing = db.pool.begin().await.unwrap();
    jobs::complete_one(&mut *completing, &emails, job.id, None).await.unwrap();
    let cancelling = tokio::spawn({
        let (pool, emails) = (db.pool.clone(), emails.clone());
        async move { jobs::cancel(&pool, &emails, &[id], None).await.unwrap() }
    });
    wait_for_lock(&db, "transactionid").await;
    completing.commit().await.unwrap();
    assert!(cancelling.await.unwrap().is_empty());
    assert_eq!(finished(&db, id).await, None);
}

#[tokio::test]
async fn cancels_and_ends_at_once_leave_each_job_in_one_place() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let ids = db.push_many(&emails, &vec![1; 300], &PushOptions::default()).await;
    let claimed = db.claim(&emails, 150).await;
    let cancels = (0..3).map(|part| {
        let (pool, emails) = (db.pool.clone(), emails.clone());
        let mine: Vec<JobId> = ids.iter().copied().skip(part * 100).take(100).collect();
        tokio::spawn(async move {
            for chunk in mine.chunks(7) {
                jobs::cancel(&pool, &emails, chunk, None).await.unwrap();
            }
        })
    });
    let cancels: Vec<_> = cancels.collect();
    for chunk in claimed.chunks(11) {
        let mut left: Vec<_> = chunk.iter().map(|job| given_back(job.id)).collect();
        while !left.is_empty() {
            let ended = jobs::end(&db.pool, &emails, &left).await.unwrap();
            left.retain(|attempt| !ended.contains(attempt.id));
        }
    }
    for cancel in cancels {
        cancel.await.unwrap();
    }
    // What was given back before anybody wanted it cancelled was cancelled while it waited, or waits still unmarked.
    assert_eq!(db.count("select count(*) from queue_emails where cancel_requested_at is not null").await, 0);
    let waiting = db.count("select count(*) from queue_emails").await;
    assert_eq!(waiting, 0, "every job was cancelled by somebody");
    assert_eq!(db.count("select count(*) from pg_queue_history where state = 'cancelled'").await, 300);
    assert_eq!(db.count("select count(distinct id) from pg_queue_history").await, 300);
}
