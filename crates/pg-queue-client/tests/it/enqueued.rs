//! Finding and asserting what is enqueued.

use std::{collections::BTreeMap, panic::AssertUnwindSafe, time::Duration};

use futures_util::FutureExt;
use pg_queue_client::{
    PgQueue,
    testing::{LookError, assert_enqueued, enqueued, refute_enqueued},
};
use pg_queue_core::{Job, JobState, Priority};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::support::{Db, database, empty_database};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Job)]
#[job(crate = "pg_queue_core", queue = "emails", aliases = ["write_email"])]
struct SendEmail {
    to: String,
    subject: String,
    #[serde(default)]
    size: f64,
}

/// Types in modules, without fields, with numbered ones, and with names that the macros might trip over.
mod jobs {
    use super::{BTreeMap, Deserialize, Job, Serialize};

    #[derive(Debug, Serialize, Deserialize, Job)]
    #[job(crate = "pg_queue_core", queue = "emails")]
    pub(crate) struct Ping;

    #[derive(Debug, Serialize, Deserialize, Job)]
    #[job(crate = "pg_queue_core", queue = "emails")]
    pub(crate) struct Pair(pub(crate) u8, pub(crate) u8);

    #[derive(Debug, Serialize, Deserialize, Job)]
    #[job(crate = "pg_queue_core", queue = "emails")]
    pub(crate) struct Marked {
        pub(crate) id: u64,
        pub(crate) tags: BTreeMap<String, u8>,
    }

    impl Pair {
        pub(crate) fn new(text: &str) -> Self {
            Self(text.len() as u8, 0)
        }
    }
}

fn email(to: &str) -> SendEmail {
    SendEmail { to: format!("{to}@example.com"), subject: "hello".to_owned(), size: 1.0 }
}

async fn with_queue() -> Db {
    let db = database().await;
    db.queue("emails").await;
    db
}

/// What an assertion that fails says.
async fn failure<T>(assertion: impl Future<Output = T>) -> String {
    let Err(panic) = AssertUnwindSafe(assertion).catch_unwind().await else { panic!("the assertion holds") };
    panic.downcast_ref::<String>().expect("a message").clone()
}

#[tokio::test]
async fn all_unfinished_jobs_of_a_type_are_found_with_what_they_have() {
    let db = with_queue().await;
    let other = db.queue("other").await;
    let mgr = &db.mgr;
    email("ada").enqueue(mgr).tag("vip").metadata("asked_by", "grace").await.unwrap();
    email("bob").enqueue(mgr).queue(&other).delay(Duration::from_secs(60)).priority(Priority::HIGHEST).await.unwrap();
    mgr.queue.push_with(&other, "write_email", &email("eve"), Default::default()).await.unwrap();
    jobs::Ping.enqueue(mgr).await.unwrap();
    let popped = mgr.queue.pop::<serde_json::Value>(&db.queue("emails").await).await.unwrap().unwrap();
    let found = enqueued::<SendEmail>(mgr).await.unwrap();
    let seen: Vec<_> = found.iter().map(|job| (job.payload.to.as_str(), job.queue.as_str(), job.state)).collect();
    assert_eq!(
        seen,
        [
            ("ada@example.com", "emails", JobState::Running),
            ("bob@example.com", "other", JobState::Scheduled),
            ("eve@example.com", "other", JobState::Waiting),
        ]
    );
    assert_eq!((found[0].id, found[0].attempt, found[0].max_attempts), (popped.id.job_id(), 1, 20));
    assert_eq!(
        (found[0].tags.as_slice(), &found[0].metadata["asked_by"]),
        (["vip".to_owned()].as_slice(), &json!("grace"))
    );
    assert_eq!(
        (found[1].priority, found[1].kind.as_str(), found[2].kind.as_str()),
        (Priority::HIGHEST, "send_email", "write_email")
    );
    assert!(found[1].run_at > found[1].created_at);
    mgr.queue.complete(&db.queue("emails").await, popped.id).await.unwrap();
    assert_eq!(enqueued::<SendEmail>(mgr).await.unwrap().len(), 2, "it has finished");
}

