//! A typed job, enqueued and run. Needs PostgreSQL's programs, or `DATABASE_URL`.
//!
//! ```text
//! cargo run -p quickstart             enqueues three emails, sends them, ends
//! cargo run -p quickstart -- serve    goes on until Ctrl-C or SIGTERM: enqueue from psql with
//!     select * from pg_queue_push('emails', 'send_email', '{"to": "you@example.com", "subject": "from psql"}');
//! ```

use pg_queue::{Context, Failure, Handler, Job, Outcome, PgQueue, QueueName, Worker};
use pg_queue_embedded::{Server, Settings};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

#[derive(Serialize, Deserialize, Job)]
#[job(queue = "emails", max_attempts = 5, timeout = "30s", backoff = "exponential(1s, max = 10m)")]
struct SendEmail {
    to: String,
    subject: String,
}

/// What the handlers share: here, where to say that an email was sent.
struct App {
    sent: mpsc::UnboundedSender<String>,
}

impl Handler<App> for SendEmail {
    async fn run(self, ctx: Context<App>) -> Result<Outcome, Failure> {
        println!("job {}: sending {:?} to {}", ctx.job_id(), self.subject, self.to);
        ctx.state().sent.send(self.to)?;
        Ok(Outcome::Complete)
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let server = Server::from_env_or_start(Settings::for_tests())?;
    println!("the server: {}", if server.is_private() { server.admin_url() } else { "DATABASE_URL".to_owned() });
    let mgr = PgQueue::connect(&server.admin_url()).await?;
    mgr.migrate().await?;
    mgr.queue.create(&QueueName::new("emails")?).await?;

    let (sent, mut done) = mpsc::unbounded_channel();
    let worker = Worker::builder().register::<SendEmail>().build(&mgr, App { sent })?;
    if std::env::args().nth(1).as_deref() == Some("serve") {
        worker.run().await?;
        return Ok(());
    }
    for name in ["ada", "grace", "barbara"] {
        let email = SendEmail { to: format!("{name}@example.com"), subject: "welcome".to_owned() };
        email.enqueue(&mgr).await?;
    }
    let all_sent = async move {
        for _ in 0..3 {
            done.recv().await;
        }
    };
    let summary = worker.run_until(all_sent).await?;
    println!("done: {} completed", summary.completed);
    anyhow::ensure!(summary.completed == 3, "three emails were enqueued, {} were sent", summary.completed);
    Ok(())
}
