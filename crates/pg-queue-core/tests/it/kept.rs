//! Completed jobs that are kept, and finished jobs that are looked at, put back or forgotten.

use std::time::Duration;

use pg_queue_core::{
    JobId, Priority, QueueTable, WorkerId,
    history::{self, Edit, FinishedState, HistoryFilter},
    jobs::{self, Became, Claimant, Kept, LeaseError, PushError, PushOptions},
    queues,
};
use serde_json::json;

use crate::support::{Db, LONG, database, failed, given_up, raw_jobs, stop_at, wait_for_lock};

fn kept(output: Option<&str>) -> Kept {
    Kept { time: LONG, output: output.map(str::to_owned) }
}

/// A job of this queue that was discarded.
async fn discarded(db: &Db, queue: &QueueTable, kind: &str, options: PushOptions) -> JobId {
    let id = db.push_with(queue, kind, options).await;
    let job = db.claim(queue, 1).await.remove(0);
    assert_eq!(job.id.job_id(), id);
    jobs::end(&db.pool, queue, &[given_up(job.id, "no such user")]).await.unwrap();
    id
}

async fn retry(db: &Db, queue: &QueueTable, ids: &[JobId]) -> Vec<JobId> {
    let mut back = history::retry(&db.pool, queue, ids, &Edit::default()).await.unwrap();
    back.sort();
    back
}

#[tokio::test]
async fn a_kept_job_is_in_the_history_with_its_output_and_its_errors() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let options = PushOptions::default().tag("a").metadata("tenant", 17).timeout(LONG).unique_key("k");
    let id = db.push_with(&emails, "send", options).await;
    let first = db.claim(&emails, 1).await.remove(0);
    jobs::end(&db.pool, &emails, &[failed(first.id, "no route")]).await.unwrap();
    let worker = WorkerId::random();
    let second = db.claim_as(&emails, Claimant::Worker(worker), 1).await.remove(0);
    let done = jobs::complete_kept(&db.pool, &emails, &[(second.id, kept(Some("{\"sent\":true}")))]).await.unwrap();
    assert_eq!(done.became(second.id), Some(Became::Completed));
    assert_eq!(db.count("select count(*) from queue_emails").await, 0);
    let job = history::get(&db.pool, &db.schema, id).await.unwrap().unwrap();
    assert_eq!((job.state, job.queue.as_str(), job.kind.as_str()), (FinishedState::Completed, "emails", "send"));
    assert_eq!((job.attempt, job.worker, job.output.as_deref()), (2, Some(worker), Some("{\"sent\":true}")));
    assert_eq!((job.errors.len(), job.tags.as_slice()), (1, ["a".to_owned()].as_slice()));
    assert_eq!((job.metadata["tenant"].as_i64(), job.unique_key.as_deref()), (Some(17), Some("k")));
    assert_eq!(job.keep_until.duration_since(job.finished_at).unwrap(), LONG);
    assert!(job.started_at.unwrap() <= job.finished_at);
    assert_eq!(db.count("select timeout_ms from pg_queue_history").await, 600_000);
}

#[tokio::test]
async fn a_lost_lease_keeps_nothing() {
    let db = database().await;
    let emails = db.queue("emails").await;
    db.push(&emails, "send").await;
    let stale = db.claim_and_let_expire(&emails).await;
    let live = db.claim(&emails, 1).await.remove(0);
    assert!(jobs::complete_kept(&db.pool, &emails, &[(stale.id, kept(None))]).await.unwrap().is_empty());
    let one = jobs::complete_one(&db.pool, &emails, stale.id, Some(&kept(None))).await;
    assert!(matches!(one, Err(LeaseError::Lost(_))));
    assert_eq!(db.count("select count(*) from pg_queue_history").await, 0);
    // In a transaction it goes with that.
    let mut transaction = db.pool.begin().await.unwrap();
    jobs::complete_one(&mut *transaction, &emails, live.id, Some(&kept(Some("7")))).await.unwrap();
    transaction.rollback().await.unwrap();
    assert_eq!(db.count("select count(*) from pg_queue_history").await, 0);
    let batch = [(stale.id, kept(Some("1"))), (live.id, kept(Some("2")))];
    let done = jobs::complete_kept(&db.pool, &emails, &batch).await.unwrap();
    assert!(done.contains(live.id) && !done.contains(stale.id));
    assert_eq!(
        history::get(&db.pool, &db.schema, live.id.job_id()).await.unwrap().unwrap().output.as_deref(),
        Some("2")
    );
}

