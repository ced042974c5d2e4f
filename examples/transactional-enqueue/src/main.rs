//! A job that commits or rolls back with the application's own data. Needs PostgreSQL's programs, or `DATABASE_URL`.

use pg_queue::{Context, Failure, Handler, Job, Outcome, PgQueue, QueueName, Worker};
use pg_queue_embedded::{Database, Server, Settings};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

#[derive(Serialize, Deserialize, Job)]
#[job(queue = "orders")]
struct ShipOrder {
    order: i64,
}

impl Handler<mpsc::UnboundedSender<i64>> for ShipOrder {
    /// Writes the shipment and completes the job in one transaction: it happens exactly once, even if this process is
    /// killed at any moment.
    async fn run(self, ctx: Context<mpsc::UnboundedSender<i64>>) -> Result<Outcome, Failure> {
        let mut tx = ctx.pool().begin().await?;
        sqlx::query("insert into shipments (order_id) values ($1)").bind(self.order).execute(&mut *tx).await?;
        let done = ctx.complete_in(&mut tx).await?;
        tx.commit().await?;
        ctx.state().send(self.order)?;
        Ok(done)
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let server = Server::from_env_or_start(Settings::for_tests())?;
    let database = Database::create(&server).await?;
    let pool = database.pool().await?;
    let mgr = PgQueue::new(pool.clone());
    mgr.migrate().await?;
    mgr.queue.create(&QueueName::new("orders")?).await?;
    sqlx::raw_sql(
        "create table orders (id bigint generated always as identity primary key, customer text not null);
         create table shipments (order_id bigint not null references orders)",
    )
    .execute(&pool)
    .await?;

    for (customer, goes_through) in [("ada", true), ("eve", false), ("grace", true)] {
        let mut tx = pool.begin().await?;
        let order: i64 = sqlx::query_scalar("insert into orders (customer) values ($1) returning id")
            .bind(customer)
            .fetch_one(&mut *tx)
            .await?;
        ShipOrder { order }.enqueue(mgr.on(&mut tx)).await?;
        if goes_through {
            tx.commit().await?;
            println!("{customer}: order {order} and its job are committed");
        } else {
            tx.rollback().await?;
            println!("{customer}: the payment failed; neither the order nor its job exists");
        }
    }

    let (shipped, mut done) = mpsc::unbounded_channel();
    let two = async move { (done.recv().await, done.recv().await) };
    Worker::builder().register::<ShipOrder>().build(&mgr, shipped)?.run_until(two).await?;
    let shipments: Vec<(String,)> = sqlx::query_as(
        "select customer from shipments join orders on orders.id = shipments.order_id order by customer",
    )
    .fetch_all(&pool)
    .await?;
    println!("shipped to: {shipments:?}");
    anyhow::ensure!(shipments == [("ada".to_owned(),), ("grace".to_owned(),)]);
    Ok(())
}
