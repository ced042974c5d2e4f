//! Through a pooler that hands out server connections by transaction, with few of them for many.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use pg_queue_client::{ListenError, PgQueue, PgQueueBuilder, topics::SubscribeError};
use pg_queue_core::{Job, PushOptions, QueueName, Unique};
use pg_queue_embedded::{Pooler, shared};
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgPoolOptions;
use tokio::{task::JoinSet, time::timeout};

use crate::support::{Db, LONG, database, empty_database, next_job};

/// A job of the tests.
#[derive(Debug, Serialize, Deserialize, Job)]
#[job(crate = "pg_queue_core", queue = "work")]
struct Task {
    n: usize,
}

/// So many tasks share four server connections.
const TASKS: usize = 16;
const CALLS: usize = 200;

/// A pooler of the test's own. It is there where CI is; elsewhere it is no reason to fail.
fn pooler() -> Option<Pooler> {
    match Pooler::start(shared(), 4) {
        Ok(pooler) => Some(pooler),
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "{error}");
            eprintln!("left out: {error}");
            None
        }
    }
}

fn through(pooler: &Pooler, db: &Db, builder: PgQueueBuilder) -> PgQueue {
    let pool = PgPoolOptions::new().max_connections(40);
    builder.transaction_pooler().build(pool.connect_lazy(&pooler.url(db.database.name())).unwrap())
}

fn with_listener(pooler: &Pooler, db: &Db) -> PgQueue {
    through(pooler, db, PgQueue::builder().listener_url(db.database.url()).unwrap())
}