#[tokio::test]
async fn discarded_jobs_are_kept_for_as_long_as_their_queue_says() {
    let db = database().await;
    let emails = db.queue("emails").await;
    queues::keep(&db.pool, &emails, None, Duration::from_secs(3600)).await.unwrap();
    let id = discarded(&db, &emails, "send", PushOptions::default()).await;
    let job = history::get(&db.pool, &db.schema, id).await.unwrap().unwrap();
    assert_eq!(job.keep_until.duration_since(job.finished_at).unwrap(), Duration::from_secs(3600));
}

#[tokio::test]
async fn a_retried_job_is_the_same_job_with_its_attempts_before_it() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let options = || PushOptions::default().tag("a").metadata("tenant", 17).max_attempts(3).unique_key("k");
    let id = discarded(&db, &emails, "send", options()).await;
    assert_eq!(retry(&db, &emails, &[id]).await, [id]);
    assert!(history::get(&db.pool, &db.schema, id).await.unwrap().is_none());
    let again = db.claim(&emails, 1).await.remove(0);
    assert_eq!((again.id.job_id(), again.id.attempt(), again.max_attempts), (id, 1, 3));
    assert_eq!((again.tags.as_slice(), again.metadata["tenant"].as_i64()), (["a".to_owned()].as_slice(), Some(17)));
    let stored = jobs::get(&db.pool, &emails, id).await.unwrap().unwrap();
    assert_eq!((stored.errors.len(), stored.unique_key.as_deref()), (1, Some("k")));
    assert!(retry(&db, &emails, &[id]).await.is_empty(), "it is not in the history any more");
}

#[tokio::test]
async fn a_job_is_retried_with_another_payload_and_policy() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let id = discarded(&db, &emails, "send", PushOptions::default()).await;
    let edit =
        Edit::default().payload(&json!({"to": "b"})).unwrap().priority(Priority::HIGHEST).max_attempts(1).unwrap();
    assert!(matches!(Edit::default().max_attempts(0), Err(PushError::InvalidMaxAttempts(0))));
    assert_eq!(history::retry(&db.pool, &emails, &[id], &edit).await.unwrap(), [id]);
    let again = db.claim(&emails, 1).await.remove(0);
    assert_eq!((again.payload.as_str(), again.priority, again.max_attempts), ("{\"to\":\"b\"}", Priority::HIGHEST, 1));
}

#[tokio::test]
async fn a_job_whose_key_another_one_holds_stays_in_the_history() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let first = discarded(&db, &emails, "send", PushOptions::default().unique_key("k")).await;
    let free = discarded(&db, &emails, "send", PushOptions::default()).await;
    db.push_with(&emails, "send", PushOptions::default().unique_key("k")).await;
    assert_eq!(retry(&db, &emails, &[first, free]).await, [free]);
    assert!(history::get(&db.pool, &db.schema, first).await.unwrap().is_some());
}

#[tokio::test]
async fn a_job_of_another_queue_is_not_retried_into_this_one() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let images = db.queue("images").await;
    let id = discarded(&db, &emails, "send", PushOptions::default()).await;
    assert!(retry(&db, &images, &[id]).await.is_empty());
    assert_eq!(retry(&db, &emails, &[id]).await, [id]);
}

#[tokio::test]
async fn of_two_who_retry_at_once_one_does() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let mut ids = Vec::new();
    for _ in 0..40 {
        ids.push(discarded(&db, &emails, "send", PushOptions::default()).await);
    }
    let edit = Edit::default();
    let (one, other) =
        tokio::join!(history::retry(&db.pool, &emails, &ids, &edit), history::retry(&db.pool, &emails, &ids, &edit));
    assert_eq!(one.unwrap().len() + other.unwrap().len(), 40);
    assert_eq!(db.count("select count(*) from queue_emails").await, 40);
    assert_eq!(db.count("select count(*) from pg_queue_history").await, 0);
}

