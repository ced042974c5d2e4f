//! Claiming: which jobs, in which order, and each by one claimer only.

use std::{
    collections::HashMap,
    time::{Duration, Instant, SystemTime},
};

use pg_queue_core::{
    BEGIN_PINNED, LeaseToken, PIN_PLANS, Priority, QueueError, WorkerId,
    jobs::{self, Claimant, PushOptions},
};
use sqlx::Connection;
use tokio::task::JoinSet;

use crate::support::{LONG, claim_on, database, table};

#[tokio::test]
async fn the_lowest_priority_number_comes_first_then_the_oldest() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let hour = Duration::from_secs(3600);
    let now = SystemTime::now();
    let mut expected = Vec::new();
    for (priority, age, place) in [(9, 3, 5), (0, 1, 1), (5, 1, 3), (0, 2, 0), (5, 2, 2), (5, 1, 4)] {
        let options = PushOptions::default().priority(Priority::new(priority).unwrap()).run_at(now - hour * age);
        expected.push((place, db.push_with(&emails, "send", options).await));
    }
    expected.sort();
    let mut seen = Vec::new();
    for limit in [1, 3, 9] {
        seen.extend(db.claim(&emails, limit).await.into_iter().map(|job| job.id.job_id()));
    }
    assert_eq!(seen, expected.into_iter().map(|(_, id)| id).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_job_is_not_claimed_before_its_time() {
    let db = database().await;
    let emails = db.queue("emails").await;
    assert_eq!(jobs::next_due(&db.pool, &emails).await.unwrap(), None);
    db.push_with(&emails, "send", PushOptions::default().delay(LONG * 3)).await;
    db.push_with(&emails, "send", PushOptions::default().delay(LONG).priority(Priority::LOWEST)).await;
    assert!(db.claim(&emails, 10).await.is_empty());
    assert_eq!(jobs::pending_count(&db.pool, &emails).await.unwrap(), 2);
    let next = jobs::next_due(&db.pool, &emails).await.unwrap().unwrap();
    assert!(next <= LONG && next > LONG - Duration::from_secs(60), "{next:?}");
}

/// Between a claim that came a moment too early and the look for what is due next.
#[tokio::test]
async fn a_job_that_has_become_due_since_the_last_look_is_due_now_while_it_waits() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let looked = Instant::now();
    assert!(db.claim(&emails, 10).await.is_empty());
    db.push(&emails, "send").await;
    assert_eq!(jobs::next_due(&db.pool, &emails).await.unwrap(), None);
    let next = async || jobs::next_due_since(&db.pool, &emails, looked.elapsed()).await.unwrap();
    assert_eq!(next().await, Some(Duration::ZERO));
    assert_eq!(db.claim(&emails, 10).await.len(), 1);
    assert_eq!(next().await, None);
}

#[tokio::test]
async fn a_job_at_infinity_waits_for_ever_and_disturbs_nobody() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let insert = "insert into queue_emails (run_at, payload) values ('infinity', '1'), ('-infinity', '2')";
    sqlx::query(insert).execute(&db.pool).await.unwrap();
    assert_eq!(jobs::next_due(&db.pool, &emails).await.unwrap(), None);
    let claimed = db.claim(&emails, 10).await;
    assert_eq!(claimed.len(), 1);
    assert_eq!(claimed[0].payload, "2");
}

#[tokio::test]
async fn kinds_that_were_not_asked_for_are_passed_over() {
    let db = database().await;
    let emails = db.queue("emails").await;
    for kind in ["a", "b", "a", "c"] {
        db.push(&emails, kind).await;
    }
    for (asked, found) in [(vec![], 0), (vec!["x"], 0), (vec!["a", "c"], 3), (vec!["a", "b"], 1)] {
        let kinds: Vec<String> = asked.into_iter().map(str::to_owned).collect();
        let claimant = Claimant::HandDriven(LONG);
        let claimed = jobs::claim(&db.pool, &emails, claimant, LeaseToken::random(), Some(&kinds), 10).await.unwrap();
        assert_eq!(claimed.len(), found, "{kinds:?}");
    }
}

