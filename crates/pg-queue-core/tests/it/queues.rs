//! Queues: their names, and making, dropping and listing them.

use futures_util::future::join_all;
use pg_queue_core::{
    QueueError, QueueName, Schema,
    jobs::{self, NewJob},
    queues::{self, QueueDdlError},
};
use sqlx::Connection;

use crate::support::{database, empty_database, sql_error, table, until};

const RULE: &str = "a queue name has 1 to 48 bytes, begins with a letter a-z and goes on with a-z, 0-9 and _";

#[tokio::test]
async fn rust_and_sql_refuse_the_same_names_and_say_the_rule() {
    let db = database().await;
    let long = "a".repeat(49);
    let bad = [
        "", &long, "Emails", "eMails", "1st", "_x", "a\"b", "a'b", "a b", "a-b", "a.b", "a%b", "emails\n", "a\nb",
        "émail", "mäil", "ａ", "a\t",
    ];
    for name in bad {
        let rust = QueueName::new(name).unwrap_err().to_string();
        assert!(rust.ends_with(RULE), "{rust}");
        for call in [
            "select pg_queue_create_queue($1)",
            "select pg_queue_drop_queue($1)",
            "select pg_queue_push($1, 'send', '{}')",
        ] {
            let (code, message) = sql_error(sqlx::query(call).bind(name).execute(&db.pool).await);
            assert_eq!(code, "22023", "{call} {name:?}: {message}");
            assert!(message.starts_with("invalid queue name '"), "{message}");
            assert!(message.ends_with(RULE), "{message}");
        }
    }
    for call in [
        "select pg_queue_create_queue(null)",
        "select pg_queue_drop_queue(null)",
        "select pg_queue_push(null, 'send', '{}')",
    ] {
        let (code, message) = sql_error(sqlx::query(call).execute(&db.pool).await);
        assert_eq!((code.as_str(), message), ("22023", format!("invalid queue name null: {RULE}")));
    }
    assert!(queues::list(&db.pool, &db.schema).await.unwrap().is_empty());
}

#[tokio::test]
async fn names_that_differ_in_the_48th_byte_live_side_by_side() {
    let db = database().await;
    let stem = "a".repeat(47);
    let one = db.queue(&format!("{stem}1")).await;
    let two = db.queue(&format!("{stem}2")).await;
    for queue in [&one, &two] {
        assert_eq!(parts(&db, queue.queue()).await, expected_parts(queue.queue()));
        db.push(queue, "send").await;
    }
    assert_eq!(db.claim(&one, 10).await.len(), 1);
    assert_eq!(jobs::pending_count(&db.pool, &two).await.unwrap(), 1);
}

#[tokio::test]
async fn no_queue_takes_the_name_of_another_ones_index() {
    let db = database().await;
    let names = [
        "emails",
        "emails_due",
        "emails_pkey",
        "emails_uniq",
        "due_emails",
        "jobs",
        "queues",
        "history",
        "cache",
        "select",
    ];
    for name in names {
        let queue = db.queue(name).await;
        db.push(&queue, "send").await;
        assert_eq!(db.claim(&queue, 10).await.len(), 1, "{name}");
    }
    let mut sorted = names.map(|name| QueueName::new(name).unwrap());
    sorted.sort();
    assert_eq!(queues::list(&db.pool, &db.schema).await.unwrap(), sorted);
}

/// What a queue is made of.
async fn parts(db: &crate::support::Db, queue: &QueueName) -> Vec<String> {
    sqlx::query_scalar(
        "select pg_get_indexdef(indexrelid) from pg_index where indrelid = $1::regclass
         union all select pg_get_constraintdef(oid) from pg_constraint where conrelid = $1::regclass and contype = 'p'
         union all select pg_get_triggerdef(oid) from pg_trigger where tgrelid = $1::regclass
         union all select unnest(reloptions) from pg_class where oid = $1::regclass
         union all select pg_get_expr(relpartbound, oid) from pg_class where oid = $1::regclass
         union all select 'persistence ' || relpersistence::text from pg_class where oid = $1::regclass
         order by 1",
    )
    .bind(format!("queue_{queue}"))
    .fetch_all(&db.pool)
    .await
    .unwrap()
}