#[tokio::test]
async fn every_form_of_the_macros_says_what_it_means() {
    let db = with_queue().await;
    let mgr = &db.mgr;
    refute_enqueued!(mgr, SendEmail);
    refute_enqueued!(mgr, SendEmail { .. });
    refute_enqueued!(mgr, jobs::Ping);
    email("ada").enqueue(mgr).priority(Priority::HIGHEST).await.unwrap();
    email("bob").enqueue(mgr).await.unwrap();
    jobs::Ping.enqueue(mgr).await.unwrap();
    jobs::Pair(3, 0).enqueue(mgr).await.unwrap();
    let marked = jobs::Marked { id: 17, tags: [("a".to_owned(), 1), ("b".to_owned(), 2)].into() };
    marked.enqueue(mgr).tag("a tag").await.unwrap();

    // a payload: written here, in a variable, made by a call
    assert_enqueued!(mgr, SendEmail { to: "ada@example.com".into(), subject: "hello".into(), size: 1.0 });
    let ada = email("ada");
    assert_enqueued!(mgr, &ada);
    assert_enqueued!(mgr, email("bob"));
    assert_enqueued!(mgr, jobs::Pair(3, 0));
    assert_enqueued!(mgr, jobs::Pair::new("abc"));
    assert_enqueued!(mgr, jobs::Ping,);
    assert_enqueued!(mgr, &marked);
    // a type, with a condition or without
    assert_enqueued!(&db.mgr, SendEmail);
    assert_enqueued!(&db.mgr, SendEmail { .. });
    assert_enqueued!(&db.mgr, SendEmail, |job| job.to.starts_with("ada"));
    assert_enqueued!(&db.mgr, SendEmail, |_| true);
    assert_enqueued!(&db.mgr, crate::enqueued::jobs::Pair, |jobs::Pair(one, other)| *one == 3 && *other == 0);
    assert_enqueued!(&db.mgr, SendEmail, |email, job| email.to.starts_with("ada") && job.priority == Priority::HIGHEST);
    assert_enqueued!(&db.mgr, jobs::Marked, |marked, job| marked.id == 17
        && marked.tags["b"] == 2
        && job.tags == ["a tag"]);
    assert_enqueued!(&db.mgr, SendEmail, |email| {
        let name = email.to.split('@').next();
        name == Some("ada")
    });
    // so many
    let (one, domain) = (1, "@example.com".to_owned());
    assert_enqueued!(mgr, 2, SendEmail);
    assert_enqueued!(mgr, one + 1, SendEmail { .. });
    assert_enqueued!(mgr, 2, SendEmail, |email| email.to.ends_with(&domain));
    assert_enqueued!(mgr, one, SendEmail, |_, job| job.priority == Priority::DEFAULT);
    assert_enqueued!(mgr, 1, SendEmail { to: "ada@example.com".into(), subject: "hello".into(), size: 1.0 });
    assert_enqueued!(mgr, 1, &ada);
    assert_enqueued!(mgr, 1, email("bob"));
    assert_enqueued!(mgr, 0, email("eve"));
    // what is found is answered
    let found = assert_enqueued!(mgr, SendEmail, |email| email.to.starts_with("bob"));
    assert_eq!((found.len(), &found[0].payload), (1, &email("bob")));
    // and the contrary of all that
    refute_enqueued!(mgr, email("eve"));
    refute_enqueued!(mgr, SendEmail { to: "ada@example.com".into(), subject: "hello".into(), size: 2.0 });
    refute_enqueued!(mgr, &jobs::Pair(3, 1));
    refute_enqueued!(mgr, SendEmail, |email| email.to.is_empty());
    refute_enqueued!(mgr, SendEmail, |email, job| email.to.starts_with("bob") && job.priority == Priority::HIGHEST);
}

#[tokio::test]
async fn what_a_transaction_has_enqueued_is_seen_in_it_only() {
    let db = with_queue().await;
    let mut tx = db.pool.begin().await.unwrap();
    email("ada").enqueue(db.mgr.on(&mut tx)).await.unwrap();
    assert_enqueued!(db.mgr.on(&mut tx), email("ada"));
    assert_enqueued!(&mut *tx, 1, SendEmail);
    assert_eq!(enqueued::<SendEmail>(db.mgr.on(&mut tx)).await.unwrap().len(), 1);
    refute_enqueued!(&db.mgr, SendEmail);
    let told = failure(async { assert_enqueued!(&db.mgr, SendEmail) }).await;
    assert!(told.contains("is seen by `mgr.on(&mut tx)` only"), "{told}");
    tx.rollback().await.unwrap();
    refute_enqueued!(&db.mgr, SendEmail);
}

#[tokio::test]
async fn jobs_of_another_schema_are_looked_for_there() {
    let db = empty_database().await;
    let jobs = PgQueue::builder().schema("jobs").unwrap().build(db.pool.clone());
    jobs.migrate().await.unwrap();
    jobs.queue.create(&pg_queue_core::QueueName::new("emails").unwrap()).await.unwrap();
    email("ada").enqueue(&jobs).await.unwrap();
    assert_enqueued!(&jobs, email("ada"));
    let mut tx = db.pool.begin().await.unwrap();
    assert_enqueued!(jobs.on(&mut tx), email("ada"));
    // In the schema of the other handle there is nothing to look at.
    let told = failure(async { assert_enqueued!(&db.mgr, SendEmail) }).await;
    assert!(told.starts_with("assert_enqueued! failed: the enqueued jobs could not be looked at: "), "{told}");
    assert!(told.contains("tables are missing"), "{told}");
}

