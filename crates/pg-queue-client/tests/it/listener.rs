//! Listeners that share one connection.

use std::time::Duration;

use pg_queue_client::{ListenError, Notification, RecvError};
use tokio::time::timeout;

use crate::support::{LONG, database, eventually, payload};

#[tokio::test]
async fn a_notification_is_received_by_whoever_listens_on_its_channel() {
    let db = database().await;
    let mut listener = db.mgr.create_listener().await.unwrap();
    listener.listen_all(["orders", "bills"]).await.unwrap();
    assert_eq!(listener.try_recv().unwrap(), None);
    assert_eq!(listener.recv_timeout(Duration::from_millis(10)).await.unwrap(), None);
    for (channel, text) in [("orders", "1"), ("other", "2"), ("bills", ""), ("orders", "4")] {
        db.mgr.notify.notify(channel, text).await.unwrap();
    }
    for (channel, text) in [("orders", "1"), ("bills", ""), ("orders", "4")] {
        let expected = Notification { channel: channel.to_owned(), payload: text.to_owned() };
        assert_eq!(timeout(LONG, listener.recv()).await.unwrap().unwrap(), expected);
    }
    db.mgr.notify.notify("orders", "5").await.unwrap();
    eventually("it is here", async || listener.try_recv().unwrap().is_some()).await;
}

#[tokio::test]
async fn unlistening_ends_a_channel_and_leaves_the_others() {
    let db = database().await;
    let mut listener = db.mgr.create_listener().await.unwrap();
    let mut witness = db.mgr.create_listener().await.unwrap();
    witness.listen_all(["a", "b", "c", "end"]).await.unwrap();
    listener.listen_all(["a", "b", "c"]).await.unwrap();
    listener.unlisten("a").await.unwrap();
    listener.unlisten("never listened to").await.unwrap();
    for channel in ["a", "b"] {
        db.mgr.notify.notify(channel, channel).await.unwrap();
    }
    assert_eq!(payload(&mut listener).await.unwrap(), "b");
    listener.unlisten_all().await.unwrap();
    for channel in ["a", "b", "c", "end"] {
        db.mgr.notify.notify(channel, channel).await.unwrap();
    }
    for expected in ["a", "b", "a", "b", "c", "end"] {
        assert_eq!(payload(&mut witness).await.unwrap(), expected);
    }
    assert_eq!(listener.try_recv().unwrap(), None);
    // And again.
    listener.listen("a").await.unwrap();
    db.mgr.notify.notify("a", "again").await.unwrap();
    assert_eq!(payload(&mut listener).await.unwrap(), "again");
}

#[tokio::test]
async fn all_listeners_share_one_backend_that_goes_with_the_last() {
    let db = database().await;
    assert_eq!(db.listening_backends().await, 0);
    for _ in 0..2 {
        let mut listeners = Vec::new();
        for n in 0..5 {
            let mut listener = db.mgr.clone().create_listener().await.unwrap();
            listener.listen_all(["all", &format!("own {n}")]).await.unwrap();
            listeners.push(listener);
        }
        assert_eq!(db.listening_backends().await, 1);
        db.mgr.notify.notify("all", "1").await.unwrap();
        for listener in &mut listeners {
            assert_eq!(payload(listener).await.unwrap(), "1");
        }
        let mut last = listeners.pop().unwrap();
        drop(listeners);
        db.mgr.notify.notify("all", "2").await.unwrap();
        assert_eq!(payload(&mut last).await.unwrap(), "2");
        drop(last);
        eventually("the connection is closed", async || db.listening_backends().await == 0).await;
    }
}

#[tokio::test]
async fn long_names_are_kept_apart_by_their_last_byte() {
    let db = database().await;
    let (a, b) = (format!("{}a", "x".repeat(99)), format!("{}b", "x".repeat(99)));
    let mut listener = db.mgr.create_listener().await.unwrap();
    listener.listen(&a).await.unwrap();
    db.mgr.notify.notify(&b, "for b").await.unwrap();
    db.mgr.notify.notify(&a, "for a").await.unwrap();
    let received = timeout(LONG, listener.recv()).await.unwrap().unwrap();
    assert_eq!(received, Notification { channel: a.clone(), payload: "for a".to_owned() });
    listener.unlisten(&a).await.unwrap();
    listener.listen(&b).await.unwrap();
    db.mgr.notify.notify(&a, "for a").await.unwrap();
    db.mgr.notify.notify(&b, "for b").await.unwrap();
    assert_eq!(timeout(LONG, listener.recv()).await.unwrap().unwrap().channel, b);
}

#[tokio::test]
async fn names_with_quotes_and_capitals_are_taken_as_they_are() {
    let db = database().await;
    let names = ["Orders", "orders", "a \"quoted\" one", "'; drop table x; --", "größe \u{1f600}", "LISTEN"];
    let mut listener = db.mgr.create_listener().await.unwrap();
    listener.listen_all(names).await.unwrap();
    for name in names {
        db.mgr.notify.notify(name, "it's \"fine\"").await.unwrap();
    }
    for name in names {
        let received = timeout(LONG, listener.recv()).await.unwrap().unwrap();
        assert_eq!((received.channel.as_str(), received.payload.as_str()), (name, "it's \"fine\""));
    }
    assert!(matches!(listener.listen("").await, Err(ListenError::InvalidChannel(_))));
    assert!(matches!(listener.listen("a\0b").await, Err(ListenError::InvalidChannel(_))));
    assert!(matches!(db.mgr.background_listener(&["a", ""]), Err(ListenError::InvalidChannel(_))));
}