/// Calls `call` from many tasks at once, with numbers of their own.
async fn from_many_tasks<F: Future<Output = ()> + Send + 'static>(call: impl Fn(usize) -> F + Send + Sync + 'static) {
    let call = Arc::new(call);
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let call = Arc::clone(&call);
        tasks.spawn(async move {
            for n in 0..CALLS {
                call(task * CALLS + n).await;
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_many_tasks_enqueue_take_and_complete_through_a_pooler_is_each_done_once() {
    let Some(pooler) = pooler() else { return };
    let db = database().await;
    let work = db.queue("work").await;
    let mgr = with_listener(&pooler, &db);
    let ids: Arc<std::sync::Mutex<Vec<_>>> = Arc::default();
    let (pusher, queue, pushed) = (mgr.clone(), work.clone(), Arc::clone(&ids));
    from_many_tasks(move |n| {
        let (mgr, queue, ids) = (pusher.clone(), queue.clone(), Arc::clone(&pushed));
        async move {
            let id = if n % 3 == 0 {
                Task { n }.enqueue(&mgr).unique_key(format!("key-{n}")).await.unwrap().id()
            } else {
                mgr.queue.push(&queue, &Task { n }).await.unwrap()
            };
            // What was answered is committed: another connection sees it.
            let stored = mgr.queue.get(&queue, id).await.unwrap().expect("it was acknowledged");
            assert_eq!(serde_json::from_str::<Task>(&stored.payload).unwrap().n, n);
            ids.lock().unwrap().push(id);
        }
    })
    .await;
    let all = TASKS * CALLS;
    assert_eq!(db.count("select count(*) from queue_work").await, i64::try_from(all).unwrap());
    let distinct: BTreeSet<_> = ids.lock().unwrap().iter().map(|id| id.get()).collect();
    assert_eq!(distinct.len(), all, "each call was answered with an id of its own");
    let taken: Arc<std::sync::Mutex<Vec<usize>>> = Arc::default();
    let (popper, queue, done) = (mgr.clone(), work.clone(), Arc::clone(&taken));
    from_many_tasks(move |_| {
        let (mgr, queue, taken) = (popper.clone(), queue.clone(), Arc::clone(&done));
        async move {
            let job = next_job::<Task>(&mgr, &queue).await;
            mgr.queue.complete(&queue, job.id).await.unwrap();
            taken.lock().unwrap().push(job.payload.n);
        }
    })
    .await;
    let mut taken = taken.lock().unwrap().clone();
    taken.sort_unstable();
    assert_eq!(taken, (0..all).collect::<Vec<_>>());
    assert_eq!(db.count("select count(*) from queue_work").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_many_tasks_read_through_a_pooler_is_what_they_have_asked_for() {
    let Some(pooler) = pooler() else { return };
    let db = database().await;
    let mgr = with_listener(&pooler, &db);
    from_many_tasks(move |n| {
        let mgr = mgr.clone();
        async move {
            let key = format!("key-{n}");
            match n % 4 {
                // Statements with other numbers of columns and parameters at the same time.
                0 => {
                    let queue = QueueName::new(format!("queue_{}", n % 8)).unwrap();
                    mgr.queue.create(&queue).await.unwrap();
                    assert_eq!(mgr.queue.pending_count(&queue).await.unwrap(), 0);
                    assert!(mgr.queue.list().await.unwrap().contains(&queue));
                }
                _ => {
                    mgr.cache.set(&key, &n, 60).await.unwrap();
                    assert_eq!(mgr.cache.get::<usize>(&key).await.unwrap(), Some(n));
                    assert!(mgr.cache.delete(&key).await.unwrap());
                    assert_eq!(mgr.cache.get::<usize>(&key).await.unwrap(), None);
                }
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_answered_through_a_pooler_without_a_listener() {
    let Some(pooler) = pooler() else { return };
    let db = database().await;
    let work = db.queue("work").await;
    let mgr = through(&pooler, &db, PgQueue::builder());
    let (responder, queue) = (mgr.clone(), work.clone());
    let answering = tokio::spawn(async move {
        for _ in 0..20 {
            let job = next_job::<usize>(&responder, &queue).await;
            let request = job.request_id.unwrap();
            responder.request_response.store_response(&request, &(job.payload * 2)).await.unwrap();
            responder.queue.complete(&queue, job.id).await.unwrap();
        }
    });
    let mut asking = JoinSet::new();
    for n in 0..20_usize {
        let (mgr, work) = (mgr.clone(), work.clone());
        asking.spawn(async move {
            let doubled: usize = mgr.request_response.push_and_wait(&work, &n, LONG).await.unwrap();
            assert_eq!(doubled, n * 2);
        });
    }
    while let Some(ended) = asking.join_next().await {
        ended.unwrap();
    }
    answering.await.unwrap();
    assert!(mgr.is_deaf());
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_must_listen_through_a_pooler_is_told_that_nothing_is_heard() {
    let Some(pooler) = pooler() else { return };
    let db = database().await;
    let deaf = through(&pooler, &db, PgQueue::builder());
    assert!(!deaf.is_deaf(), "nothing has tried to listen");
    // One that can wait is not refused, and hears nothing.
    let mut background = deaf.background_listener(&["orders"]).unwrap();
    let refused = deaf.create_listener().await.unwrap_err();
    assert!(matches!(refused, ListenError::Unheard), "{refused}");
    let refused = deaf.topics.subscribe::<usize>("orders.*").await.unwrap_err();
    assert!(matches!(refused, SubscribeError::Listen(ListenError::Unheard)), "{refused}");
    assert!(deaf.is_deaf());
    // An address that does not go past the pooler is noticed, and nothing is left there that would disturb others.
    let mistaken = PgQueue::builder().listener_url(&pooler.url(db.database.name())).unwrap();
    let mistaken = through(&pooler, &db, mistaken);
    let refused = mistaken.create_listener().await.unwrap_err();
    assert!(matches!(refused, ListenError::Unheard), "{refused}");
    assert_eq!(db.listening_backends().await, 0);
    // Sending works all the same, and whoever goes past the pooler hears it.
    let hears = with_listener(&pooler, &db);
    let mut listener = hears.create_listener().await.unwrap();
    listener.listen("orders").await.unwrap();
    deaf.notify.notify("orders", "17").await.unwrap();
    assert_eq!(crate::support::payload(&mut listener).await.unwrap(), "17");
    assert!(background.try_recv().unwrap().is_none());
    assert!(!hears.is_deaf());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tables_are_made_and_looked_at_through_a_pooler() {
    let Some(pooler) = pooler() else { return };
    let db = empty_database().await;
    let mgr = with_listener(&pooler, &db);
    let missing = mgr.check().await.unwrap_err().to_string();
    assert!(missing.contains("run"), "{missing}");
    mgr.migrate().await.unwrap();
    mgr.migrate().await.unwrap();
    mgr.check().await.unwrap();
    let work = QueueName::new("work").unwrap();
    let missing = mgr.queue.push(&work, &1).await.unwrap_err().to_string();
    assert!(missing.contains("does not exist"), "{missing}");
    mgr.queue.create(&work).await.unwrap();
    mgr.queue.push(&work, &1).await.unwrap();
    assert_eq!(next_job::<i32>(&mgr, &work).await.payload, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_in_a_transaction_of_the_application_goes_through_a_pooler_with_it() {
    let Some(pooler) = pooler() else { return };
    let db = database().await;
    let work = db.queue("work").await;
    let mgr = with_listener(&pooler, &db);
    from_many_tasks(move |n| {
        let (mgr, work) = (mgr.clone(), work.clone());
        async move {
            let mut transaction = mgr.pool().begin().await.unwrap();
            let id = Task { n }.enqueue(mgr.on(&mut transaction)).await.unwrap().id();
            let keeps = n % 2 == 0;
            if keeps {
                transaction.commit().await.unwrap();
            } else {
                transaction.rollback().await.unwrap();
            }
            let stored = mgr.queue.get(&work, id).await.unwrap();
            assert_eq!(stored.map(|job| serde_json::from_str::<Task>(&job.payload).unwrap().n), keeps.then_some(n));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_given_up_through_a_pooler_leaves_no_open_transaction_behind() {
    let Some(pooler) = pooler() else { return };
    let db = database().await;
    let work = db.queue("work").await;
    let mgr = with_listener(&pooler, &db);
    let options = PushOptions::default().unique(Unique::key("k"));
    for n in 0..300_u64 {
        let given_up = mgr.queue.push_with(&work, "raw", &n, options.clone());
        drop(timeout(Duration::from_micros(n * 10), given_up).await);
        // Whoever gets the connection next, and sends nothing but a statement, has committed it.
        sqlx::raw_sql("create table if not exists applied (n int); insert into applied values (1)")
            .execute(mgr.pool())
            .await
            .unwrap();
    }
    assert_eq!(db.count("select count(*) from applied").await, 300);
    mgr.queue.push_with(&work, "raw", &300, options).await.unwrap();
    assert_eq!(db.count("select count(*) from queue_work").await, 1);
    mgr.pool().close().await;
}
