//! No server, a closed pool, a busy pool: an error soon, or patience, but never a hang.

use std::time::{Duration, Instant};

use pg_queue_client::{ListenError, PgQueue};
use pg_queue_core::{DatabaseError, QueueName};
use sqlx::postgres::PgPoolOptions;
use tokio::task::JoinSet;

use crate::support::{LONG, Mode, Proxy, database, database_of, eventually, pool_to_nowhere};

/// "At once", on a busy machine. The pool alone would take 30 s.
const AT_ONCE: Duration = Duration::from_secs(5);

#[tokio::test]
async fn without_a_server_every_part_says_so_at_once() {
    let mgr = PgQueue::new(pool_to_nowhere().await);
    let work = QueueName::new("work").unwrap();
    let began = Instant::now();
    let said = [
        mgr.queue.push(&work, &1).await.unwrap_err().to_string(),
        mgr.queue.pop::<u8>(&work).await.unwrap_err().to_string(),
        mgr.cache.get::<u8>("k").await.unwrap_err().to_string(),
        mgr.notify.notify("orders", "1").await.unwrap_err().to_string(),
        mgr.request_response.push_and_wait::<_, u8>(&work, &1, LONG).await.unwrap_err().to_string(),
        mgr.migrate().await.unwrap_err().to_string(),
        mgr.create_listener().await.unwrap_err().to_string(),
        PgQueue::connect(&format!("postgres://u:hush-hush@127.0.0.1:{}/app", mgr.pool().connect_options().get_port()))
            .await
            .unwrap_err()
            .to_string(),
    ];
    assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
    for said in said {
        assert!(said.contains("check that it is running"), "{said}");
        assert!(!said.contains("hush-hush"), "{said}");
    }
}

#[tokio::test]
async fn many_callers_are_told_together_that_there_is_no_server() {
    let mgr = PgQueue::new(pool_to_nowhere().await);
    let began = Instant::now();
    let mut callers = JoinSet::new();
    for _ in 0..200 {
        let mgr = mgr.clone();
        callers.spawn(async move { mgr.cache.get::<u8>("k").await.unwrap_err().to_string() });
    }
    for said in callers.join_all().await {
        assert!(said.contains("cannot reach"), "{said}");
    }
    assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_server_that_goes_away_is_noticed_although_the_pool_had_connections() {
    let db = database().await;
    let proxy = Proxy::start(&db.database, Mode::Open).await;
    let mgr = PgQueue::connect(&proxy.url).await.unwrap();
    mgr.cache.set("k", &1, 60).await.unwrap();
    proxy.set(Mode::Refusing);
    let began = Instant::now();
    let error = loop {
        match mgr.cache.get::<u8>("k").await {
            Ok(_) => assert!(began.elapsed() < AT_ONCE),
            Err(error) => break error.to_string(),
        }
    };
    assert!(began.elapsed() < AT_ONCE, "{error} after {:?}", began.elapsed());
    proxy.set(Mode::Open);
    eventually("the cache works again", async || matches!(mgr.cache.get::<u8>("k").await, Ok(Some(1)))).await;
}

#[tokio::test]
async fn a_closed_pool_is_named() {
    let db = database().await;
    let work = db.queue("work").await;
    db.mgr.pool().close().await;
    let closed = "the connection pool is closed";
    assert!(db.mgr.queue.push(&work, &1).await.unwrap_err().to_string().contains(closed));
    assert!(db.mgr.queue.pop::<u8>(&work).await.unwrap_err().to_string().contains(closed));
    assert!(db.mgr.cache.delete("k").await.unwrap_err().to_string().contains(closed));
    assert!(db.mgr.migrate().await.unwrap_err().to_string().contains(closed));
    let call = db.mgr.request_response.push_and_wait::<_, u8>(&work, &1, LONG).await;
    assert!(call.unwrap_err().to_string().contains(closed));
}

#[tokio::test]
async fn a_busy_pool_is_waited_for_without_a_crowd_of_connections_beside_it() {
    let db = database().await;
    let pool = PgPoolOptions::new().max_connections(1).connect_with(db.database.connect_options()).await.unwrap();
    let mgr = PgQueue::new(pool.clone());
    let held = pool.acquire().await.unwrap();
    let mut callers = JoinSet::new();
    for _ in 0..100 {
        let mgr = mgr.clone();
        callers.spawn(async move { mgr.cache.set("k", &1, 60).await });
    }
    let others = "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()";
    let most = tokio::time::timeout(Duration::from_secs(1), async {
        let mut most = 0;
        loop {
            most = most.max(db.count(others).await);
            if most > 4 {
                break most;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert!(most.is_err(), "{most:?} connections");
    drop(held);
    callers.join_all().await.into_iter().for_each(|set| set.unwrap());
}

#[tokio::test]
async fn a_thousand_callers_of_a_new_pool_open_no_more_than_its_connections() {
    let db = database_of(2).await;
    let pool = PgPoolOptions::new().max_connections(5).connect_lazy_with(db.database.connect_options());
    let mgr = PgQueue::new(pool);
    let mut callers = JoinSet::new();
    for _ in 0..1000 {
        let mgr = mgr.clone();
        callers.spawn(async move { mgr.cache.set("k", &1, 60).await });
    }
    let others =
        "select count(*) from pg_stat_activity where datname = current_database() and backend_type = 'client backend'";
    while let Some(set) = callers.try_join_next() {
        set.unwrap().unwrap();
    }
    let most = db.count(others).await;
    assert!(most <= 2 + 5 + 1, "{most} connections");
    callers.join_all().await.into_iter().for_each(|set| set.unwrap());
}

#[tokio::test]
async fn a_url_that_is_none_is_refused() {
    assert!(PgQueue::builder().listener_url("https://db:5432/app").is_err());
    assert!(PgQueue::builder().listener_url("postgres://u:hush-hush@db:port/app").is_err());
    let error = PgQueue::connect("postgres://u:hush-hush@db:port/app").await.unwrap_err();
    assert!(error.to_string().contains("postgres://user:password@host:5432/database"), "{error}");
    assert!(!format!("{error} {error:?}").contains("hush-hush"), "{error:?}");
}

#[tokio::test]
async fn a_listener_without_a_server_names_the_cure() {
    let mgr = PgQueue::new(pool_to_nowhere().await);
    for _ in 0..3 {
        let error = mgr.create_listener().await.unwrap_err();
        let ListenError::NotConnected(cause) = &error else { panic!("{error}") };
        assert!(matches!(**cause, DatabaseError::Unreachable(_)));
    }
}
