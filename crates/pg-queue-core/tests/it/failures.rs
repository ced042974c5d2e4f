//! Failed attempts: tried again, discarded, and with their errors kept.

use std::time::{Duration, SystemTime};

use pg_queue_core::jobs::{self, Became, Ending, MAX_ERROR_BYTES, PushOptions};
use serde_json::Value;

use crate::support::{Db, LONG, database, failed, given_up};

async fn errors(db: &Db, query: &'static str) -> Vec<(i64, String)> {
    let errors: Value = sqlx::query_scalar(query).fetch_one(&db.pool).await.unwrap();
    errors
        .as_array()
        .unwrap()
        .iter()
        .map(|error| {
            assert!(error["at"].is_string(), "{error}");
            (error["attempt"].as_i64().unwrap(), error["error"].as_str().unwrap().to_owned())
        })
        .collect()
}

#[tokio::test]
async fn a_failed_job_waits_for_its_delay_and_keeps_the_error() {
    let db = database().await;
    let emails = db.queue("emails").await;
    db.push(&emails, "send").await;
    let job = db.claim(&emails, 1).await.remove(0);
    let mut attempt = failed(job.id, "no route");
    attempt.ending = Ending::Retry(LONG);
    let ended = jobs::end(&db.pool, &emails, &[attempt]).await.unwrap();
    assert!(ended.became(job.id) == Some(Became::Retried));
    assert!(db.claim(&emails, 1).await.is_empty());
    assert!(jobs::next_due(&db.pool, &emails).await.unwrap().unwrap() > LONG / 2);
    assert_eq!(errors(&db, "select errors from queue_emails").await, [(1, "no route".to_owned())]);
}

#[tokio::test]
async fn the_last_attempt_is_discarded_into_the_history_with_all_errors() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let run_at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    let options = PushOptions::default().max_attempts(3).unique_key("k").run_at(run_at);
    let id = db.push_with(&emails, "send", options).await;
    for number in 1..=3 {
        let job = db.claim(&emails, 1).await.remove(0);
        let ended = jobs::end(&db.pool, &emails, &[failed(job.id, &format!("error {number}"))]).await.unwrap();
        assert_eq!(ended.became(job.id), Some(if number == 3 { Became::Discarded } else { Became::Retried }));
    }
    assert_eq!(db.count("select count(*) from queue_emails").await, 0);
    let row: (i64, String, i16, i16, i16, String, String, String, String) = sqlx::query_as(
        "select id, state, priority, attempt, max_attempts, queue, kind, unique_key, payload::text from pg_queue_history
         where finished_at > now() - interval '1 hour' and created_at < finished_at",
    )
    .fetch_one(&db.pool)
    .await
    .unwrap();
    let text = str::to_owned;
    let payload = text(r#"{"to":"a@example.org"}"#);
    assert_eq!(row, (id.get(), text("discarded"), 5, 3, 3, text("emails"), text("send"), text("k"), payload));
    let expected: Vec<_> = (1..=3).map(|number| (number, format!("error {number}"))).collect();
    assert_eq!(errors(&db, "select errors from pg_queue_history").await, expected);
}

#[tokio::test]
async fn a_batch_is_answered_job_by_job() {
    let db = database().await;
    let emails = db.queue("emails").await;
    for attempts in [1, 20, 20] {
        db.push_with(&emails, "send", PushOptions::default().max_attempts(attempts)).await;
    }
    let claimed = db.claim(&emails, 10).await;
    let mut attempts: Vec<_> = claimed.iter().map(|job| failed(job.id, "x")).collect();
    attempts[1].ending = Ending::Discard;
    let ended = jobs::end(&db.pool, &emails, &attempts).await.unwrap();
    let discarded: Vec<bool> = claimed.iter().map(|job| ended.became(job.id) == Some(Became::Discarded)).collect();
    assert_eq!((ended.len(), discarded), (3, vec![true, true, false]));
    assert_eq!(db.count("select count(*) from pg_queue_history").await, 2);
    assert_eq!(jobs::pending_count(&db.pool, &emails).await.unwrap(), 1);
}

#[tokio::test]
async fn the_same_job_twice_in_a_batch_is_ended_once() {
    let db = database().await;
    let emails = db.queue("emails").await;
    db.push(&emails, "send").await;
    let job = db.claim(&emails, 1).await.remove(0);
    let discard = given_up(job.id, "x");
    let ended = jobs::end(&db.pool, &emails, &[discard.clone(), discard]).await.unwrap();
    assert_eq!(ended.len(), 1);
    assert_eq!(db.count("select count(*) from pg_queue_history").await, 1);
}

#[tokio::test]
async fn an_error_of_any_length_with_any_character_is_kept() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let texts = ["nul \0 and \u{1b}[31m".to_owned(), "\0".repeat(5000), "ä".repeat(1 << 19), String::new()];
    let kept = [
        "nul \u{fffd} and \u{1b}[31m".to_owned(),
        "\u{fffd}".repeat(MAX_ERROR_BYTES / 3),
        "ä".repeat(MAX_ERROR_BYTES / 2),
        String::new(),
    ];
    db.push(&emails, "send").await;
    for text in &texts {
        let job = db.claim(&emails, 1).await.remove(0);
        assert_eq!(jobs::end(&db.pool, &emails, &[failed(job.id, text)]).await.unwrap().len(), 1);
    }
    let errors: Vec<_> =
        errors(&db, "select errors from queue_emails").await.into_iter().map(|(_, error)| error).collect();
    assert_eq!(errors, kept);
}

#[tokio::test]
async fn the_last_hundred_errors_are_kept() {
    let db = database().await;
    let emails = db.queue("emails").await;
    db.push_with(&emails, "send", PushOptions::default().max_attempts(1000)).await;
    for number in 1..=103 {
        let job = db.claim(&emails, 1).await.remove(0);
        jobs::end(&db.pool, &emails, &[failed(job.id, &number.to_string())]).await.unwrap();
    }
    let expected: Vec<_> = (4..=103).map(|number| (number, number.to_string())).collect();
    assert_eq!(errors(&db, "select errors from queue_emails").await, expected);
}

#[tokio::test]
async fn an_attempt_that_ended_before_it_began_has_its_error_all_the_same() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let id = db.push(&emails, "send").await;
    let job = db.claim(&emails, 1).await.remove(0);
    db.set_clock("now() - interval '1 hour'").await;
    jobs::end(&db.pool, &emails, &[failed(job.id, "no route")]).await.unwrap();
    let stored = jobs::get(&db.pool, &emails, id).await.unwrap().unwrap();
    assert_eq!(stored.errors.len(), 1);
    assert_eq!((stored.errors[0].error.as_str(), stored.errors[0].took), ("no route", Some(Duration::ZERO)));
}
