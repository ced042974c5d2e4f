//! What a worker does for logs.

use pg_queue_client::logs::{LogName, Retention};
use pg_queue_worker::Outcome;

use crate::support::{App, db, start, tasks};

#[tokio::test]
async fn a_workers_maintenance_drops_what_logs_need_not_keep() {
    let db = db().await;
    let log = LogName::new("orders").unwrap();
    db.queue.logs.create(&log, Retention::bytes(8)).await.unwrap();
    db.queue.logs.publish(&log, &1).await.unwrap();
    let worker = start(tasks().build(&db.queue, App::new(|_, _| async { Ok(Outcome::Complete) })).unwrap());
    db.until("select not exists (select from log_orders)").await;
    worker.stop().await;
    let segments: i64 = db.get("select count(*) from pg_queue_segments").await;
    assert_eq!(segments, 1, "the one that publishers write to");
}
