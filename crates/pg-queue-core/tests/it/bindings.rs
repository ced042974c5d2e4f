//! Bindings: what is sent to a topic becomes a job in every queue that is bound to it, exactly if it is sent.

use std::collections::{HashMap, HashSet};

use pg_queue_core::{
    Commit, Job, Priority, QueueError, QueueName, QueueTable, Schema, TraceContext, WorkerId, migrate,
    topics::{
        self, Attributes, BindError, Body, Carried, Filter, Message, NewBinding, PublishError, Topic, TopicPattern,
        channels, unpack,
    },
    workers,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection, postgres::PgListener};

use crate::support::{Db, LONG, database, soon, sql_error, wait_for_lock};

fn binding(pattern: &str, queue: &QueueTable) -> NewBinding {
    NewBinding::new(TopicPattern::new(pattern).unwrap(), queue.queue().clone())
}

async fn bind(db: &Db, binding: &NewBinding) {
    topics::bind(&db.pool, &db.schema, binding).await.unwrap();
}

fn message(topic: &str, body: impl Serialize, attributes: &[(&str, &str)]) -> Message {
    let mut message = Message::new(&Topic::new(topic).unwrap(), &body).unwrap();
    message.attributes = attributes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    message.check().unwrap();
    message
}

async fn publish(connection: &mut PgConnection, messages: &[Message]) -> Result<Vec<String>, PublishError> {
    let queues = topics::publish(connection, &Schema::default(), messages, Commit::LoseOnCrash).await?;
    Ok(queues.iter().map(ToString::to_string).collect())
}

/// Kind and payload of the jobs of a queue, in the order in which they were made.
async fn jobs(db: &Db, queue: &QueueTable) -> Vec<(String, Value)> {
    let query = format!("select kind, payload from queue_{} order by id", queue.queue());
    sqlx::query_as(AssertSqlSafe(query)).fetch_all(&db.pool).await.unwrap()
}

/// Hears what is sent to all topics.
struct Ear(PgListener);

impl Ear {
    async fn new(db: &Db) -> Self {
        let all = channels(&db.schema, &TopicPattern::new(">").unwrap());
        let mut listener = PgListener::connect_with(&db.pool).await.unwrap();
        listener.listen_all(all.iter().map(String::as_str)).await.unwrap();
        Self(listener)
    }

    /// What was sent before now: topic, message, attributes. `stored` stands for a long message.
    async fn heard(&mut self, db: &Db) -> Vec<(String, String, Attributes)> {
        let end = message("the-end", 0, &[]);
        assert!(topics::publish_unbound(&db.pool, &db.schema, &[end], Commit::AsSet).await.unwrap());
        let mut heard = Vec::new();
        loop {
            let payload = soon(self.0.recv()).await.unwrap().payload().to_owned();
            for carried in unpack(&payload) {
                let carried: Carried<'_> = carried.expect("it can be read");
                if carried.topic == "the-end" {
                    return heard;
                }
                let body = match carried.body {
                    Body::Inline(body) => body.to_owned(),
                    Body::Stored(id) => topics::fetch(&db.pool, &db.schema, &[id]).await.unwrap().remove(0).1,
                };
                heard.push((carried.topic.to_owned(), body, carried.attributes().unwrap()));
            }
        }
    }
}

#[derive(Debug, Serialize, Deserialize, Job)]
#[job(crate = "pg_queue_core", queue = "elsewhere", priority = 1, max_attempts = 3)]
struct SendInvoice {
    order: u64,
}

