//! Jobs that are pushed, popped and ended by hand.

use std::{collections::HashSet, time::Duration};

use pg_queue_client::PoppedJob;
use pg_queue_core::{JobId, Priority, PushOptions, PushOutcome, jobs::LeaseError};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::support::{database, next_job};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Email {
    to: String,
}

fn email(to: &str) -> Email {
    Email { to: to.to_owned() }
}

#[tokio::test]
async fn a_job_is_pushed_popped_and_completed() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let id = db.mgr.queue.push(&emails, &email("a")).await.unwrap();
    assert_eq!(db.mgr.queue.pending_count(&emails).await.unwrap(), 1);
    let job: PoppedJob<Email> = db.mgr.queue.pop(&emails).await.unwrap().unwrap();
    assert_eq!((job.id.job_id(), job.id.attempt(), job.kind.as_str()), (id, 1, "raw"));
    assert_eq!(job.id.to_string(), id.to_string());
    assert_eq!(
        (job.payload, job.request_id, job.max_attempts, job.priority),
        (email("a"), None, 20, Priority::DEFAULT)
    );
    assert_eq!(db.mgr.queue.pending_count(&emails).await.unwrap(), 0);
    db.mgr.queue.complete(&emails, job.id).await.unwrap();
    assert!(db.mgr.queue.pop::<Email>(&emails).await.unwrap().is_none());
    assert_eq!(db.count("select count(*) from queue_emails").await, 0);
    assert_eq!(db.count("select count(*) from pg_queue_history").await, 0);
}

#[tokio::test]
async fn a_completed_job_cannot_be_ended_again() {
    let db = database().await;
    let emails = db.queue("emails").await;
    db.mgr.queue.push(&emails, &email("a")).await.unwrap();
    let job = next_job::<Email>(&db.mgr, &emails).await;
    db.mgr.queue.complete(&emails, job.id).await.unwrap();
    assert!(matches!(db.mgr.queue.complete(&emails, job.id).await, Err(LeaseError::Lost(_))));
    assert!(matches!(db.mgr.queue.fail(&emails, job.id).await, Err(LeaseError::Lost(_))));
    let longer = db.mgr.queue.extend(&emails, job.id, Duration::from_secs(1)).await;
    assert!(matches!(longer, Err(LeaseError::Lost(_))));
}

#[tokio::test]
async fn many_are_pushed_in_order_and_popped_in_order() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let payloads: Vec<Email> = (0..100).map(|n| email(&n.to_string())).collect();
    let ids = db.mgr.queue.push_many(&emails, &payloads).await.unwrap();
    assert!(ids.is_sorted());
    assert_eq!(ids.len(), 100);
    let mut popped = Vec::new();
    for expected in [60, 40, 0] {
        let jobs = db.mgr.queue.pop_many::<Email>(&emails, 60).await.unwrap();
        assert_eq!(jobs.len(), expected);
        popped.extend(jobs.into_iter().map(Result::unwrap));
    }
    let got: Vec<(JobId, &Email)> = popped.iter().map(|job| (job.id.job_id(), &job.payload)).collect();
    assert_eq!(got, ids.into_iter().zip(&payloads).collect::<Vec<_>>());
    let leases: Vec<_> = popped.iter().map(|job| job.id).collect();
    assert!(db.mgr.queue.complete_many(&emails, &leases).await.unwrap().is_empty());
    assert_eq!(db.mgr.queue.complete_many(&emails, &leases).await.unwrap().len(), 100);
}

#[tokio::test]
async fn nothing_is_pushed_and_completed_without_complaint() {
    let db = database().await;
    let emails = db.queue("emails").await;
    assert!(db.mgr.queue.push_many::<Email>(&emails, &[]).await.unwrap().is_empty());
    assert!(db.mgr.queue.complete_many(&emails, &[]).await.unwrap().is_empty());
    assert!(db.mgr.queue.fail_many(&emails, &[]).await.unwrap().is_empty());
    assert!(db.mgr.queue.pop_many::<Email>(&emails, 0).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_lower_priority_number_is_popped_first_and_a_delayed_job_not_before_its_time() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let later = PushOptions::default().delay(Duration::from_secs(3600)).priority(Priority::HIGHEST);
    db.mgr.queue.push_with(&emails, "later", &1, later).await.unwrap();
    db.mgr.queue.push_with(&emails, "normal", &2, PushOptions::default()).await.unwrap();
    let first = PushOptions::default().priority(Priority::HIGHEST);
    db.mgr.queue.push_with(&emails, "first", &3, first).await.unwrap();
    assert_eq!(db.mgr.queue.pending_count(&emails).await.unwrap(), 3);
    assert_eq!(next_job::<u8>(&db.mgr, &emails).await.kind, "first");
    assert_eq!(next_job::<u8>(&db.mgr, &emails).await.kind, "normal");
    assert!(db.mgr.queue.pop::<u8>(&emails).await.unwrap().is_none());
    assert_eq!(db.mgr.queue.pending_count(&emails).await.unwrap(), 1);
}

#[tokio::test]
async fn a_unique_key_answers_the_job_that_is_there() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let options = PushOptions::default().unique_key("invoice-17");
    let first = db.mgr.queue.push_with(&emails, "bill", &1, options.clone()).await.unwrap();
    let second = db.mgr.queue.push_with(&emails, "bill", &2, options).await.unwrap();
    assert!(matches!(first, PushOutcome::Enqueued(_)));
    assert_eq!(second, PushOutcome::Duplicate(first.id()));
}

#[tokio::test]
async fn every_job_goes_to_one_of_many_consumers() {
    let db = database().await;
    let work = db.queue("work").await;
    let payloads: Vec<u32> = (0..300).collect();
    db.mgr.queue.push_many(&work, &payloads).await.unwrap();
    let mut consumers = JoinSet::new();
    for _ in 0..12 {
        let (mgr, work) = (db.mgr.clone(), work.clone());
        consumers.spawn(async move {
            let mut done = Vec::new();
            // A short claim does not mean an empty queue: another consumer's claim may have been in the way.
            while mgr.queue.pending_count(&work).await.unwrap() > 0 {
                for job in mgr.queue.pop_many::<u32>(&work, 7).await.unwrap() {
                    let job = job.unwrap();
                    mgr.queue.complete(&work, job.id).await.unwrap();
                    done.push(job.payload);
                }
            }
            done
        });
    }
    let done = consumers.join_all().await.concat();
    assert_eq!(done.len(), 300);
    assert_eq!(done.into_iter().collect::<HashSet<_>>().len(), 300);
}

#[tokio::test]
async fn queues_are_made_twice_listed_and_dropped() {
    let db = database().await;
    let (b, a) = (db.queue("b").await, db.queue("a").await);
    db.mgr.queue.create(&a).await.unwrap();
    assert_eq!(db.mgr.queue.list().await.unwrap(), [a.clone(), b.clone()]);
    db.mgr.queue.push(&b, &1).await.unwrap();
    let refused = db.mgr.queue.drop(&b, false).await.unwrap_err();
    assert!(refused.to_string().contains("1 unfinished"), "{refused}");
    assert!(db.mgr.queue.drop(&b, true).await.unwrap());
    assert!(!db.mgr.queue.drop(&b, false).await.unwrap());
    assert_eq!(db.mgr.queue.list().await.unwrap(), [a]);
}