fn expected_parts(queue: &QueueName) -> Vec<String> {
    let table = format!("public.queue_{queue}");
    let mut parts = vec![
        format!(
            "CREATE INDEX pg_queue_due_{queue} ON {table} USING btree (priority, run_at, id) WHERE (parked IS NULL)"
        ),
        format!("CREATE INDEX pg_queue_park_{queue} ON {table} USING btree (kind) WHERE (parked IS NOT NULL)"),
        format!("CREATE UNIQUE INDEX pg_queue_pkey_{queue} ON {table} USING btree (id)"),
        format!(
            "CREATE UNIQUE INDEX pg_queue_uniq_{queue} ON {table} USING btree (unique_key) WHERE (unique_key IS NOT NULL)"
        ),
        "PRIMARY KEY (id)".to_owned(),
        format!(
            "CREATE TRIGGER pg_queue_wake AFTER INSERT ON {table} FOR EACH STATEMENT EXECUTE FUNCTION pg_queue_wake('{queue}')"
        ),
        format!("FOR VALUES IN ('{queue}')"),
        "persistence p".to_owned(),
    ];
    parts.extend(
        [
            "autovacuum_analyze_scale_factor=0",
            "autovacuum_analyze_threshold=20000",
            "autovacuum_vacuum_insert_scale_factor=0",
            "autovacuum_vacuum_insert_threshold=100000",
            "autovacuum_vacuum_scale_factor=0",
            "autovacuum_vacuum_threshold=5000",
            "fillfactor=45",
            "vacuum_truncate=off",
        ]
        .map(str::to_owned),
    );
    parts.sort();
    parts
}

#[tokio::test]
async fn a_queue_has_its_indexes_its_trigger_and_its_storage_parameters() {
    let db = database().await;
    let emails = db.queue("emails").await;
    assert_eq!(parts(&db, emails.queue()).await, expected_parts(emails.queue()));
}

#[tokio::test]
async fn making_a_queue_twice_or_eight_times_at_once_makes_it_once() {
    let db = database().await;
    let emails = table("emails");
    for made in join_all((0..8).map(|_| queues::create(&db.pool, &emails))).await {
        made.unwrap();
    }
    db.push(&emails, "send").await;
    queues::create(&db.pool, &emails).await.unwrap();
    sqlx::query("select pg_queue_create_queue('emails')").execute(&db.pool).await.unwrap();
    assert_eq!(queues::list(&db.pool, &db.schema).await.unwrap(), [emails.queue().clone()]);
    assert_eq!(jobs::pending_count(&db.pool, &emails).await.unwrap(), 1);
}

#[tokio::test]
async fn whoever_waits_for_the_maker_with_an_old_snapshot_finds_the_queue_made() {
    let db = database().await;
    let emails = table("emails");
    let mut first = db.pool.begin().await.unwrap();
    queues::create(&mut *first, &emails).await.unwrap();
    let second = tokio::spawn({
        let (mut connection, emails) = (db.connect().await, emails.clone());
        async move {
            let mut second = connection.begin_with("begin isolation level repeatable read").await.unwrap();
            queues::create(&mut *second, &emails).await.unwrap();
            second.commit().await.unwrap();
        }
    });
    crate::support::wait_for_lock(&db, "advisory").await;
    first.commit().await.unwrap();
    second.await.unwrap();
}