#[tokio::test]
async fn a_parked_job_is_not_claimed() {
    let db = database().await;
    let emails = db.queue("emails").await;
    db.push(&emails, "send").await;
    sqlx::query("update queue_emails set parked = 'paused'").execute(&db.pool).await.unwrap();
    assert!(db.claim(&emails, 10).await.is_empty());
    sqlx::query("update queue_emails set parked = null").execute(&db.pool).await.unwrap();
    assert_eq!(db.claim(&emails, 10).await.len(), 1);
}

#[tokio::test]
async fn a_claimed_job_is_not_claimed_again_while_its_lease_stands() {
    let db = database().await;
    let emails = db.queue("emails").await;
    db.push(&emails, "send").await;
    db.push(&emails, "send").await;
    assert_eq!(db.claim(&emails, 1).await.len(), 1);
    assert_eq!(db.claim_as(&emails, Claimant::Worker(WorkerId::random()), 10).await.len(), 1);
    assert!(db.claim(&emails, 10).await.is_empty());
}

#[tokio::test]
async fn eight_claimers_share_jobs_of_three_priorities_and_none_gets_one_twice() {
    const JOBS: usize = 1500;
    let db = database().await;
    let emails = db.queue("emails").await;
    for priority in [0, 5, 9] {
        let options = PushOptions::default().priority(Priority::new(priority).unwrap());
        db.push_many(&emails, &vec![1; JOBS / 3], &options).await;
    }
    let mut claimers = JoinSet::new();
    for claimer in 0_u32..8 {
        let (mut connection, emails) = (db.connect().await, emails.clone());
        claimers.spawn(async move {
            let claimant = match claimer % 2 {
                0 => Claimant::Worker(WorkerId::random()),
                _ => Claimant::HandDriven(LONG),
            };
            let mut mine = Vec::new();
            // A short claim does not mean an empty queue, but an empty one says that every job left is being claimed.
            loop {
                let claimed = claim_on(&mut connection, &emails, claimant, 7 + claimer).await;
                if claimed.is_empty() {
                    return mine;
                }
                // Some complete what they have while others claim.
                if claimer % 3 == 0 {
                    let ids: Vec<_> = claimed.iter().map(|job| job.id).collect();
                    let done = jobs::complete(&mut connection, &emails, &ids).await.unwrap();
                    let held = jobs::held(&mut connection, &emails, &ids).await.unwrap();
                    assert_eq!(done.len() + held.len(), ids.len(), "a lease was lost");
                }
                mine.extend(claimed.into_iter().map(|job| job.id));
            }
        });
    }
    let mut times: HashMap<_, u32> = HashMap::new();
    for id in claimers.join_all().await.into_iter().flatten() {
        *times.entry(id.job_id()).or_default() += 1;
        assert_eq!(id.attempt(), 1);
    }
    for job in db.claim(&emails, 5000).await {
        *times.entry(job.id.job_id()).or_default() += 1;
    }
    assert_eq!(times.len(), JOBS);
    assert!(times.values().all(|&times| times == 1));
}

#[tokio::test]
async fn an_expired_lease_is_claimed_again_as_the_next_attempt() {
    let db = database().await;
    let emails = db.queue("emails").await;
    db.push(&emails, "send").await;
    let first = db.claim_and_let_expire(&emails).await;
    assert_eq!(jobs::pending_count(&db.pool, &emails).await.unwrap(), 1);
    let second = db.claim(&emails, 1).await.remove(0);
    assert_eq!((first.id.attempt(), second.id.attempt()), (1, 2));
    assert_eq!(first.id.job_id(), second.id.job_id());
    assert_ne!(first.id.token(), second.id.token());
}

