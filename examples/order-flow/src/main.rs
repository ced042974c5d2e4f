//! An order flow on a durable topic, with two groups: billing, of two members who share the work, and shipping, which counts each
//! order exactly once. Needs PostgreSQL's programs, or `DATABASE_URL`.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context, ensure};
use pg_queue::{
    PgQueue,
    logs::{Group, LogName, Retention, Start},
};
use pg_queue_embedded::{Database, Server, Settings};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

const ORDERS: u32 = 200;

#[derive(Debug, Clone, Serialize, Deserialize)]
struct OrderPlaced {
    order: u32,
    country: String,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let server = Server::from_env_or_start(Settings::for_tests())?;
    let database = Database::create(&server).await?;
    let mgr = PgQueue::new(database.pool().await?);
    mgr.migrate().await?;
    sqlx::query("create table parcels (number int primary key)").execute(mgr.pool()).await?;

    let orders = LogName::new("orders")?;
    mgr.logs.create(&orders, Retention::age(Duration::from_secs(7 * 24 * 3600))).await?;

    // Nobody reads yet: a group that begins at the beginning misses nothing all the same.
    for order in 0..ORDERS / 2 {
        mgr.logs.publish(&orders, &OrderPlaced { order, country: "at".to_owned() }).await?;
    }
    let one = tokio::spawn(bill(open(&mgr, &orders, "billing").await?));
    let other = tokio::spawn(bill(open(&mgr, &orders, "billing").await?));
    let shipping = tokio::spawn(ship(mgr.clone(), open(&mgr, &orders, "shipping").await?));
    // The rest is placed in transactions: an order that is rolled back was never placed.
    for order in ORDERS / 2..ORDERS {
        let mut transaction = mgr.pool().begin().await?;
        mgr.logs.publish_on(&mut transaction, &orders, &[OrderPlaced { order, country: "de".to_owned() }]).await?;
        transaction.commit().await?;
    }

    let (one, other) = (one.await??, other.await??);
    println!("billing: {} orders by one member, {} by the other", one.len(), other.len());
    ensure!(
        one.is_disjoint(&other) && one.len() + other.len() == ORDERS as usize,
        "each order is billed by one member"
    );
    println!("shipping: {} parcels", shipping.await??);

    for group in mgr.logs.groups(&orders).await? {
        println!("{}: {} parked, unseen since {:?}", group.name, group.parked, group.unseen_since);
    }
    Ok(())
}

async fn open(mgr: &PgQueue, orders: &LogName, group: &str) -> anyhow::Result<Group<OrderPlaced>> {
    Ok(mgr.logs.group(orders, group).start(Start::Beginning).open().await?)
}

/// Bills until no order has come for a while. Answers which orders this member has billed.
async fn bill(mut group: Group<OrderPlaced>) -> anyhow::Result<BTreeSet<u32>> {
    let mut billed = BTreeSet::new();
    while let Ok(batch) = timeout(Duration::from_secs(1), group.receive(10)).await {
        let mut batch = batch?;
        let mut failed = Vec::new();
        for delivered in batch.messages() {
            let Ok(order) = &delivered.message else { continue };
            // The first try of every fiftieth fails: it comes again, to either member.
            if order.order % 50 == 0 && delivered.attempt == 1 {
                failed.push(delivered.position);
            } else {
                billed.insert(order.order);
            }
        }
        for position in failed {
            batch.fail(position, "the card was refused");
        }
        batch.acknowledge().await?;
    }
    Ok(billed)
}

/// Ships: the parcels and the acknowledgement are one transaction, so that an order is never shipped twice.
async fn ship(mgr: PgQueue, mut group: Group<OrderPlaced>) -> anyhow::Result<i64> {
    while let Ok(batch) = timeout(Duration::from_secs(1), group.receive(50)).await {
        let batch = batch?;
        let mut transaction = mgr.pool().begin().await?;
        for delivered in batch.messages() {
            let order = delivered.message.as_ref().map_err(ToString::to_string).map_err(anyhow::Error::msg)?;
            let number = i32::try_from(order.order).context("a number of a parcel")?;
            sqlx::query("insert into parcels values ($1)").bind(number).execute(&mut *transaction).await?;
        }
        batch.acknowledge_on(&mut transaction).await?;
        transaction.commit().await?;
    }
    Ok(sqlx::query_scalar("select count(*) from parcels").fetch_one(mgr.pool()).await?)
}