#[tokio::test]
async fn a_table_of_somebody_else_is_refused_and_left_alone() {
    let db = database().await;
    sqlx::raw_sql("create table queue_items (theirs text); create view queue_views as select 1 as one")
        .execute(&db.pool)
        .await
        .unwrap();
    for name in ["items", "views"] {
        let error = queues::create(&db.pool, &table(name)).await.unwrap_err();
        assert!(matches!(error, QueueDdlError::NotOurs(_)), "{error}");
        assert_eq!(
            error.to_string(),
            format!(
                "table public.queue_{name} exists and is not a queue of pg-queue: rename that table or choose another queue \
                 name"
            )
        );
        assert!(!queues::drop(&db.pool, &table(name), true).await.unwrap());
    }
    assert_eq!(db.count("select count(*) from queue_items").await, 0);
    assert!(queues::list(&db.pool, &db.schema).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_name_clash_inside_the_server_is_not_mistaken_for_a_table_of_somebody_else() {
    let db = database().await;
    sqlx::query("create table pg_queue_due_emails (theirs text)").execute(&db.pool).await.unwrap();
    let error = queues::create(&db.pool, &table("emails")).await.unwrap_err();
    assert!(matches!(error, QueueDdlError::Database(_)), "{error}");
    assert!(error.to_string().contains("\"pg_queue_due_emails\" already exists"), "{error}");
    assert!(matches!(queues::exists(&db.pool, &table("emails")).await, Err(QueueError::Missing(_))));
}

#[tokio::test]
async fn dropping_refuses_with_unfinished_jobs_unless_forced() {
    let db = database().await;
    let emails = db.queue("emails").await;
    db.push(&emails, "send").await;
    db.claim(&emails, 1).await;
    let error = queues::drop(&db.pool, &emails, false).await.unwrap_err();
    assert!(matches!(error, QueueDdlError::NotEmpty(_)), "{error}");
    assert_eq!(
        error.to_string(),
        "queue \"emails\" still has 1 unfinished jobs: pg_queue_drop_queue('emails', true) drops it with them"
    );
    queues::exists(&db.pool, &emails).await.unwrap();
    assert!(queues::drop(&db.pool, &emails, true).await.unwrap());
    assert!(!queues::drop(&db.pool, &emails, true).await.unwrap());
    assert!(queues::list(&db.pool, &db.schema).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_queue_that_was_dropped_is_missing_and_works_once_it_is_made_again() {
    let db = database().await;
    let emails = db.queue("emails").await;
    // One connection, so that its prepared statements meet the new table.
    let mut connection = db.connect().await;
    let job = NewJob::new("send", &1).unwrap();
    for _ in 0..3 {
        jobs::push(&mut connection, &emails, &job).await.unwrap();
        let claimed =
            crate::support::claim_on(&mut connection, &emails, jobs::Claimant::HandDriven(crate::support::LONG), 9)
                .await;
        assert_eq!(claimed.len(), 1);
        jobs::complete(&mut connection, &emails, &[claimed[0].id]).await.unwrap();
        assert!(queues::drop(&mut connection, &emails, false).await.unwrap());
        let error = jobs::push(&mut connection, &emails, &job).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "queue \"emails\" does not exist: make it with `queue.create(..)` or `select pg_queue_create_queue('emails')`"
        );
        assert!(matches!(jobs::pending_count(&mut connection, &emails).await, Err(QueueError::Missing(_))));
        queues::create(&mut connection, &emails).await.unwrap();
    }
}

#[tokio::test]
async fn a_queue_whose_table_was_dropped_by_hand_can_be_dropped_or_made_again() {
    let db = database().await;
    let (one, two) = (db.queue("one").await, db.queue("two").await);
    sqlx::raw_sql("drop table queue_one, queue_two").execute(&db.pool).await.unwrap();
    queues::create(&db.pool, &one).await.unwrap();
    db.push(&one, "send").await;
    assert!(!queues::drop(&db.pool, &two, false).await.unwrap());
    assert_eq!(queues::list(&db.pool, &db.schema).await.unwrap(), [one.queue().clone()]);
}

#[tokio::test]
async fn without_migrations_every_answer_says_so() {
    let db = empty_database().await;
    let hint = "pg-queue's tables are missing or out of date in schema \"public\": run `pg_queue::migrate(&pool)`";
    let emails = table("emails");
    let created = queues::create(&db.pool, &emails).await.unwrap_err().to_string();
    let dropped = queues::drop(&db.pool, &emails, false).await.unwrap_err().to_string();
    let listed = queues::list(&db.pool, &db.schema).await.unwrap_err().to_string();
    let exists = queues::exists(&db.pool, &emails).await.unwrap_err().to_string();
    let nowhere = table("emails").queue().table(&Schema::new("nowhere").unwrap());
    let elsewhere = queues::create(&db.pool, &nowhere).await.unwrap_err().to_string();
    for message in [created, dropped, listed, exists] {
        assert!(message.starts_with(hint), "{message}");
    }
    assert!(elsewhere.contains("out of date in schema \"nowhere\""), "{elsewhere}");
}

#[tokio::test]
async fn making_a_queue_beside_an_open_producer_stalls_nobody() {
    let db = database().await;
    let (busy, other) = (db.queue("busy").await, db.queue("other").await);
    let mut open = db.pool.begin().await.unwrap();
    jobs::push(&mut open, &busy, &NewJob::new("send", &1).unwrap()).await.unwrap();
    // With the open transaction never ending, these only return if they wait for nothing of it.
    let mut maker = db.pool.begin().await.unwrap();
    queues::create(&mut *maker, &table("third")).await.unwrap();
    let mut fresh = db.connect().await;
    sqlx::query("set lock_timeout = '50ms'").execute(&mut fresh).await.unwrap();
    jobs::push(&mut fresh, &other, &NewJob::new("send", &1).unwrap()).await.unwrap();
    maker.commit().await.unwrap();
    open.commit().await.unwrap();
    db.push(&table("third"), "send").await;
}

#[tokio::test]
async fn dropping_a_queue_beside_an_open_producer_lets_others_through_and_gives_up_in_the_end() {
    let db = database().await;
    let (busy, other, gone) = (db.queue("busy").await, db.queue("other").await, db.queue("gone").await);
    let mut open = db.pool.begin().await.unwrap();
    sqlx::query("insert into pg_queue_jobs (queue, payload) values ('busy', '1')").execute(&mut *open).await.unwrap();
    let dropping = tokio::spawn({
        let (pool, gone) = (db.pool.clone(), gone.clone());
        async move { queues::drop(&pool, &gone, false).await }
    });
    // Every producer comes through while the drop tries and tries again: each waits for one try at most.
    let mut pushed = 0;
    while !dropping.is_finished() {
        let mut fresh = db.connect().await;
        sqlx::query("set lock_timeout = '2s'").execute(&mut fresh).await.unwrap();
        jobs::push(&mut fresh, &other, &NewJob::new("send", &1).unwrap()).await.unwrap();
        pushed += 1;
    }
    assert!(pushed > 5, "only {pushed} pushes came through");
    let error = dropping.await.unwrap().unwrap_err();
    assert!(matches!(error, QueueDdlError::Locked(_)), "{error}");
    queues::exists(&db.pool, &gone).await.unwrap();
    open.rollback().await.unwrap();
    assert!(queues::drop(&db.pool, &gone, false).await.unwrap());
    assert_eq!(jobs::pending_count(&db.pool, &busy).await.unwrap(), 0);
}

#[tokio::test]
async fn a_drop_goes_through_as_soon_as_the_producer_ends() {
    let db = database().await;
    let (_, gone) = (db.queue("busy").await, db.queue("gone").await);
    let mut open = db.pool.begin().await.unwrap();
    sqlx::query("insert into pg_queue_jobs (queue, payload) values ('busy', '1')").execute(&mut *open).await.unwrap();
    let dropping = tokio::spawn({
        let (pool, gone) = (db.pool.clone(), gone.clone());
        async move { queues::drop(&pool, &gone, false).await }
    });
    crate::support::wait_for_lock(&db, "relation").await;
    open.commit().await.unwrap();
    assert!(dropping.await.unwrap().unwrap());
    until(async || queues::exists(&db.pool, &gone).await.is_err()).await;
}

#[tokio::test]
async fn every_logged_table_has_a_primary_key_so_that_a_publication_of_all_tables_stops_nothing() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let without = "select count(*) from pg_class as c where relkind = 'r' and relpersistence = 'p'
        and relnamespace = 'public'::regnamespace
        and not exists (select from pg_index where indrelid = c.oid and indisprimary)";
    assert_eq!(db.count(without).await, 0);
    sqlx::query("create publication everything for all tables").execute(&db.pool).await.unwrap();
    db.push(&emails, "send").await;
    let job = db.claim(&emails, 1).await.remove(0);
    assert!(jobs::complete(&db.pool, &emails, &[job.id]).await.unwrap().contains(job.id));
}