/// Both are about the same two keys, and the jobs that come back were made in the opposite order of those.
#[tokio::test]
async fn jobs_that_come_back_and_a_batch_with_the_same_keys_do_not_deadlock() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let past = [
        discarded(&db, &emails, "send", PushOptions::default().unique_key("b")).await,
        discarded(&db, &emails, "send", PushOptions::default().unique_key("a")).await,
    ];
    let gate = stop_at(&db, "2").await;
    let pushing = tokio::spawn({
        let (pool, emails) = (db.pool.clone(), emails.clone());
        let batch =
            [("a", 1), ("b", 2)].map(|(key, n)| raw_jobs(&[n], &PushOptions::default().unique_key(key)).remove(0));
        async move { jobs::push_many(&mut pool.acquire().await.unwrap(), &emails, &batch).await }
    });
    wait_for_lock(&db, "advisory").await;
    let retrying = tokio::spawn({
        let (pool, emails) = (db.pool.clone(), emails.clone());
        async move { history::retry(&pool, &emails, &past, &Edit::default()).await }
    });
    wait_for_lock(&db, "transactionid").await;
    drop(gate);
    assert_eq!(pushing.await.unwrap().unwrap().len(), 2);
    assert!(retrying.await.unwrap().unwrap().is_empty());
}

/// The partitions hold the jobs in the opposite order of their ids.
#[tokio::test]
async fn one_who_retries_and_one_who_forgets_the_same_jobs_do_not_deadlock() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let mut ids = Vec::new();
    for days in [3, 2, 1] {
        queues::keep(&db.pool, &emails, None, Duration::from_secs(days * 24 * 3600)).await.unwrap();
        ids.push(discarded(&db, &emails, "send", PushOptions::default()).await);
    }
    let mut open = db.pool.begin().await.unwrap();
    let lock = "select from pg_queue_history where id = $1 for update";
    sqlx::query(lock).bind(ids[1].get()).execute(&mut *open).await.unwrap();
    let retrying = tokio::spawn({
        let (pool, emails, ids) = (db.pool.clone(), emails.clone(), ids.clone());
        async move { history::retry(&pool, &emails, &ids, &Edit::default()).await }
    });
    wait_for_lock(&db, "transactionid").await;
    let deleting = tokio::spawn({
        let (pool, schema, ids) = (db.pool.clone(), db.schema.clone(), ids.clone());
        async move { history::delete(&pool, &schema, &ids).await }
    });
    let both = "select count(*) from pg_stat_activity
        where datname = current_database() and wait_event in ('transactionid', 'tuple')";
    crate::support::until(async || db.count(both).await == 2).await;
    open.commit().await.unwrap();
    assert_eq!(retrying.await.unwrap().unwrap().len(), 3);
    assert!(deleting.await.unwrap().unwrap().is_empty());
}

#[tokio::test]
async fn finished_jobs_are_found_by_what_they_are_and_forgotten() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let images = db.queue("images").await;
    let mail = discarded(&db, &emails, "send", PushOptions::default().tag("a").tag("b")).await;
    let other = discarded(&db, &emails, "resend", PushOptions::default().tag("a")).await;
    let image = discarded(&db, &images, "send", PushOptions::default()).await;
    let unwanted = db.push(&emails, "send").await;
    jobs::cancel(&db.pool, &emails, &[unwanted], None).await.unwrap();
    let by = HistoryFilter::default;
    for (filter, found) in [
        (by(), vec![mail, other, image, unwanted]),
        (by().queue(emails.queue()), vec![mail, other, unwanted]),
        (by().queue(emails.queue()).kind("send"), vec![mail, unwanted]),
        (by().state(FinishedState::Discarded).kind("send"), vec![mail, image]),
        (by().state(FinishedState::Cancelled), vec![unwanted]),
        (by().state(FinishedState::Completed), vec![]),
        (by().tag("a"), vec![mail, other]),
        (by().tag("b").tag("a"), vec![mail]),
        (by().finished_before(std::time::SystemTime::UNIX_EPOCH), vec![]),
    ] {
        let listed = history::list(&db.pool, &db.schema, &filter, None, 100).await.unwrap();
        assert_eq!(listed.iter().map(|job| job.id).collect::<Vec<_>>(), found, "{filter:?}");
    }
    let page = history::list(&db.pool, &db.schema, &by(), Some(mail), 2).await.unwrap();
    assert_eq!(page.iter().map(|job| job.id).collect::<Vec<_>>(), [other, image]);
    assert_eq!(history::delete(&db.pool, &db.schema, &[mail, mail]).await.unwrap(), [mail]);
    assert!(history::delete(&db.pool, &db.schema, &[mail]).await.unwrap().is_empty());
}
