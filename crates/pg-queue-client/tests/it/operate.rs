//! What an operator does to unfinished jobs: cancel, retry, purge, pause.

use std::time::Duration;

use pg_queue_client::{CancelOutcome, Cancelled, RetryOutcome, SettingError};
use pg_queue_core::{
    JobFilter, JobState, PushOptions, PushOutcome, QueueError, QueueName, Unique,
    history::{FinishedState, HistoryFilter},
    jobs::NewJob,
};

use crate::support::{Db, LONG, database, eventually};

fn emails() -> QueueName {
    QueueName::new("emails").unwrap()
}

async fn with_emails() -> Db {
    let db = database().await;
    db.queue("emails").await;
    db
}

const HOUR: Duration = Duration::from_secs(3600);

async fn push(db: &Db, kind: &str, options: PushOptions) -> pg_queue_core::JobId {
    db.mgr.queue.push_with(&emails(), kind, &1, options).await.unwrap().id()
}

#[tokio::test]
async fn a_cancel_says_what_became_of_it() {
    let db = with_emails().await;
    let queue = &db.mgr.queue;
    let waiting = push(&db, "send", PushOptions::default()).await;
    assert_eq!(queue.cancel(&emails(), waiting).await.unwrap(), CancelOutcome::Cancelled);
    let finished = CancelOutcome::Finished(FinishedState::Cancelled);
    assert_eq!(queue.cancel(&emails(), waiting).await.unwrap(), finished, "and stays so");

    let running = push(&db, "send", PushOptions::default()).await;
    let popped = queue.pop::<i64>(&emails()).await.unwrap().unwrap();
    assert_eq!(queue.cancel(&emails(), running).await.unwrap(), CancelOutcome::Cancelling);
    queue.complete(&emails(), popped.id).await.unwrap();
    assert_eq!(queue.cancel(&emails(), running).await.unwrap(), CancelOutcome::NotFound);

    let missing = queue.cancel(&QueueName::new("nowhere").unwrap(), running).await;
    assert!(matches!(missing, Err(QueueError::Missing(_))));
}

#[tokio::test]
async fn a_popped_job_that_was_cancelled_is_not_tried_again() {
    let db = with_emails().await;
    let queue = &db.mgr.queue;
    let id = push(&db, "send", PushOptions::default()).await;
    let popped = queue.pop::<i64>(&emails()).await.unwrap().unwrap();
    queue.cancel(&emails(), id).await.unwrap();
    queue.fail_with(&emails(), popped.id, "no route").await.unwrap();
    let past = db.mgr.history.get(id).await.unwrap().unwrap();
    assert_eq!((past.state, past.errors[0].error.as_str()), (FinishedState::Cancelled, "no route"));
}

#[tokio::test]
async fn a_retry_says_what_became_of_it() {
    let db = with_emails().await;
    let queue = &db.mgr.queue;
    let later = push(&db, "send", PushOptions::default().delay(HOUR)).await;
    assert!(queue.pop::<i64>(&emails()).await.unwrap().is_none());
    assert_eq!(queue.retry(&emails(), later).await.unwrap(), RetryOutcome::Hastened);
    let popped = queue.pop::<i64>(&emails()).await.unwrap().unwrap();
    assert_eq!(queue.retry(&emails(), later).await.unwrap(), RetryOutcome::Running);
    queue.complete(&emails(), popped.id).await.unwrap();
    assert_eq!(queue.retry(&emails(), later).await.unwrap(), RetryOutcome::NotFound);

    let unique = || PushOptions::default().unique(Unique::key("k"));
    let first = push(&db, "send", unique()).await;
    queue.cancel(&emails(), first).await.unwrap();
    let second = push(&db, "send", unique()).await;
    assert_eq!(queue.retry(&emails(), first).await.unwrap(), RetryOutcome::KeyTaken);
    queue.cancel(&emails(), second).await.unwrap();
    assert_eq!(queue.retry(&emails(), first).await.unwrap(), RetryOutcome::Retried);
    assert_eq!(queue.pop::<i64>(&emails()).await.unwrap().unwrap().id.job_id(), first);
}

#[tokio::test]
async fn a_retry_waits_for_whoever_has_locked_the_job() {
    let db = with_emails().await;
    let later = push(&db, "send", PushOptions::default().delay(HOUR)).await;
    let mut open = db.pool.begin().await.unwrap();
    sqlx::query("update queue_emails set priority = 1").execute(&mut *open).await.unwrap();
    let retrying = tokio::spawn({
        let queue = db.mgr.queue.clone();
        async move { queue.retry(&emails(), later).await.unwrap() }
    });
    let waiting = "select count(*) from pg_stat_activity
        where wait_event = 'transactionid' and datname = current_database()";
    eventually("it waits for the row", async || db.count(waiting).await == 1).await;
    open.commit().await.unwrap();
    assert_eq!(retrying.await.unwrap(), RetryOutcome::Hastened);
}

