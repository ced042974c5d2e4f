//! The listener's connection is lost and comes back, and everybody is told.

use std::time::Duration;

use pg_queue_client::{Listener, PgQueue, RecvError};
use pg_queue_embedded::{Server, Settings};
use sqlx::PgPool;

use crate::support::{LONG, Mode, Proxy, database, eventually, payload};

/// Waits for the gap, and for nothing else.
async fn gap(listener: &mut Listener) {
    assert_eq!(payload(listener).await, Err(RecvError::Gap));
}

#[tokio::test]
async fn a_lost_connection_is_told_once_and_later_messages_arrive() {
    let db = database().await;
    let mut listeners = Vec::new();
    for n in 0..3 {
        let mut listener = db.mgr.create_listener().await.unwrap();
        listener.listen_all(["all", &format!("own {n}")]).await.unwrap();
        listeners.push(listener);
    }
    for round in 0..3 {
        assert_eq!(db.kill_listeners().await, 1);
        for listener in &mut listeners {
            gap(listener).await;
        }
        let text = round.to_string();
        db.mgr.notify.notify("all", &text).await.unwrap();
        for (n, listener) in listeners.iter_mut().enumerate() {
            db.mgr.notify.notify(&format!("own {n}"), &text).await.unwrap();
            assert_eq!(payload(listener).await.unwrap(), text);
            assert_eq!(payload(listener).await.unwrap(), text);
            assert_eq!(listener.try_recv(), Ok(None));
        }
    }
}

#[tokio::test]
async fn nothing_is_missed_without_a_gap_however_often_the_connection_is_killed() {
    let db = database().await;
    let mut listener = db.mgr.create_listener().await.unwrap();
    listener.listen("numbers").await.unwrap();
    let sender = tokio::spawn({
        let notify = db.mgr.notify.clone();
        async move {
            for n in 0..3000_u32 {
                notify.notify("numbers", &n.to_string()).await.unwrap();
            }
            for _ in 0..600 {
                notify.notify("numbers", "end").await.unwrap();
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    });
    let killer = tokio::spawn({
        let pool = db.pool.clone();
        async move {
            let mut killed: i64 = 0;
            for _ in 0..20 {
                let kill = "select count(pg_terminate_backend(pid)) from pg_stat_activity
                    where datname = current_database() and query like 'LISTEN%'";
                killed += sqlx::query_scalar::<_, i64>(kill).fetch_one(&pool).await.unwrap();
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            killed
        }
    });
    let mut expected = 0;
    let mut gaps = 0;
    let mut may_skip = false;
    loop {
        match payload(&mut listener).await {
            Err(RecvError::Gap) => (gaps, may_skip) = (gaps + 1, true),
            Err(error) => panic!("{error}"),
            Ok(text) if text == "end" => {
                assert!(may_skip || expected == 3000, "missed {expected} to 2999 without a gap");
                if killer.is_finished() {
                    break;
                }
                // From here on only the end is sent, again and again.
                expected = 3000;
            }
            Ok(text) => {
                let n: u32 = text.parse().unwrap();
                assert!(n == expected || (may_skip && n > expected), "{n} after {expected} without a gap");
                (expected, may_skip) = (n + 1, false);
            }
        }
    }
    let killed = killer.await.unwrap();
    assert!(killed > 2, "{killed}");
    assert!(gaps <= killed, "{gaps} gaps, {killed} kills");
    sender.abort();
}

#[tokio::test]
async fn a_background_listener_is_told_when_the_server_is_there() {
    let db = database().await;
    let proxy = Proxy::start(&db.database, Mode::Refusing).await;
    let mgr = db.through(&proxy);
    let mut listener = mgr.background_listener(&["orders"]).unwrap();
    assert!(mgr.create_listener().await.is_err());
    assert!(listener.listen("bills").await.is_err());
    assert_eq!(listener.recv_timeout(Duration::from_millis(50)).await, Ok(None));
    proxy.set(Mode::Open);
    gap(&mut listener).await;
    db.mgr.notify.notify("orders", "1").await.unwrap();
    assert_eq!(payload(&mut listener).await.unwrap(), "1");
    assert_eq!(listener.try_recv(), Ok(None));
}

#[tokio::test]
async fn a_background_listener_on_an_open_connection_is_told_once() {
    let db = database().await;
    let mut first = db.mgr.create_listener().await.unwrap();
    first.listen("orders").await.unwrap();
    let mut second = db.mgr.background_listener(&["orders", "bills"]).unwrap();
    gap(&mut second).await;
    db.mgr.notify.notify("bills", "1").await.unwrap();
    db.mgr.notify.notify("orders", "2").await.unwrap();
    assert_eq!(payload(&mut second).await.unwrap(), "1");
    assert_eq!(payload(&mut second).await.unwrap(), "2");
    assert_eq!(payload(&mut first).await.unwrap(), "2");
}

#[tokio::test]
async fn without_a_connection_listening_is_refused_and_unlistening_is_remembered() {
    let db = database().await;
    let proxy = Proxy::start(&db.database, Mode::Open).await;
    let mgr = db.through(&proxy);
    let mut listener = mgr.create_listener().await.unwrap();
    listener.listen_all(["a", "b"]).await.unwrap();
    proxy.set(Mode::Refusing);
    eventually("the loss is noticed", async || listener.listen_all(["a", "c"]).await.is_err()).await;
    listener.unlisten("b").await.unwrap();
    proxy.set(Mode::Open);
    gap(&mut listener).await;
    for channel in ["b", "c", "a"] {
        db.mgr.notify.notify(channel, channel).await.unwrap();
    }
    // The wish for "a" was there before the call that failed.
    let mut got = payload(&mut listener).await.unwrap();
    if got == "c" {
        // It was entered if the call came just before the loss was noticed.
        got = payload(&mut listener).await.unwrap();
    }
    assert_eq!(got, "a");
}

#[tokio::test]
async fn a_crash_of_the_server_is_survived() {
    let server = Server::start(Settings::for_tests()).unwrap();
    let pool = PgPool::connect(&server.admin_url()).await.unwrap();
    let mgr = PgQueue::new(pool.clone());
    mgr.migrate().await.unwrap();
    let mut listener = mgr.create_listener().await.unwrap();
    listener.listen("orders").await.unwrap();
    let pid: i32 = sqlx::query_scalar("select pg_backend_pid()").fetch_one(&pool).await.unwrap();
    // The postmaster ends all others when one of them is killed, and starts anew.
    assert!(std::process::Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap().success());
    gap(&mut listener).await;
    eventually("the pool works again", async || mgr.notify.notify("orders", "1").await.is_ok()).await;
    assert_eq!(listener.recv_timeout(LONG).await.unwrap().unwrap().payload, "1");
    server.stop();
}