#[tokio::test]
async fn a_failure_shows_what_is_there_instead() {
    let db = with_queue().await;
    let mgr = &db.mgr;
    let told = failure(async { assert_enqueued!(mgr, email("ada")) }).await;
    assert_eq!(
        told,
        "assert_enqueued! failed: found 0, wanted one at least: unfinished jobs of kind send_email or write_email \
         with the payload {\"to\":\"ada@example.com\",\"subject\":\"hello\",\"size\":1.0}\n  \
         there is none of that kind\n  of other kinds: none\n  \
         what a transaction has enqueued and not committed is seen by `mgr.on(&mut tx)` only"
    );
    let ada = email("ada").enqueue(mgr).await.unwrap().id();
    let bob = email("bob").enqueue(mgr).delay(Duration::from_secs(60)).await.unwrap().id();
    for _ in 0..3 {
        jobs::Ping.enqueue(mgr).await.unwrap();
    }
    jobs::Pair(1, 2).enqueue(mgr).await.unwrap();
    let told = failure(async { assert_enqueued!(mgr, 2, SendEmail, |email| email.to.starts_with("ada")) }).await;
    assert_eq!(
        told.lines().collect::<Vec<_>>(),
        [
            "assert_enqueued! failed: found 1, wanted 2: unfinished jobs of kind send_email or write_email that fit \
             |email| email.to.starts_with(\"ada\")",
            "  of that kind (payloads are shown because this is a test):",
            &format!(
                "    fits: job {ada} in queue emails, waiting: {{\"to\":\"ada@example.com\",\"subject\":\"hello\",\"size\":1.0}}"
            ),
            &format!(
                "    does not fit: job {bob} in queue emails, scheduled: \
                 {{\"to\":\"bob@example.com\",\"subject\":\"hello\",\"size\":1.0}}"
            ),
            "  of other kinds: 1 pair, 3 ping",
            "  what a transaction has enqueued and not committed is seen by `mgr.on(&mut tx)` only",
        ]
    );
    let told = failure(async { refute_enqueued!(mgr, SendEmail, |_, job| job.tags.is_empty()) }).await;
    let first = told.lines().next().unwrap();
    assert_eq!(
        first,
        "refute_enqueued! failed: found 2, wanted none: unfinished jobs of kind send_email or write_email that fit \
         |_, job| job.tags.is_empty()"
    );
    let told = failure(async { refute_enqueued!(mgr, jobs::Ping) }).await;
    assert!(
        told.starts_with("refute_enqueued! failed: found 3, wanted none: unfinished jobs of kind ping\n"),
        "{told}"
    );
}

#[tokio::test]
async fn a_failure_stays_readable_however_much_there_is() {
    let db = with_queue().await;
    let long = SendEmail { to: "ä".repeat(600), ..email("ada") };
    let many: Vec<SendEmail> = (0..30).map(|_| long.clone()).collect();
    SendEmail::enqueue_many(&many, &db.mgr).await.unwrap();
    let told = failure(async { assert_enqueued!(&db.mgr, email("ada")) }).await;
    assert_eq!(told.matches("does not fit: ").count(), 20);
    assert!(told.contains("\n    and 10 more\n"), "{told}");
    assert!(told.contains("ä..\n") && told.len() < 25_000, "{}", told.len());
}

#[tokio::test]
async fn payloads_are_compared_as_the_type_writes_them() {
    let db = with_queue().await;
    // From SQL: without the field that has a default, in another order, and with a whole number.
    let push = "select pg_queue_push('emails', 'send_email', '{\"subject\": \"hello\", \"to\": \"a\"}'),
        pg_queue_push('emails', 'send_email', '{\"size\": 2, \"subject\": \"hello\", \"to\": \"a\"}')";
    sqlx::raw_sql(push).execute(&db.pool).await.unwrap();
    for size in [0.0, 2.0] {
        assert_enqueued!(&db.mgr, 1, SendEmail { to: "a".into(), subject: "hello".into(), size });
    }
}

#[tokio::test]
async fn what_does_not_decode_is_told_and_fits_nothing() {
    let db = with_queue().await;
    email("ada").enqueue(&db.mgr).await.unwrap();
    sqlx::raw_sql("select pg_queue_push('emails', 'send_email', '{\"to\": 4711}')").execute(&db.pool).await.unwrap();
    let error = enqueued::<SendEmail>(&db.mgr).await.unwrap_err();
    assert!(matches!(&error, LookError::Undecodable { kind, .. } if kind == "send_email"), "{error}");
    assert!(!error.to_string().contains("4711"), "{error}");
    assert_enqueued!(&db.mgr, 1, SendEmail);
    let told = failure(async { assert_enqueued!(&db.mgr, 2, SendEmail) }).await;
    assert!(told.contains("does not decode: job ") && told.contains("{\"to\": 4711}"), "{told}");
}

/// An assertion may stand in a task that moves between threads.
#[tokio::test(flavor = "multi_thread")]
async fn assertions_can_be_spawned() {
    let db = with_queue().await;
    email("ada").enqueue(&db.mgr).await.unwrap();
    let mgr = db.mgr.clone();
    let spawned = tokio::spawn(async move {
        assert_enqueued!(&mgr, SendEmail, |email| email.to.starts_with("ada"));
        assert_enqueued!(&mgr, email("ada"));
        refute_enqueued!(&mgr, jobs::Ping);
    });
    spawned.await.unwrap();
}
