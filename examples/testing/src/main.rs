//! A small service whose jobs are tested: see `tests.rs`. Needs PostgreSQL's programs, or `DATABASE_URL`.

mod service;
#[cfg(test)]
mod tests;

use pg_queue::PgQueue;
use pg_queue_embedded::{Database, Server, Settings};

use crate::service::{Mailer, sign_up, worker};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let server = Server::from_env_or_start(Settings::for_tests())?;
    let database = Database::create(&server).await?;
    let mgr = PgQueue::new(database.pool().await?);
    service::set_up(&mgr).await?;

    for email in ["ada@example.com", "grace@example.com"] {
        let mut tx = mgr.pool().begin().await?;
        sign_up(&mgr, &mut tx, email).await?;
        tx.commit().await?;
    }
    let mailer = Mailer::default();
    let summary = worker(&mgr, &mailer)?.run_until(mailer.has_sent(2)).await?;
    println!("sent: {:?}", mailer.sent());
    println!("{summary:?}; the reminders wait for three days, here; in the tests, they do not");
    anyhow::ensure!(summary.completed == 2);
    Ok(())
}
