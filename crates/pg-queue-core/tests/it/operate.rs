//! What an operator does: look, delete, hasten, pause, limit, keep.

use std::time::Duration;

use pg_queue_core::{
    JobFilter, JobId, JobState, QueueError, QueueName, QueueTable, WorkerId,
    jobs::{self, Claimant, Progress, PushOptions},
    queues,
    workers::{self, Registration},
};

use crate::support::{Db, LONG, database, failed, table};

async fn list(db: &Db, queue: &QueueTable, filter: JobFilter) -> Vec<JobId> {
    jobs::list(&db.pool, queue, &filter, None, 100).await.unwrap().iter().map(|job| job.id).collect()
}

/// A queue with a job in each state: scheduled, waiting, parked, running.
async fn one_of_each(db: &Db, queue: &QueueTable) -> [JobId; 4] {
    let scheduled = db.push_with(queue, "send", PushOptions::default().delay(LONG).tag("a").tag("b")).await;
    let running = db.push_with(queue, "resend", PushOptions::default().tag("a").metadata("tenant", 17)).await;
    let claimed = db.claim(queue, 1).await.remove(0);
    assert_eq!(claimed.id.job_id(), running);
    let waiting = db.push_with(queue, "send", PushOptions::default().tag("b").unique_key("k")).await;
    let parked = db.push(queue, "unknown").await;
    sqlx::query("update queue_emails set parked = 'kind' where id = $1")
        .bind(parked.get())
        .execute(&db.pool)
        .await
        .unwrap();
    [scheduled, waiting, parked, running]
}

#[tokio::test]
async fn jobs_are_found_by_what_they_are() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let [scheduled, waiting, parked, running] = one_of_each(&db, &emails).await;
    let by = JobFilter::default;
    for (filter, found) in [
        (by(), vec![scheduled, running, waiting, parked]),
        (by().kind("send"), vec![scheduled, waiting]),
        (by().kind("send").kind("unknown"), vec![scheduled, waiting, parked]),
        (by().kind("nothing"), vec![]),
        (by().tag("a"), vec![scheduled, running]),
        (by().tag("a").tag("b"), vec![scheduled]),
        (by().state(JobState::Scheduled), vec![scheduled]),
        (by().state(JobState::Waiting), vec![waiting]),
        (by().state(JobState::Parked), vec![parked]),
        (by().state(JobState::Running).state(JobState::Waiting), vec![running, waiting]),
        (by().tag("a").state(JobState::Running), vec![running]),
        (by().created_before(std::time::SystemTime::UNIX_EPOCH), vec![]),
        (by().created_before(std::time::SystemTime::now() + LONG), vec![scheduled, running, waiting, parked]),
    ] {
        assert_eq!(list(&db, &emails, filter.clone()).await, found, "{filter:?}");
    }
    let page = jobs::list(&db.pool, &emails, &by(), Some(scheduled), 2).await.unwrap();
    assert_eq!(page.iter().map(|job| job.id).collect::<Vec<_>>(), [running, waiting]);
}

#[tokio::test]
async fn a_job_is_shown_with_all_that_is_known_of_it() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let id =
        db.push_with(&emails, "send", PushOptions::default().tag("a").metadata("tenant", 17).unique_key("k")).await;
    let first = db.claim(&emails, 1).await.remove(0);
    jobs::end(&db.pool, &emails, &[failed(first.id, "no route")]).await.unwrap();
    let worker = WorkerId::random();
    let second = db.claim_as(&emails, Claimant::Worker(worker), 1).await.remove(0);
    let progress = Progress { fraction: 0.5, note: "half-way".to_owned() };
    jobs::progress(&db.pool, &emails, &[(second.id, progress)]).await.unwrap();
    let job = jobs::get(&db.pool, &emails, id).await.unwrap().unwrap();
    assert_eq!((job.id, job.state, job.kind.as_str()), (id, JobState::Running, "send"));
    assert_eq!((job.attempt, job.max_attempts, job.worker), (2, 20, Some(worker)));
    assert_eq!((job.progress, job.progress_note.as_deref()), (Some(0.5), Some("half-way")));
    assert_eq!((job.unique_key.as_deref(), job.tags.as_slice()), (Some("k"), ["a".to_owned()].as_slice()));
    assert_eq!(job.metadata["tenant"], 17);
    assert!(job.created_at <= job.run_at && job.run_at <= job.started_at.unwrap());
    let error = &job.errors[0];
    assert_eq!((error.attempt, error.error.as_str(), error.worker.as_deref()), (1, "no route", None));
    assert!(error.took.unwrap() < LONG && error.at > job.created_at);
    assert!(jobs::get(&db.pool, &emails, JobId::clone(&first.id.job_id())).await.unwrap().is_some());
    jobs::complete(&db.pool, &emails, &[second.id]).await.unwrap();
    assert!(jobs::get(&db.pool, &emails, id).await.unwrap().is_none());
}

