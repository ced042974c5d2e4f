//! A connection that is dead without an error. This takes its 15 s: so long may it go unnoticed.

use std::time::{Duration, Instant};

use pg_queue_client::RecvError;

use crate::support::{Mode, Proxy, database, payload};

#[tokio::test]
async fn a_half_open_connection_is_noticed_within_15_seconds() {
    let db = database().await;
    let proxy = Proxy::start(&db.database, Mode::Open).await;
    let mgr = db.through(&proxy);
    let mut listener = mgr.create_listener().await.unwrap();
    listener.listen("orders").await.unwrap();
    db.mgr.notify.notify("orders", "1").await.unwrap();
    assert_eq!(payload(&mut listener).await.unwrap(), "1");
    proxy.freeze();
    let began = Instant::now();
    assert_eq!(payload(&mut listener).await, Err(RecvError::Gap));
    // And two more to connect again on a busy machine.
    assert!(began.elapsed() < Duration::from_secs(17), "{:?}", began.elapsed());
    db.mgr.notify.notify("orders", "2").await.unwrap();
    assert_eq!(payload(&mut listener).await.unwrap(), "2");
    // The dead connection was closed, with nobody waiting on it.
    crate::support::eventually("the dead connection is closed", async || proxy.frozen_open() == 0).await;
}
