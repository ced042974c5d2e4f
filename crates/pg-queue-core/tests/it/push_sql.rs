//! Enqueuing from SQL: `pg_queue_push` and plain inserts.

use pg_queue_core::jobs;
use sqlx::AssertSqlSafe;

use crate::support::{Db, database, sql_error};

/// What `select * from pg_queue_push(..)` answers.
async fn push(db: &Db, arguments: &str) -> Result<(i64, String), sqlx::Error> {
    sqlx::query_as(AssertSqlSafe(format!("select id, outcome from pg_queue_push({arguments})")))
        .fetch_one(&db.pool)
        .await
}

#[tokio::test]
async fn the_function_takes_named_arguments_and_answers_id_and_outcome() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let (first, outcome) = push(&db, "'emails', 'send', '{\"to\": 1}'").await.unwrap();
    assert_eq!(outcome, "enqueued");
    let (second, outcome) = push(
        &db,
        "queue => 'emails', kind => 'send', payload => '[2]', run_at => now() - interval '1 hour', priority => 0,
         max_attempts => 3, unique_key => 'k'",
    )
    .await
    .unwrap();
    assert_eq!(outcome, "enqueued");
    assert!(second > first);
    assert_eq!(push(&db, "'emails', 'other', '3', unique_key => 'k'").await.unwrap(), (second, "duplicate".to_owned()));
    let claimed = db.claim(&emails, 10).await;
    let seen: Vec<_> = claimed
        .iter()
        .map(|job| {
            (job.id.job_id().get(), job.kind.as_str(), job.payload.as_str(), job.priority.get(), job.max_attempts)
        })
        .collect();
    assert_eq!(seen, [(second, "send", "[2]", 0, 3), (first, "send", "{\"to\": 1}", 5, 20)]);
    assert!(claimed[0].created_at > claimed[0].run_at);

    // Finished, the key is free again.
    jobs::complete(&db.pool, &emails, &[claimed[0].id]).await.unwrap();
    assert_eq!(push(&db, "'emails', 'send', '4', unique_key => 'k'").await.unwrap().1, "enqueued");
}

#[tokio::test]
async fn every_bad_argument_has_an_error_that_says_what_is_wrong() {
    let db = database().await;
    db.queue("emails").await;
    let cases = [
        (
            "'email', 'send', '1'",
            "42P01",
            "queue \"email\" does not exist: make it with select pg_queue_create_queue('email')",
        ),
        ("'emails', '', '1'", "22023", "invalid kind: a kind has 1 to 100 bytes"),
        ("'emails', null, '1'", "22023", "invalid kind: a kind has 1 to 100 bytes"),
        ("'emails', repeat('k', 101), '1'", "22023", "invalid kind: a kind has 1 to 100 bytes"),
        ("'emails', 'send', null", "22004", "the payload is null: pass the JSON value 'null' if that is meant"),
        (
            "'emails', 'send', '1', priority => 10",
            "22023",
            "priority 10 is out of range: priorities are 0 (first) to 9 (last)",
        ),
        (
            "'emails', 'send', '1', priority => -1",
            "22023",
            "priority -1 is out of range: priorities are 0 (first) to 9 (last)",
        ),
        (
            "'emails', 'send', '1', priority => null",
            "22023",
            "priority null is out of range: priorities are 0 (first) to 9 (last)",
        ),
        ("'emails', 'send', '1', max_attempts => 0", "22023", "max_attempts 0 is out of range: 1 to 32767"),
        ("'emails', 'send', '1', max_attempts => 32768", "22023", "max_attempts 32768 is out of range: 1 to 32767"),
        ("'emails', 'send', '1', max_attempts => null", "22023", "max_attempts null is out of range: 1 to 32767"),
        (
            "'emails', 'send', '1', unique_key => repeat('u', 513)",
            "22023",
            "the unique key has 513 bytes: at most 512 are allowed",
        ),
        (
            "'emails', 'send', '1', tags => array[['a', 'b'], ['c', 'd']]",
            "22023",
            "invalid tags: at most 32 are allowed, of 1 to 100 bytes each",
        ),
        (
            "'emails', 'send', '1', tags => '[0:1]={a,b}'",
            "22023",
            "invalid tags: at most 32 are allowed, of 1 to 100 bytes each",
        ),
        ("'emails', 'send', '{'", "22P02", "invalid input syntax for type json"),
        (
            "'emails', 'send', ('\"' || repeat('a', 67108863) || '\"')::json",
            "54000",
            "the payload has 67108865 bytes: at most 64 MiB are allowed",
        ),
    ];
    for (arguments, code, message) in cases {
        assert_eq!(sql_error(push(&db, arguments).await), (code.to_owned(), message.to_owned()), "{arguments}");
    }
    assert_eq!(db.count("select count(*) from pg_queue_jobs").await, 0);
}