#[tokio::test]
async fn progress_is_the_holders_alone_and_any_number_is_taken() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let id = db.push(&emails, "send").await;
    let stale = db.claim_and_let_expire(&emails).await;
    let live = db.claim(&emails, 1).await.remove(0);
    let said = |fraction: f32, note: &str| Progress { fraction, note: note.to_owned() };
    let both = [(stale.id, said(0.9, "stale")), (live.id, said(0.1, "live"))];
    jobs::progress(&db.pool, &emails, &both).await.unwrap();
    let seen = async || {
        let job = jobs::get(&db.pool, &emails, id).await.unwrap().unwrap();
        (job.progress, job.progress_note)
    };
    assert_eq!(seen().await, (Some(0.1), Some("live".to_owned())));
    for (fraction, kept) in [(7.0, 1.0), (-1.0, 0.0), (f32::NAN, 0.0), (f32::INFINITY, 1.0)] {
        jobs::progress(&db.pool, &emails, &[(live.id, said(fraction, ""))]).await.unwrap();
        assert_eq!(seen().await, (Some(kept), None), "{fraction}");
    }
    // The next attempt begins at nothing.
    jobs::end(&db.pool, &emails, &[failed(live.id, "x")]).await.unwrap();
    assert_eq!(seen().await, (None, None));
}

#[tokio::test]
async fn statistics_count_each_job_once() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let empty = jobs::stats(&db.pool, &emails).await.unwrap();
    assert_eq!((empty.scheduled, empty.waiting, empty.oldest_waiting), (0, 0, None));
    let [_, _, _, running] = one_of_each(&db, &emails).await;
    jobs::cancel(&db.pool, &emails, &[running], None).await.unwrap();
    sqlx::query(
        "update queue_emails set run_at = now() - interval '1 hour' where lease_token is null and run_at <= now()",
    )
    .execute(&db.pool)
    .await
    .unwrap();
    let stats = jobs::stats(&db.pool, &emails).await.unwrap();
    assert_eq!((stats.scheduled, stats.waiting, stats.parked, stats.running, stats.cancelling), (1, 1, 1, 1, 1));
    assert!(stats.oldest_waiting.unwrap() >= Duration::from_secs(3600));
}

#[tokio::test]
async fn a_job_that_has_been_due_for_ever_disturbs_no_statistics() {
    let db = database().await;
    let emails = db.queue("emails").await;
    for run_at in ["-infinity", "4000-01-01 BC", "infinity", "294276-12-31"] {
        let push = "select pg_queue_push('emails', 'send', '1', run_at => $1::text::timestamptz)";
        sqlx::query(push).bind(run_at).execute(&db.pool).await.unwrap();
    }
    let stats = jobs::stats(&db.pool, &emails).await.unwrap();
    assert_eq!((stats.scheduled, stats.waiting), (2, 2));
    assert!(stats.oldest_waiting.unwrap() > LONG);
    assert!(jobs::next_due(&db.pool, &emails).await.unwrap().is_some());
    assert_eq!(jobs::list(&db.pool, &emails, &JobFilter::default(), None, 10).await.unwrap().len(), 4);
    assert_eq!(db.claim(&emails, 10).await.len(), 2);
}

#[tokio::test]
async fn what_does_not_run_can_be_deleted_or_hastened() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let all = one_of_each(&db, &emails).await;
    let [scheduled, waiting, parked, running] = all;
    let mut hastened = jobs::hasten(&db.pool, &emails, &all).await.unwrap();
    hastened.sort();
    let mut expected = vec![scheduled, waiting, parked];
    expected.sort();
    assert_eq!(hastened, expected);
    assert_eq!(list(&db, &emails, JobFilter::default().state(JobState::Waiting)).await, expected);
    let mut deleted = jobs::delete(&db.pool, &emails, &all).await.unwrap();
    deleted.sort();
    assert_eq!(deleted, expected);
    assert_eq!(list(&db, &emails, JobFilter::default()).await, [running]);
    assert_eq!(db.count("select count(*) from pg_queue_history").await, 0, "without a trace");
    // A popped job whose lease has run out does not run.
    sqlx::query("update queue_emails set lease_until = now() - interval '1 s'").execute(&db.pool).await.unwrap();
    assert_eq!(jobs::delete(&db.pool, &emails, &all).await.unwrap(), [running]);
}

#[tokio::test]
async fn nothing_is_claimed_from_a_paused_queue() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let images = db.queue("images").await;
    db.push(&emails, "send").await;
    db.push(&images, "send").await;
    queues::pause(&db.pool, &emails, true).await.unwrap();
    assert!(db.claim(&emails, 1).await.is_empty());
    assert_eq!(db.claim(&images, 1).await.len(), 1);
    queues::pause(&db.pool, &emails, true).await.unwrap();
    queues::pause(&db.pool, &emails, false).await.unwrap();
    assert_eq!(db.claim(&emails, 1).await.len(), 1);
    let missing = queues::pause(&db.pool, &table("nowhere"), true).await;
    assert!(matches!(missing, Err(QueueError::Missing(_))));
}