#[tokio::test]
async fn an_expired_last_attempt_is_not_claimed_but_discarded_with_the_reason() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let options = PushOptions::default().max_attempts(2);
    let id = db.push_with(&emails, "send", options).await;
    db.claim_and_let_expire(&emails).await;
    assert!(jobs::discard_expired(&db.pool, &emails, 10).await.unwrap().is_empty());
    db.claim_and_let_expire(&emails).await;
    assert!(db.claim(&emails, 1).await.is_empty());
    // One whose lease stands, one that waits, and one of a worker are left alone.
    db.push_with(&emails, "send", PushOptions::default().max_attempts(1)).await;
    db.claim(&emails, 1).await;
    db.push_with(&emails, "send", PushOptions::default().max_attempts(1)).await;
    db.claim_as(&emails, Claimant::Worker(WorkerId::random()), 1).await;
    db.push_with(&emails, "send", PushOptions::default().max_attempts(1)).await;

    assert_eq!(jobs::discard_expired(&db.pool, &emails, 10).await.unwrap(), [id]);
    assert!(jobs::discard_expired(&db.pool, &emails, 10).await.unwrap().is_empty());
    let row: (i64, String, i16, String) = sqlx::query_as(
        "select id, state, attempt, errors->-1->>'error' from pg_queue_history where queue = 'emails' and kind = 'send'",
    )
    .fetch_one(&db.pool)
    .await
    .unwrap();
    let reason = "the lease ran out and was not extended".to_owned();
    assert_eq!(row, (id.get(), "discarded".to_owned(), 2, reason));
    assert_eq!(db.count("select count(*) from queue_emails").await, 3);
}

#[tokio::test]
async fn a_claim_from_a_missing_queue_says_so() {
    let db = database().await;
    let claimed =
        jobs::claim(&db.pool, &table("nowhere"), Claimant::HandDriven(LONG), LeaseToken::random(), None, 1).await;
    assert!(matches!(claimed, Err(QueueError::Missing(_))));
}

#[tokio::test]
async fn a_claim_is_a_hot_update_whatever_the_size_of_the_payload() {
    let db = database().await;
    let emails = db.queue("emails").await;
    for size in [8, 120, 900, 1900] {
        db.push_many(&emails, &vec!["a".repeat(size); 500], &PushOptions::default()).await;
    }
    // Statistics arrive when the session that made them ends.
    let mut connection = db.connect().await;
    let mut claimed = 0;
    while claimed < 2000 {
        claimed += claim_on(&mut connection, &emails, Claimant::HandDriven(LONG), 100).await.len();
    }
    connection.close().await.unwrap();
    let updated = "select n_tup_upd from pg_stat_user_tables where relname = 'queue_emails'";
    crate::support::until(async || db.count(updated).await == 2000).await;
    let hot = db.count("select n_tup_hot_upd from pg_stat_user_tables where relname = 'queue_emails'").await;
    assert_eq!(hot, 2000);
}

/// Somebody else claims between the snapshot and the look. That is not an error, whatever the database's default is.
#[tokio::test]
async fn a_claim_is_read_committed_whatever_the_default_is() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let ids = [db.push(&emails, "send").await, db.push(&emails, "send").await];
    for default in ["repeatable read", "serializable"] {
        let mut connection = db.connect().await;
        let set = format!("set default_transaction_isolation = '{default}'");
        sqlx::raw_sql(sqlx::AssertSqlSafe(set)).execute(&mut connection).await.unwrap();
        let mut pinned = connection.begin_with(BEGIN_PINNED).await.unwrap();
        sqlx::query("select count(*) from queue_emails").execute(&mut *pinned).await.unwrap();
        let first = db.claim(&emails, 1).await.remove(0);
        assert_eq!(first.id.job_id(), ids[0]);
        let claimant = Claimant::HandDriven(LONG);
        let second = jobs::claim(&mut *pinned, &emails, claimant, LeaseToken::random(), None, 1).await.unwrap();
        assert_eq!(second[0].id.job_id(), ids[1], "{default}");
        pinned.rollback().await.unwrap();
        jobs::end(&db.pool, &emails, &[crate::support::given_back(first.id)]).await.unwrap();
        // Of the worker's connections, which are pinned as a whole.
        sqlx::raw_sql(PIN_PLANS).execute(&mut connection).await.unwrap();
        let level: String = sqlx::query_scalar("show transaction_isolation").fetch_one(&mut connection).await.unwrap();
        assert_eq!(level, "read committed");
    }
}