#[tokio::test]
async fn the_limits_themselves_are_allowed() {
    let db = database().await;
    let emails = db.queue("emails").await;
    push(&db, "'emails', repeat('k', 100), 'null', run_at => null, priority => 9, max_attempts => 32767, unique_key => repeat('u', 512)")
        .await
        .unwrap();
    push(&db, "'emails', 'long', ('\"' || repeat('a', 67108862) || '\"')::json, priority => 0, max_attempts => 1")
        .await
        .unwrap();
    let claimed = db.claim(&emails, 10).await;
    assert_eq!(claimed[0].payload.len(), 64 << 20);
    assert_eq!((claimed[1].payload.as_str(), claimed[1].max_attempts), ("null", 32767));
}

#[tokio::test]
async fn a_producer_needs_insert_and_the_sequence_and_nothing_else() {
    let db = database().await;
    let emails = db.queue("emails").await;
    db.queue("secrets").await;
    // A worker waits, so that the trigger has something to read and to say.
    let worker = pg_queue_core::WorkerId::random();
    let queues = [emails.queue().clone()];
    pg_queue_core::workers::wait(&db.pool, &db.schema, &queues, worker, crate::support::LONG).await.unwrap();
    let mut producer = db
        .create_role(
            "grant usage on schema public to {role}; grant insert on queue_emails to {role};
             grant usage on sequence pg_queue_job_ids to {role}",
        )
        .await;
    // Names that a producer puts into its own search path do not reach into the trigger.
    sqlx::raw_sql("create temporary table pg_queue_waiters (nothing text); set search_path = pg_temp, public")
        .execute(&mut producer)
        .await
        .unwrap();
    let insert = "insert into queue_emails (kind, payload) values ('send', '1')";
    sqlx::query(insert).execute(&mut producer).await.unwrap();
    let elsewhere = "insert into queue_secrets (kind, payload) values ('send', '1')";
    assert_eq!(sql_error(sqlx::query(elsewhere).execute(&mut producer).await).0, "42501");
    let steal = "select payload from queue_emails";
    assert_eq!(sql_error(sqlx::query(steal).execute(&mut producer).await).0, "42501");
    assert_eq!(db.claim(&emails, 10).await.len(), 1);
    db.drop_role(producer).await;
}

#[tokio::test]
async fn an_insert_through_the_parent_lands_in_its_queue() {
    let db = database().await;
    let (emails, images) = (db.queue("emails").await, db.queue("images").await);
    let insert =
        "insert into pg_queue_jobs (queue, kind, payload) values ('emails', 'send', '1'), ('images', 'scale', '2')";
    sqlx::query(insert).execute(&db.pool).await.unwrap();
    assert_eq!(db.claim(&emails, 10).await[0].payload, "1");
    assert_eq!(db.claim(&images, 10).await[0].payload, "2");
    let nowhere = "insert into pg_queue_jobs (queue, payload) values ('nowhere', '1')";
    assert_eq!(sql_error(sqlx::query(nowhere).execute(&db.pool).await).0, "23514");
    let wrong = "insert into queue_emails (queue, payload) values ('images', '1')";
    assert_eq!(sql_error(sqlx::query(wrong).execute(&db.pool).await).0, "23514");
}

/// Whoever reads jobs expects a list of words, and one job that has something else would stop every claim.
#[tokio::test]
async fn tags_that_are_no_list_of_words_are_refused_by_the_table_itself() {
    let db = database().await;
    let emails = db.queue("emails").await;
    for tags in ["array[null]", "array['a', null]", "array[['a', 'b'], ['c', 'd']]", "'[0:1]={a,b}'", "'{}'"] {
        let insert = format!("insert into queue_emails (kind, payload, tags) values ('send', '1', {tags}::text[])");
        assert_eq!(sql_error(sqlx::query(AssertSqlSafe(insert)).execute(&db.pool).await).0, "23514", "{tags}");
    }
    let insert = "insert into queue_emails (kind, payload, tags) values ('send', '1', '{a,\"NULL\"}')";
    sqlx::query(insert).execute(&db.pool).await.unwrap();
    assert_eq!(db.claim(&emails, 10).await[0].tags, ["a", "NULL"]);
}