/// A consumer that polls a paused queue must not walk through all that waits there each time.
#[tokio::test]
async fn nobody_looks_after_expired_leases_in_a_paused_queue() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let id = db.push_with(&emails, "send", PushOptions::default().max_attempts(1)).await;
    db.claim_and_let_expire(&emails).await;
    queues::pause(&db.pool, &emails, true).await.unwrap();
    assert!(jobs::discard_expired(&db.pool, &emails, 10).await.unwrap().is_empty());
    queues::pause(&db.pool, &emails, false).await.unwrap();
    assert_eq!(jobs::discard_expired(&db.pool, &emails, 10).await.unwrap(), [id]);
}

#[tokio::test]
async fn what_is_set_for_a_queue_is_read_back() {
    let db = database().await;
    let emails = db.queue("emails").await;
    db.queue("images").await;
    let week = Duration::from_secs(7 * 24 * 3600);
    let read = async || {
        let names = [emails.queue().clone(), QueueName::new("nowhere").unwrap()];
        let settings = queues::settings(&db.pool, &db.schema, &names).await.unwrap();
        assert_eq!(settings.len(), 1);
        settings[0].1
    };
    let unset = read().await;
    assert_eq!(
        (unset.paused, unset.concurrency, unset.keep_completed, unset.keep_discarded),
        (false, None, None, week)
    );
    queues::pause(&db.pool, &emails, true).await.unwrap();
    queues::limit(&db.pool, &emails, Some(3)).await.unwrap();
    queues::keep(&db.pool, &emails, Some(LONG), 2 * week).await.unwrap();
    let set = read().await;
    assert_eq!((set.paused, set.concurrency, set.keep_completed), (true, Some(3), Some(LONG)));
    assert_eq!(set.keep_discarded, 2 * week);
    queues::limit(&db.pool, &emails, None).await.unwrap();
    queues::keep(&db.pool, &emails, None, week).await.unwrap();
    queues::pause(&db.pool, &emails, false).await.unwrap();
    assert_eq!(read().await, unset);
    assert!(queues::limit(&db.pool, &emails, Some(0)).await.is_err());
}

async fn register(db: &Db, queue: &QueueTable, kinds: &[&str]) -> WorkerId {
    let worker = Registration {
        id: WorkerId::random(),
        name: "host 1".to_owned(),
        queues: vec![queue.queue().clone()],
        kinds: kinds.iter().map(|kind| (*kind).to_owned()).collect(),
        beat_interval: Duration::from_secs(5),
    };
    workers::register(&db.pool, &db.schema, &worker).await.unwrap();
    worker.id
}

#[tokio::test]
async fn only_kinds_that_no_live_worker_of_the_queue_runs_are_parked() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let images = db.queue("images").await;
    let mine = ["send".to_owned()];
    register(&db, &emails, &["send"]).await;
    register(&db, &emails, &["resend"]).await;
    register(&db, &images, &["resize"]).await;
    let gone = register(&db, &emails, &["forward"]).await;
    assert!(workers::declare_dead(&db.pool, &db.schema, gone, 0).await.unwrap());
    for kind in ["send", "resend", "resize", "forward", "nobody"] {
        db.push(&emails, kind).await;
    }
    db.push_with(&emails, "nobody", PushOptions::default().delay(LONG)).await;
    assert_eq!(jobs::park(&db.pool, &emails, &mine, 100).await.unwrap(), 3);
    assert_eq!(jobs::park(&db.pool, &emails, &mine, 100).await.unwrap(), 0);
    let parked = JobFilter::default().state(JobState::Parked);
    let kinds: Vec<String> =
        jobs::list(&db.pool, &emails, &parked, None, 100).await.unwrap().into_iter().map(|job| job.kind).collect();
    assert_eq!(kinds, ["resize", "forward", "nobody"]);
    assert_eq!(jobs::pending_count(&db.pool, &emails).await.unwrap(), 6, "parked is not gone");
    // Whoever comes and knows a kind lets its jobs run again; others stay.
    assert_eq!(jobs::unpark(&db.pool, &emails, Some(&["forward".to_owned()]), 100).await.unwrap(), 1);
    assert_eq!(jobs::unpark(&db.pool, &emails, None, 1).await.unwrap(), 1);
    assert_eq!(db.count("select count(*) from queue_emails where parked is not null").await, 1);
}

#[tokio::test]
async fn parking_looks_at_the_head_of_the_queue_alone_and_leaves_running_jobs() {
    let db = database().await;
    let emails = db.queue("emails").await;
    db.push(&emails, "nobody").await;
    db.claim(&emails, 1).await;
    for _ in 0..5 {
        db.push(&emails, "send").await;
    }
    db.push(&emails, "nobody").await;
    let mine = ["send".to_owned()];
    assert_eq!(jobs::park(&db.pool, &emails, &mine, 6).await.unwrap(), 0, "behind what it looks at, or running");
    assert_eq!(jobs::park(&db.pool, &emails, &mine, 7).await.unwrap(), 1);
}