#[tokio::test]
async fn many_are_cancelled_hastened_and_purged_in_steps() {
    let db = with_emails().await;
    let queue = &db.mgr.queue;
    let job = |kind: &str| {
        let mut job = NewJob::new(kind, &1).unwrap();
        job.options = PushOptions::default().delay(HOUR).tag(kind.to_owned());
        job
    };
    let jobs: Vec<NewJob> = (0..2500).flat_map(|_| [job("cancelled"), job("hastened"), job("purged")]).collect();
    let pushed = queue.push_jobs(&emails(), jobs).await.unwrap();
    assert!(pushed.iter().all(|outcome| matches!(outcome, PushOutcome::Enqueued(_))));
    // Some of each run.
    sqlx::query("update queue_emails set lease_token = 1 where id % 10 = 0").execute(&db.pool).await.unwrap();
    let running = async |kind: &str| {
        let filter = JobFilter::default().kind(kind).state(JobState::Running);
        queue.jobs(&emails(), &filter, None, 10_000).await.unwrap().len() as u64
    };
    let by = |kind: &str| JobFilter::default().tag(kind);
    let cancelled = queue.cancel_all(&emails(), &by("cancelled")).await.unwrap();
    let cancelling = running("cancelled").await;
    assert!(cancelling > 100);
    let Cancelled { cancelled, cancelling: told, .. } = cancelled;
    assert_eq!((cancelled, told), (2500 - cancelling, cancelling));
    assert_eq!(queue.retry_all(&emails(), &by("hastened")).await.unwrap(), 2500 - running("hastened").await);
    assert_eq!(queue.purge(&emails(), &by("purged")).await.unwrap(), 2500 - running("purged").await);
    let stats = queue.stats(&emails()).await.unwrap();
    assert_eq!((stats.scheduled, stats.waiting), (0, 2500 - running("hastened").await));
    assert_eq!(stats.cancelling, cancelling);
    // Nothing given means all.
    assert_eq!(queue.purge(&emails(), &JobFilter::default()).await.unwrap(), stats.waiting);
    assert_eq!(db.mgr.history.delete_all(&HistoryFilter::default()).await.unwrap(), cancelled);
}

/// Somebody's transaction has locked a job, for as long as it likes. The others must not be locked for as long.
#[tokio::test]
async fn cancelling_many_holds_no_job_while_it_waits_for_one() {
    let db = with_emails().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(push(&db, "send", PushOptions::default()).await);
    }
    let mut open = db.pool.begin().await.unwrap();
    let lock = sqlx::query("update queue_emails set priority = 1 where id = $1").bind(ids[1].get());
    lock.execute(&mut *open).await.unwrap();
    let cancelling = tokio::spawn({
        let queue = db.mgr.queue.clone();
        async move { queue.cancel_all(&emails(), &JobFilter::default()).await.unwrap() }
    });
    let waiting = "select count(*) from pg_stat_activity
        where wait_event = 'transactionid' and datname = current_database()";
    eventually("it waits for the row", async || db.count(waiting).await == 1).await;
    assert_eq!(db.count("select count(*) from pg_queue_history").await, 2);
    open.commit().await.unwrap();
    assert_eq!(cancelling.await.unwrap().cancelled, 3);
}

/// As many jobs come as go. The walk ends where the queue ended when it got there.
#[tokio::test]
async fn what_is_done_to_all_jobs_ends_in_a_busy_queue_too() {
    let db = with_emails().await;
    sqlx::raw_sql(
        "create function come() returns trigger language plpgsql as
            $$ begin insert into queue_emails (payload) values ('1'); return null; end $$;
         create trigger come after delete on queue_emails for each row execute function come()",
    )
    .execute(&db.pool)
    .await
    .unwrap();
    push(&db, "send", PushOptions::default()).await;
    let (queue, emails, all) = (&db.mgr.queue, emails(), JobFilter::default());
    let purge = queue.purge(&emails, &all);
    assert_eq!(tokio::time::timeout(LONG, purge).await.expect("it ends").unwrap(), 1);
    let cancel = queue.cancel_all(&emails, &all);
    assert_eq!(tokio::time::timeout(LONG, cancel).await.expect("it ends").unwrap().cancelled, 1);
}

#[tokio::test]
async fn a_paused_queue_gives_nothing_until_it_is_resumed() {
    let db = with_emails().await;
    let queue = &db.mgr.queue;
    push(&db, "send", PushOptions::default()).await;
    queue.pause(&emails()).await.unwrap();
    assert!(queue.settings(&emails()).await.unwrap().paused);
    assert!(queue.pop::<i64>(&emails()).await.unwrap().is_none());
    assert_eq!(queue.pending_count(&emails()).await.unwrap(), 1);
    queue.resume(&emails()).await.unwrap();
    assert!(queue.pop::<i64>(&emails()).await.unwrap().is_some());
}

#[tokio::test]
async fn settings_out_of_range_or_of_no_queue_are_refused() {
    let db = with_emails().await;
    let queue = &db.mgr.queue;
    for jobs in [0, 1_000_001] {
        let refused = queue.set_concurrency(&emails(), Some(jobs)).await;
        assert!(matches!(refused, Err(SettingError::Concurrency(refused)) if refused == jobs));
    }
    queue.set_concurrency(&emails(), Some(1)).await.unwrap();
    queue.keep(&emails(), Some(Duration::ZERO), HOUR).await.unwrap();
    let settings = queue.settings(&emails()).await.unwrap();
    assert_eq!((settings.concurrency, settings.keep_completed, settings.keep_discarded), (Some(1), None, HOUR));
    let nowhere = QueueName::new("nowhere").unwrap();
    assert!(matches!(queue.settings(&nowhere).await, Err(QueueError::Missing(_))));
    assert!(matches!(queue.pause(&nowhere).await, Err(QueueError::Missing(_))));
    let refused = queue.set_concurrency(&nowhere, None).await;
    assert!(matches!(refused, Err(SettingError::Queue(QueueError::Missing(_)))));
}

#[tokio::test]
async fn whoever_pops_by_hand_gets_jobs_that_workers_have_parked() {
    let db = with_emails().await;
    push(&db, "anything", PushOptions::default()).await;
    sqlx::query("update queue_emails set parked = 'kind'").execute(&db.pool).await.unwrap();
    assert!(db.mgr.queue.pop::<i64>(&emails()).await.unwrap().is_some());
}