#[tokio::test]
async fn a_message_becomes_a_job_in_every_queue_that_is_bound_to_its_topic() {
    let db = database().await;
    let (audit, invoices, other) = (db.queue("audit").await, db.queue("invoices").await, db.queue("other").await);
    bind(&db, &binding("orders.>", &audit)).await;
    bind(&db, &binding("orders.*.paid", &invoices).kind::<SendInvoice>()).await;
    bind(&db, &binding("orders", &other)).await;
    let mut ear = Ear::new(&db).await;
    let mut connection = db.connect().await;
    let here = TraceContext::new("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").unwrap();
    let mut paid = message("orders.eu.paid", SendInvoice { order: 17 }, &[("country", "at")]);
    paid.trace_context = Some(here.clone());
    assert_eq!(publish(&mut connection, &[paid]).await.unwrap(), ["audit", "invoices"]);
    assert!(publish(&mut connection, &[message("bills.eu.paid", 1, &[])]).await.unwrap().is_empty());

    let payload = json!({"order": 17});
    assert_eq!(jobs(&db, &audit).await, [("raw".to_owned(), payload.clone())]);
    assert_eq!(jobs(&db, &other).await, []);
    let job = db.claim(&invoices, 10).await.remove(0);
    assert_eq!((job.kind.as_str(), job.payload.as_str()), ("send_invoice", r#"{"order":17}"#));
    assert_eq!((job.priority.get(), job.max_attempts), (1, 3));
    assert_eq!(job.metadata["topic"], "orders.eu.paid");
    assert_eq!(job.metadata["attributes"], json!({"country": "at"}));
    assert_eq!(TraceContext::from_metadata(&job.metadata), Some(here));
    let raw = db.claim(&audit, 10).await.remove(0);
    assert_eq!((raw.priority, raw.max_attempts), (Priority::DEFAULT, 20));

    let heard = ear.heard(&db).await;
    let country = [("country".to_owned(), "at".to_owned())].into();
    let expected = [("orders.eu.paid", r#"{"order":17}"#, country), ("bills.eu.paid", "1", Attributes::new())];
    assert_eq!(heard, expected.map(|(topic, body, attributes)| (topic.to_owned(), body.to_owned(), attributes)));
}

#[tokio::test]
async fn a_message_that_fits_several_patterns_of_a_queue_becomes_one_job_of_each_kind() {
    let db = database().await;
    let audit = db.queue("audit").await;
    let often = NewBinding { priority: Priority::HIGHEST, max_attempts: 2, ..binding("orders.*", &audit) };
    let kind = |pattern: &str, kind: &str| NewBinding { kind: kind.to_owned(), ..binding(pattern, &audit) };
    for binding in [binding(">", &audit), often, kind("orders.eu", "a"), kind("*.eu", "a"), kind("orders.eu", "b")] {
        bind(&db, &binding).await;
    }
    publish(&mut db.connect().await, &[message("orders.eu", 1, &[])]).await.unwrap();
    let kinds: Vec<String> = jobs(&db, &audit).await.into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, ["a", "b", "raw"]);
    // Of two bindings that make the same job the more urgent one makes it.
    assert_eq!(db.count("select count(*) from queue_audit where priority = 0 and max_attempts = 2").await, 1);
}

/// What the server makes of a pattern, and what subscribers do.
#[tokio::test]
async fn bindings_and_subscriptions_mean_the_same_by_a_pattern() {
    let db = database().await;
    let patterns =
        ["a", "a.*", "a.>", "*", ">", "*.b.>", "*.*", "a.b.c.>", "a.*.c", "A.b", "a_b", "a-b.*", "ab", "*.*.*.>"];
    let topics = ["a", "a.b", "a.b.c", "a.b.c.d", "a.c", "b.a", "ab", "A.b", "a_b", "a-b.c", "a-b", "aXb", "b.b.b"];
    let mut queues = Vec::new();
    for (number, pattern) in patterns.iter().enumerate() {
        let queue = db.queue(&format!("q{number}")).await;
        bind(&db, &binding(pattern, &queue)).await;
        queues.push(queue);
    }
    let messages: Vec<Message> = topics.iter().map(|topic| message(topic, topic, &[])).collect();
    publish(&mut db.connect().await, &messages).await.unwrap();
    for (pattern, queue) in patterns.iter().zip(&queues) {
        let pattern = TopicPattern::new(pattern).unwrap();
        let expected: Vec<&str> = topics.into_iter().filter(|topic| pattern.matches(topic)).collect();
        let got: Vec<Value> = jobs(&db, queue).await.into_iter().map(|(_, payload)| payload).collect();
        assert_eq!(got, expected, "{pattern}");
    }
}

#[tokio::test]
async fn only_messages_with_the_right_attributes_pass_a_filter() {
    let db = database().await;
    let queue = db.queue("orders").await;
    let filter: Filter = [("country", &["at", "de"][..]), ("vip", &["yes"])]
        .map(|(name, allowed)| (name.to_owned(), allowed.iter().map(|value| String::from(*value)).collect()))
        .into();
    bind(&db, &NewBinding { filter: filter.clone(), ..binding("orders.>", &queue) }).await;
    let messages = [
        message("orders.eu", 1, &[("country", "at"), ("vip", "yes")]),
        message("orders.eu", 2, &[("country", "de"), ("vip", "yes"), ("more", "x")]),
        message("orders.eu", 3, &[("country", "fr"), ("vip", "yes")]),
        message("orders.eu", 4, &[("country", "at")]),
        message("orders.eu", 5, &[("country", "at, de"), ("vip", "yes")]),
        message("orders.eu", 6, &[("Country", "at"), ("vip", "yes")]),
        message("orders.eu", 7, &[]),
    ];
    let mut ear = Ear::new(&db).await;
    publish(&mut db.connect().await, &messages).await.unwrap();
    let got: Vec<Value> = jobs(&db, &queue).await.into_iter().map(|(_, payload)| payload).collect();
    assert_eq!(got, [1, 2]);
    // Subscribers get them all.
    assert_eq!(ear.heard(&db).await.len(), messages.len());
    let listed = topics::bindings(&db.pool, &db.schema).await.unwrap().remove(0);
    assert_eq!(listed.filter, filter);

    // The same binding once more has no filter.
    bind(&db, &NewBinding { max_attempts: 7, ..binding("orders.>", &queue) }).await;
    let listed = topics::bindings(&db.pool, &db.schema).await.unwrap();
    assert_eq!((listed.len(), listed[0].filter.len(), listed[0].max_attempts), (1, 0, 7));
    publish(&mut db.connect().await, &messages).await.unwrap();
    assert_eq!(jobs(&db, &queue).await.len(), 2 + messages.len());
}

#[tokio::test]
async fn a_binding_is_ended_by_what_it_was_made_by() {
    let db = database().await;
    let queue = db.queue("orders").await;
    bind(&db, &binding("orders.>", &queue)).await;
    bind(&db, &binding("orders.>", &queue).kind::<SendInvoice>()).await;
    bind(&db, &binding("*", &queue)).await;
    let unbind = async |pattern: &str, kind: &str| {
        let pattern = TopicPattern::new(pattern).unwrap();
        topics::unbind(&db.pool, &db.schema, &pattern, queue.queue(), kind).await.unwrap()
    };
    assert!(!unbind("orders.*", "raw").await);
    assert!(unbind("orders.>", "raw").await);
    assert!(!unbind("orders.>", "raw").await);
    let left = topics::bindings(&db.pool, &db.schema).await.unwrap();
    let left: Vec<_> = left.iter().map(|left| (left.pattern.as_str(), left.kind.as_str())).collect();
    assert_eq!(left, [("*", "raw"), ("orders.>", "send_invoice")]);
}

#[tokio::test]
async fn jobs_and_message_come_with_the_transaction_or_not_at_all() {
    let db = database().await;
    let (one, other) = (db.queue("one").await, db.queue("other").await);
    bind(&db, &binding("orders.*", &one)).await;
    bind(&db, &binding("orders.eu", &other)).await;
    let mut ear = Ear::new(&db).await;
    let mut connection = db.connect().await;
    let mut transaction = connection.begin().await.unwrap();
    publish(&mut transaction, &[message("orders.eu", 1, &[]), message("bills", 1, &[])]).await.unwrap();
    transaction.rollback().await.unwrap();
    assert_eq!(db.count("select count(*) from pg_queue_jobs").await, 0);
    assert_eq!(ear.heard(&db).await, []);
    let mut transaction = connection.begin().await.unwrap();
    publish(&mut transaction, &[message("orders.eu", 2, &[]), message("bills", 2, &[])]).await.unwrap();
    publish(&mut transaction, &[message("bills", 3, &[])]).await.unwrap();
    assert_eq!(db.count("select count(*) from pg_queue_jobs").await, 0);
    assert_eq!(ear.heard(&db).await, []);
    transaction.commit().await.unwrap();
    assert_eq!(db.count("select count(*) from pg_queue_jobs where payload::text = '2'").await, 2);
    let mut heard: Vec<_> =
        ear.heard(&db).await.into_iter().map(|(topic, body, _)| format!("{topic} {body}")).collect();
    heard.sort();
    assert_eq!(heard, ["bills 2", "bills 3", "orders.eu 2"]);
}

#[tokio::test]
async fn many_messages_of_all_lengths_become_jobs_in_their_order() {
    let db = database().await;
    let queue = db.queue("orders").await;
    bind(&db, &binding("orders.*", &queue)).await;
    let body = |n: usize| match n % 100 {
        // Stored for the subscribers.
        7 => json!([n, "ä".repeat(5000)]),
        _ => json!([n]),
    };
    let topic = |n: usize| if n.is_multiple_of(3) { "bills.eu".to_owned() } else { format!("orders.{}", n % 5) };
    let messages: Vec<Message> = (0..1000).map(|n| message(&topic(n), body(n), &[])).collect();
    let mut ear = Ear::new(&db).await;
    assert_eq!(publish(&mut db.connect().await, &messages).await.unwrap(), ["orders"]);
    let got: Vec<Value> = jobs(&db, &queue).await.into_iter().map(|(_, payload)| payload).collect();
    let expected: Vec<Value> = (0..1000).filter(|n| n % 3 != 0).map(body).collect();
    assert!(got == expected);
    let mut heard: Vec<Value> = Vec::new();
    let mut last = HashMap::new();
    for (topic, body, _) in ear.heard(&db).await {
        let body: Value = serde_json::from_str(&body).unwrap();
        let number = body[0].as_u64();
        assert!(last.insert(topic, number) < Some(number), "those of a topic come in their order");
        heard.push(body);
    }
    heard.sort_by_key(|body| body[0].as_u64());
    assert!(heard.into_iter().eq((0..1000).map(body)));
}

/// What becomes a job is committed as the connection is set up to; what nobody keeps is not waited for.
#[tokio::test]
async fn only_what_makes_no_job_is_committed_asynchronously() {
    let db = database().await;
    let queue = db.queue("orders").await;
    let note = "create table commits (setting text, what text);
        create function note() returns trigger language plpgsql as $$ begin
            insert into commits values (current_setting('synchronous_commit'), tg_table_name); return null; end $$;
        create constraint trigger note after insert on queue_orders deferrable initially deferred
            for each row execute function note();
        create constraint trigger note after insert on pg_queue_messages deferrable initially deferred
            for each row execute function note()";
    sqlx::raw_sql(note).execute(&db.pool).await.unwrap();
    let mut connection = db.connect().await;
    // Tests have a server that never waits for the disk.
    sqlx::query("set synchronous_commit = on").execute(&mut connection).await.unwrap();
    let filter: Filter = [("vip".to_owned(), vec!["yes".to_owned()])].into();
    bind(&db, &NewBinding { filter, ..binding("orders", &queue) }).await;
    let long = "x".repeat(8000);
    let mut commits = async |messages: &[Message]| -> Vec<(String, String)> {
        publish(&mut connection, messages).await.unwrap();
        sqlx::query_as("with gone as (delete from commits returning *) select * from gone order by what")
            .fetch_all(&mut connection)
            .await
            .unwrap()
    };
    let pair = |setting: &str, what: &str| (setting.to_owned(), what.to_owned());
    assert_eq!(commits(&[message("bills", &long, &[])]).await, [pair("off", "pg_queue_messages")]);
    let vip = message("orders", &long, &[("vip", "yes")]);
    let both = [pair("on", "pg_queue_messages"), pair("on", "queue_orders")];
    assert_eq!(commits(std::slice::from_ref(&vip)).await, both);
    assert_eq!(commits(&[message("orders", &long, &[])]).await, [pair("off", "pg_queue_messages")]);
    assert_eq!(commits(&[message("orders", 1, &[]), vip, message("bills", 1, &[])]).await, both);
}

#[tokio::test]
async fn a_dropped_queue_takes_its_bindings_along() {
    let db = database().await;
    let (one, other) = (db.queue("one").await, db.queue("other").await);
    for queue in [&one, &other] {
        bind(&db, &binding("orders.>", queue)).await;
        bind(&db, &binding("*", queue)).await;
    }
    sqlx::query("select pg_queue_drop_queue('one')").execute(&db.pool).await.unwrap();
    let left = topics::bindings(&db.pool, &db.schema).await.unwrap();
    assert_eq!(left.iter().map(|left| left.queue.as_str()).collect::<Vec<_>>(), ["other", "other"]);
    assert_eq!(publish(&mut db.connect().await, &[message("orders.eu", 1, &[])]).await.unwrap(), ["other"]);
    let error = topics::bind(&db.pool, &db.schema, &binding("*", &one)).await.unwrap_err();
    assert!(matches!(&error, BindError::Queue(QueueError::Missing(queue)) if queue == one.queue()), "{error}");
}

#[tokio::test]
async fn a_missing_queue_is_an_error_and_nothing_is_sent() {
    let db = database().await;
    let (one, other) = (db.queue("one").await, db.queue("other").await);
    for queue in [&one, &other] {
        bind(&db, &binding("orders.>", queue)).await;
    }
    let mut ear = Ear::new(&db).await;
    let is_missing = |error: PublishError, queue: &QueueName| {
        assert!(matches!(&error, PublishError::MissingQueue(missing) if missing == queue), "{error}");
    };
    // Dropped at that moment: the statement has seen the binding, and waits for the table.
    let mut dropping = db.pool.begin().await.unwrap();
    sqlx::query("select pg_queue_drop_queue('other')").execute(&mut *dropping).await.unwrap();
    let mut connection = db.connect().await;
    let messages = [message("orders.eu", 1, &[]), message("bills", 1, &[])];
    let publishing = publish(&mut connection, &messages);
    let drop = async {
        wait_for_lock(&db, "relation").await;
        dropping.commit().await.unwrap();
    };
    let (published, ()) = tokio::join!(publishing, drop);
    is_missing(published.unwrap_err(), other.queue());
    assert_eq!(jobs(&db, &one).await, []);
    assert_eq!(ear.heard(&db).await, []);
    // It is gone, and so is its binding.
    assert_eq!(publish(&mut connection, &messages).await.unwrap(), ["one"]);
    assert_eq!(ear.heard(&db).await.len(), 2);
    // A table that was dropped by hand leaves the binding behind.
    sqlx::query("drop table queue_one").execute(&db.pool).await.unwrap();
    is_missing(publish(&mut connection, &messages).await.unwrap_err(), one.queue());
    assert_eq!(ear.heard(&db).await, []);
    let refused = sqlx::query("select pg_queue_publish('orders.eu', '1')").execute(&db.pool).await;
    let (code, said) = sql_error(refused);
    assert_eq!(code, "42P01");
    assert!(said.starts_with("queue \"one\" does not exist, to which 'orders.>' is bound: "), "{said}");
}

#[tokio::test]
async fn a_message_wakes_the_workers_of_the_bound_queues() {
    let db = database().await;
    let (one, other) = (db.queue("one").await, db.queue("other").await);
    bind(&db, &binding("orders", &one)).await;
    bind(&db, &binding("orders", &other)).await;
    workers::wait(&db.pool, &db.schema, &[other.queue().clone()], WorkerId::random(), LONG).await.unwrap();
    let mut listener = PgListener::connect_with(&db.pool).await.unwrap();
    listener.listen(&db.schema.channel()).await.unwrap();
    publish(&mut db.connect().await, &[message("orders", 1, &[])]).await.unwrap();
    assert_eq!(soon(listener.recv()).await.unwrap().payload(), "wake:other");
}

#[tokio::test]
async fn sql_binds_and_publishes_as_rust_does() {
    let db = database().await;
    let (audit, invoices) = (db.queue("audit").await, db.queue("invoices").await);
    let sql = async |statement: &'static str| sqlx::query(statement).execute(&db.pool).await.unwrap();
    sql("select pg_queue_bind('orders.>', 'audit')").await;
    sql("select pg_queue_bind(pattern => 'orders.*.paid', queue => 'invoices', kind => 'send_invoice',
            filter => '{\"country\": [\"at\", \"de\"], \"vip\": \"yes\"}', priority => 1, max_attempts => 3)")
    .await;
    let made = topics::bindings(&db.pool, &db.schema).await.unwrap();
    let invoice = made.iter().find(|made| made.queue.as_str() == "invoices").unwrap();
    assert_eq!((invoice.pattern.as_str(), invoice.kind.as_str()), ("orders.*.paid", "send_invoice"));
    assert_eq!((invoice.priority.get(), invoice.max_attempts), (1, 3));
    assert_eq!(json!(invoice.filter), json!({"country": ["at", "de"], "vip": ["yes"]}));

    let mut ear = Ear::new(&db).await;
    let publish = async |arguments: &str| {
        let call = AssertSqlSafe(format!("select pg_queue_publish({arguments})"));
        sqlx::query_scalar::<_, i64>(call).fetch_one(&db.pool).await.unwrap()
    };
    let attributes = r#"'{"vip": "yes", "country": "de", "ä": ",7:"}'"#;
    assert_eq!(publish(&format!("'orders.eu.paid', '{{\"order\": \"ä\"}}', {attributes}")).await, 2);
    assert_eq!(publish("'orders.eu.paid', '{}', '{}'").await, 1);
    assert_eq!(publish("'bills', 'null'").await, 0);
    assert_eq!(publish(&format!("'orders.long', to_json(repeat('ä', 4000)), {attributes}")).await, 1);
    let long = format!("\"{}\"", "ä".repeat(4000));
    let attributes: Attributes = serde_json::from_str(attributes.trim_matches('\'')).unwrap();
    let none = Attributes::new();
    let expected = [
        ("orders.eu.paid", r#"{"order": "ä"}"#, &attributes),
        ("orders.eu.paid", "{}", &none),
        ("bills", "null", &none),
        ("orders.long", &long, &attributes),
    ];
    let expected = expected.map(|(topic, body, attributes)| (topic.to_owned(), body.to_owned(), attributes.clone()));
    assert_eq!(ear.heard(&db).await, expected);
    let audited: Vec<Value> = jobs(&db, &audit).await.into_iter().map(|(_, payload)| payload).collect();
    assert_eq!(audited, [json!({"order": "ä"}), json!({}), json!("ä".repeat(4000))]);
    let job = db.claim(&invoices, 10).await.remove(0);
    assert_eq!((job.kind.as_str(), job.priority.get(), job.max_attempts), ("send_invoice", 1, 3));
    assert_eq!((&job.metadata["topic"], &job.metadata["attributes"]), (&json!("orders.eu.paid"), &json!(attributes)));
    assert_eq!(db.claim(&audit, 2).await[1].metadata, *json!({"topic": "orders.eu.paid"}).as_object().unwrap());

    let unbind = "select pg_queue_unbind('orders.>', 'audit')";
    let unbound: bool = sqlx::query_scalar(unbind).fetch_one(&db.pool).await.unwrap();
    let again: bool = sqlx::query_scalar(unbind).fetch_one(&db.pool).await.unwrap();
    assert!(unbound && !again);
}

/// Subscribers listen on what Rust computes.
#[tokio::test]
async fn sql_sends_on_the_channels_on_which_subscribers_listen() {
    let db = database().await;
    let long = Schema::new(&"s".repeat(48)).unwrap();
    migrate::run(&mut db.connect().await, &long).await.unwrap();
    let topics: Vec<String> = (0..200).map(|n| format!("Topic_{n}-x.y")).chain(["a".to_owned()]).collect();
    for schema in [&db.schema, &long] {
        let query = format!(
            "select {schema}.pg_queue_topic_channel(topic) from unnest($1) with ordinality as t (topic, n) order by n"
        );
        let sent: Vec<String> =
            sqlx::query_scalar(AssertSqlSafe(query)).bind(&topics).fetch_all(&db.pool).await.unwrap();
        let heard = topics.iter().map(|topic| channels(schema, &TopicPattern::new(topic).unwrap()).remove(0));
        assert!(sent.iter().eq(&heard.collect::<Vec<_>>()));
        assert_eq!(sent.iter().collect::<HashSet<_>>().len(), 16);
    }
}

#[tokio::test]
async fn every_bad_argument_has_an_error_that_says_what_is_wrong() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let pattern = "it has words of a-z, A-Z, 0-9, _ and - with dots between them, * for any word, > at the end for all that \
        follow, and at most 255 bytes";
    let topic = "it has words of a-z, A-Z, 0-9, _ and - with dots between them, and at most 255 bytes";
    let filter = "invalid filter: it is an object of attribute names, each with a string or with an array of at least one string";
    let attributes = "invalid attributes: they are an object of strings, of at most 4 KiB";
    let cases = [
        ("bind('orders..eu', 'emails')", "22023", format!("invalid topic pattern 'orders..eu': {pattern}")),
        ("bind('', 'emails')", "22023", format!("invalid topic pattern '': {pattern}")),
        ("bind('a.>.b', 'emails')", "22023", format!("invalid topic pattern 'a.>.b': {pattern}")),
        ("bind('a.b*', 'emails')", "22023", format!("invalid topic pattern 'a.b*': {pattern}")),
        ("bind(e'a\\n', 'emails')", "22023", format!("invalid topic pattern 'a\n': {pattern}")),
        ("bind(null, 'emails')", "22023", format!("invalid topic pattern null: {pattern}")),
        ("bind(repeat('a', 256), 'emails')", "22023", format!("invalid topic pattern '{}': {pattern}", "a".repeat(80))),
        (
            "bind('a', 'email')",
            "42P01",
            "queue \"email\" does not exist: make it with select pg_queue_create_queue('email')".to_owned(),
        ),
        ("bind('a', 'emails', '')", "22023", "invalid kind: a kind has 1 to 100 bytes".to_owned()),
        ("bind('a', 'emails', null)", "22023", "invalid kind: a kind has 1 to 100 bytes".to_owned()),
        ("bind('a', 'emails', filter => '[]')", "22023", filter.to_owned()),
        ("bind('a', 'emails', filter => 'null')", "22023", filter.to_owned()),
        ("bind('a', 'emails', filter => '{\"a\": 1}')", "22023", filter.to_owned()),
        ("bind('a', 'emails', filter => '{\"a\": []}')", "22023", filter.to_owned()),
        ("bind('a', 'emails', filter => '{\"a\": [\"b\", 1]}')", "22023", filter.to_owned()),
        (
            "bind('a', 'emails', priority => 10)",
            "22023",
            "priority 10 is out of range: priorities are 0 (first) to 9 (last)".to_owned(),
        ),
        ("bind('a', 'emails', max_attempts => 0)", "22023", "max_attempts 0 is out of range: 1 to 32767".to_owned()),
        ("publish('a.*', '1')", "22023", format!("invalid topic 'a.*': {topic}")),
        ("publish('a.', '1')", "22023", format!("invalid topic 'a.': {topic}")),
        ("publish(null, '1')", "22023", format!("invalid topic null: {topic}")),
        ("publish('a', null)", "22004", "the message is null: pass the JSON value 'null' if that is meant".to_owned()),
        (
            "publish('a', ('\"' || repeat('a', 16777215) || '\"')::json)",
            "54000",
            "the message has 16777217 bytes: at most 16 MiB are allowed".to_owned(),
        ),
        ("publish('a', '1', '[]')", "22023", attributes.to_owned()),
        ("publish('a', '1', '{\"a\": 1}')", "22023", attributes.to_owned()),
        ("publish('a', '1', json_build_object('a', repeat('b', 4090)))", "22023", attributes.to_owned()),
    ];
    for (call, code, message) in cases {
        let called = sqlx::query(AssertSqlSafe(format!("select pg_queue_{call}"))).execute(&db.pool).await;
        assert_eq!(sql_error(called), (code.to_owned(), message), "{call}");
    }
    assert_eq!(db.count("select count(*) from pg_queue_bindings").await, 0);

    for invalid in [
        NewBinding { kind: String::new(), ..binding("a", &emails) },
        NewBinding { kind: "a\0".to_owned(), ..binding("a", &emails) },
        NewBinding { max_attempts: 0, ..binding("a", &emails) },
        NewBinding { filter: [("a".to_owned(), Vec::new())].into(), ..binding("a", &emails) },
        NewBinding { filter: [("a".to_owned(), vec!["\0".to_owned()])].into(), ..binding("a", &emails) },
    ] {
        let error = topics::bind(&db.pool, &db.schema, &invalid).await.unwrap_err();
        assert!(matches!(error, BindError::Invalid(_)), "{error}");
    }
}