#[tokio::test]
async fn ten_thousand_arrive_in_order() {
    let db = database().await;
    let mut listener = db.mgr.create_listener().await.unwrap();
    listener.listen("numbers").await.unwrap();
    let burst = "select pg_notify('numbers', n::text) from generate_series(0, 9999) as n";
    tokio::spawn({
        let pool = db.pool.clone();
        async move { sqlx::query(burst).execute(&pool).await.unwrap() }
    });
    for n in 0..10_000 {
        assert_eq!(payload(&mut listener).await.unwrap(), n.to_string());
    }
}

#[tokio::test]
async fn a_slow_listener_loses_the_newest_and_is_told_and_others_lose_nothing() {
    let db = database().await;
    let mut slow = db.mgr.create_listener().await.unwrap();
    let mut quick = db.mgr.create_listener().await.unwrap();
    slow.listen("numbers").await.unwrap();
    quick.listen("numbers").await.unwrap();
    let burst = "select pg_notify('numbers', n::text) from generate_series(0, 9999) as n";
    let (_, ()) = tokio::join!(async { sqlx::query(burst).execute(&db.pool).await.unwrap() }, async {
        for n in 0..10_000 {
            assert_eq!(payload(&mut quick).await.unwrap(), n.to_string());
        }
    });
    assert_eq!(payload(&mut slow).await, Err(RecvError::Lagged(10_000 - 4096)));
    for n in 0..4096 {
        assert_eq!(payload(&mut slow).await.unwrap(), n.to_string());
    }
    assert_eq!(slow.try_recv(), Ok(None));
    db.mgr.notify.notify("numbers", "on").await.unwrap();
    assert_eq!(payload(&mut slow).await.unwrap(), "on");
}

#[tokio::test]
async fn dropping_the_future_of_recv_loses_nothing() {
    let db = database().await;
    let mut listener = db.mgr.create_listener().await.unwrap();
    listener.listen("numbers").await.unwrap();
    let sender = tokio::spawn({
        let notify = db.mgr.notify.clone();
        async move {
            for n in 0..1000 {
                notify.notify("numbers", &n.to_string()).await.unwrap();
            }
        }
    });
    let mut received = Vec::new();
    let mut dropped = 0;
    while received.len() < 1000 {
        tokio::select! {
            biased;
            () = tokio::time::sleep(Duration::from_micros(received.len() as u64 % 700)) => dropped += 1,
            next = listener.recv() => received.push(next.unwrap().payload.parse::<u32>().unwrap()),
        }
    }
    sender.await.unwrap();
    assert!(dropped > 0);
    assert_eq!(received, (0..1000).collect::<Vec<_>>());
}

#[tokio::test]
async fn thousands_of_channels_are_left_without_holding_up_the_others() {
    let db = database().await;
    let mut other = db.mgr.create_listener().await.unwrap();
    other.listen("other").await.unwrap();
    let mut many = db.mgr.create_listener().await.unwrap();
    let names: Vec<String> = (0..3000).map(|n| format!("channel {n}")).collect();
    many.listen_all(names.iter().map(String::as_str)).await.unwrap();
    db.mgr.notify.notify("channel 2999", "1").await.unwrap();
    assert_eq!(payload(&mut many).await.unwrap(), "1");
    many.unlisten_all().await.unwrap();
    for n in 0..50 {
        db.mgr.notify.notify("other", &n.to_string()).await.unwrap();
        assert_eq!(payload(&mut other).await.unwrap(), n.to_string());
    }
    // Wanted again before the server was told otherwise.
    many.listen("channel 2999").await.unwrap();
    drop(other);
    db.mgr.notify.notify("channel 1", "not wanted").await.unwrap();
    db.mgr.notify.notify("channel 2999", "2").await.unwrap();
    assert_eq!(payload(&mut many).await.unwrap(), "2");
}

#[test]
fn a_handle_outlives_the_runtime_of_its_listener() {
    let first = tokio::runtime::Runtime::new().unwrap();
    let (db, mgr, mut old) = first.block_on(async {
        let db = database().await;
        let mgr = db.without_reuse();
        let mut old = mgr.create_listener().await.unwrap();
        old.listen("orders").await.unwrap();
        (db, mgr, old)
    });
    first.shutdown_timeout(LONG);
    let second = tokio::runtime::Runtime::new().unwrap();
    second.block_on(async {
        assert_eq!(old.recv().await, Err(RecvError::Closed));
        assert!(matches!(old.listen("bills").await, Err(ListenError::Closed)));
        let mut new = mgr.create_listener().await.unwrap();
        new.listen("orders").await.unwrap();
        mgr.notify.notify("orders", "1").await.unwrap();
        assert_eq!(payload(&mut new).await.unwrap(), "1");
    });
    drop(db);
}
